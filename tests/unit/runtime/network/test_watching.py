from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

if sys.platform != "linux":
    pytest.skip("it is for the guest side, which is Linux", allow_module_level=True)

from labkit.runtime.network import reading, watching
from labkit.runtime.network.reading import Address, Link


class Message(dict[str, Any]):
    """As pyroute2 gives one: the header's fields by name, attributes by ``get_attr``."""

    def get_attr(self, name: str) -> Any:
        return self.get(name)


def link(name: str, event: str = "RTM_NEWLINK") -> Message:
    fields = {"event": event, "family": socket.AF_UNSPEC, "index": 2, "flags": 1}
    return Message({**fields, "IFLA_IFNAME": name})


def address(event: str = "RTM_NEWADDR") -> Message:
    return Message(event=event, family=socket.AF_INET, index=2, IFA_LOCAL="10.9.0.1", prefixlen=24)


def route(metric: int, event: str = "RTM_NEWROUTE") -> Message:
    fields = {"event": event, "family": socket.AF_INET, "type": 1, "dst_len": 0, "RTA_TABLE": 254}
    return Message({**fields, "RTA_OIF": 2, "RTA_GATEWAY": "10.9.0.9", "RTA_PRIORITY": metric})


def numbered(event: str) -> Message:
    return Message(event=event, NETNSA_NSID=0)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> watching.Watch:
    """One that the kernel tells nothing, and that finds ``web`` as the namespace of number 0."""
    monkeypatch.setattr(watching, "_numbered", lambda: {0: "web"})
    monkeypatch.setattr(reading, "picture", lambda path: [Link("eth0", 2, "veth", "", True, "", 0)])
    watch = watching.Watch.__new__(watching.Watch)
    watch._known, watch._names, watch._spaces = {}, {}, {0: "web"}
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


def test_what_a_device_has_goes_on_under_its_new_name(watch: watching.Watch) -> None:
    assert said(watch, link("eth0")) == [("new", "web", "eth0")]
    assert said(watch, address()) == [("new", "web", "eth0")]
    assert said(watch, link("wan")) == [("changed", "web", "wan")], "an event of the link alone"
    assert said(watch, address()) == [], "nothing of it is new"
    assert watch._known[watching._key(0, Address("wan", "10.9.0.1", 24))] == Address("wan", "10.9.0.1", 24)
    assert said(watch, address("RTM_DELADDR")) == [("gone", "web", "wan")]
    assert said(watch, link("wan", "RTM_DELLINK")) == [("gone", "web", "wan")]


def test_two_routes_to_one_destination_differ_by_their_metric(watch: watching.Watch) -> None:
    said(watch, link("eth0"))
    events = [event for metric in (100, 200) for event in watch._take(0, route(metric))]
    assert [(event.what, str(event.fact)) for event in events] == [
        ("new", "default via 10.9.0.9 dev eth0 metric 100"),
        ("new", "default via 10.9.0.9 dev eth0 metric 200"),
    ]
    (gone,) = watch._take(0, route(100, "RTM_DELROUTE"))
    assert (gone.what, str(gone.fact)) == ("gone", "default via 10.9.0.9 dev eth0 metric 100")


def test_a_device_that_went_is_not_remembered(watch: watching.Watch) -> None:
    for index in range(3):
        said(watch, Message(link(f"eth{index}"), index=index))
        assert said(watch, Message(link(f"eth{index}", "RTM_DELLINK"), index=index)) == [("gone", "web", f"eth{index}")]
    assert watch._names == {0: {}}
    assert watch._known == {}
