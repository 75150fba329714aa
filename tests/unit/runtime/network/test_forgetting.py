"""Which of the kernel's notes are stale, and the commands that take them away."""

from __future__ import annotations

import pytest

from labkit.runtime.network.conntrack import Entry, ForgetPorts, ForgetUnanswered, describe_address
from labkit.runtime.std.dataclasses import replace


def note(destination: str, answers: str, protocol: str = "udp", answered: bool = True) -> Entry:
    """Of what another machine has sent."""
    return Entry(protocol, "192.0.2.9:5000", destination, answers, "192.0.2.9:5000", is_answered=answered)


PORTS = ForgetPorts(("0.0.0.0:5353", "127.0.0.1:5354"), "10.77.0.2")


@pytest.mark.parametrize(
    ("entry", "stale"),
    [
        (note("127.0.0.1:5353", "127.0.0.1:5353"), True),
        (note("127.0.0.1:5353", "10.77.0.9:53"), True),
        (note("127.0.0.1:5353", "10.77.0.2:53"), False),
        (note("127.0.0.1:5353", "10.77.0.9:53", "tcp"), False),
        (note("127.0.0.1:5354", "127.0.0.1:5354"), True),
        (note("127.0.0.2:5354", "127.0.0.2:5354"), False),
        (note("127.0.0.1:5355", "127.0.0.1:5355"), False),
        (note("192.0.2.1:5353", "192.0.2.1:5353"), False),
    ],
    ids=[
        "no rule was there",
        "to another container",
        "to this one",
        "TCP",
        "at the address that publishes",
        "at another address",
        "another port",
        "another machine's port",
    ],
)
def test_notes_of_published_ports(entry: Entry, stale: bool) -> None:
    assert PORTS.is_stale(entry) == stale


def test_notes_without_an_answer_in_a_network() -> None:
    network = ForgetUnanswered("10.77.0.0/16")
    lost = note("192.0.2.1:53", "10.77.0.2:53", answered=False)
    assert network.is_stale(lost)
    assert network.is_stale(replace(lost, source="10.77.0.2:5", reply_source="192.0.2.1:53"))
    assert not network.is_stale(replace(lost, is_answered=True))
    assert not network.is_stale(replace(lost, reply_source="10.78.0.2:53"))


def test_as_conntrack_says_it() -> None:
    quietly = " > /dev/null 2>&1 || true"
    assert PORTS.describe().splitlines() == [
        f"conntrack -D -p udp --dport 5353{quietly}",
        f"conntrack -D -p udp -d 127.0.0.1 --dport 5354{quietly}",
    ]
    assert PORTS.describe_undo() == ""
    assert describe_address("10.77.0.2").splitlines() == [
        f"conntrack -D --orig-src 10.77.0.2{quietly}",
        f"conntrack -D --reply-src 10.77.0.2{quietly}",
    ]
