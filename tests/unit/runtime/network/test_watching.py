from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("it is for the guest side, which is Linux", allow_module_level=True)

from labkit.runtime.network import reading, watching
from labkit.runtime.network.reading import Link


class Message(dict[str, Any]):
    """As pyroute2 gives one: the header's fields by name, attributes by ``get_attr``."""

    def get_attr(self, name: str) -> Any:
        return self.get(name)


def link(name: str) -> Message:
    fields = {"event": "RTM_NEWLINK", "family": socket.AF_UNSPEC, "index": 2, "flags": 1}
    return Message({**fields, "IFLA_IFNAME": name})


def numbered(event: str) -> Message:
    return Message(event=event, NETNSA_NSID=0)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> watching.Watch:
    """One that the kernel tells nothing, and that finds ``web`` as the namespace of number 0."""
    monkeypatch.setattr(watching, "_numbered", lambda: {0: "web"})
    monkeypatch.setattr(reading, "picture", lambda path: [Link("eth0", 2, "veth", "", True, "", 0)])
    watch = watching.Watch.__new__(watching.Watch)
    watch._known, watch._names, watch._spaces = {}, {}, {}
    return watch


def said(watch: watching.Watch, message: Message) -> list[tuple[str, str, str]]:
    return [(event.what, event.namespace, event.fact.device) for event in watch._take(0, message)]


def test_a_namespace_that_went_gives_its_name_to_no_other(
    watch: watching.Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel gives the number to the next one, here docker's, which has no name below /run/netns."""
    assert said(watch, numbered("RTM_NEWNSID")) == [("new", "web", "eth0")]
    assert said(watch, numbered("RTM_DELNSID")) == [("gone", "web", "eth0")]
    monkeypatch.setattr(watching, "_numbered", dict)
    assert said(watch, numbered("RTM_NEWNSID")) == []
    assert said(watch, link("eth7")) == [("new", "netns 0", "eth7")]
