"""What the kernel remembers of a connection: its addresses on the way there, and those that its answers come with."""

from __future__ import annotations

import os

from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.dataclasses import dataclass

_TABLE = "/proc/net/nf_conntrack"
_SHORT = 2048  # bytes: a page without a line or two, whatever its size
#: Those that have ports, or what stands for them: by their numbers (/etc/protocols).
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136}


@dataclass(frozen=True)
class Entry:
    """Addresses as ``10.77.0.2:6379``. Where nothing is translated the reply is the original in reverse."""

    protocol: str
    source: str
    destination: str
    reply_source: str
    """Who answers: the destination after DNAT."""
    reply_destination: str
    """Whom the answer is sent to: the source after MASQUERADE."""
    is_answered: bool = True
    """Whether a packet has come the other way."""
    echo: tuple[int, ...] = ()
    """ICMP has no ports (its addresses are written without), but a type, a code and an id."""
    state: str = ""
    """TCP's, where pyroute2 has read it (reading.py)."""


def address_of(end: str) -> str:
    """``10.77.0.2`` of ``10.77.0.2:6379``."""
    return end.partition(":")[0]


def listed(words: list[str]) -> Iterator[Entry]:
    """The entries of this network namespace whose lines have one of the words. FileNotFoundError where the kernel was
    built without that file (CONFIG_NF_CONNTRACK_PROCFS).

    To parse a line takes 10 µs, to look for a word 0.1: there may be 100,000.
    """
    text = _table()
    lines = text.splitlines() if any(word in text for word in words) else []
    return filter(None, (parse(line) for line in lines if any(word in line for word in words)))


def _table() -> str:
    """A read(2) gives as many whole lines as a page has room for. A short one was the last: to ask for more would make
    the kernel go through its table again, 0.5 ms for 262144 buckets.
    """
    descriptor = os.open(_TABLE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = [os.read(descriptor, 1 << 16)]
        while len(parts[-1]) >= _SHORT:
            parts.append(os.read(descriptor, 1 << 16))
        return b"".join(parts).decode()
    finally:
        os.close(descriptor)


def parse(line: str) -> Entry | None:
    """``ipv4 2 tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… src=… dst=… sport=… dport=… …``.

    None for any other line, and for an entry of a zone: two of those may look alike (iptables-extensions(8), CT).
    """
    words = line.split()
    found: dict[str, list[str]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            found.setdefault(name, []).append(value)
    names = ("src", "dst", "type", "code", "id") if "id" in found else ("src", "dst", "sport", "dport")
    values = [found.get(name, []) for name in names]
    if words[:1] != ["ipv4"] or words[2] not in PROTOCOLS or any(len(both) != 2 for both in values):
        return None
    if any(name.startswith("zone") and zone != ["0"] for name, zone in found.items()):
        return None
    ways = [tuple(both[way] for both in values) for way in (0, 1)]
    return entry(words[2], ways, "[UNREPLIED]" not in words)


def entry(protocol: str, ways: list[tuple[str, ...]], is_answered: bool) -> Entry:
    """``ways`` are the original one and the reply's: source, destination, and two ports (or what ICMP has)."""
    if protocol == "icmp":
        (source, destination), (answers, answered) = (way[:2] for way in ways)
        echo = tuple(int(word) for word in ways[0][2:])
        return Entry(protocol, source, destination, answers, answered, is_answered, echo)
    ends = [f"{address}:{port}" for way in ways for address, port in zip(way[:2], way[2:])]
    return Entry(protocol, ends[0], ends[1], ends[2], ends[3], is_answered)
