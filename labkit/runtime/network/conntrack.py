"""What the kernel remembers of a connection: its addresses on the way there, and those that its answers come with.

It is read from a file of /proc, or, where the kernel has none, by ctnetlink, which also forgets it
(linux/netfilter/nfnetlink_conntrack.h). ``forget`` and ``dump`` raise OSError where the kernel has no nfnetlink; one
that lacks only ctnetlink has nothing to list and forgets nothing.
"""

from __future__ import annotations

import os
import struct

from labkit.runtime.network.netlink import attribute
from labkit.runtime.std import socket
from labkit.runtime.std.collections.abc import Iterable, Iterator
from labkit.runtime.std.dataclasses import dataclass

_TABLE = "/proc/net/nf_conntrack"
_SHORT = 2048  # bytes: a page without a line or two, whatever its size
#: Those that have ports, or what stands for them: by their numbers (/etc/protocols).
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "dccp": 33, "sctp": 132, "udplite": 136}
_NAMES = {number: name for name, number in PROTOCOLS.items()}

_NETLINK_NETFILTER = 12
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_DUMP = 0x1, 0x4, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLA_F_NESTED = 0x8000
#: A message's type: the subsystem in its upper byte (NFNL_SUBSYS_CTNETLINK), and what is to be done.
_GET, _DELETE = 0x101, 0x102

_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY, _CTA_STATUS, _CTA_ZONE = 1, 2, 3, 18
_CTA_TUPLE_IP, _CTA_TUPLE_PROTO = 1, 2
_CTA_IP_V4_SRC, _CTA_IP_V4_DST = 1, 2
_CTA_PROTO_NUM, _CTA_PROTO_SRC_PORT, _CTA_PROTO_DST_PORT = 1, 2, 3
_CTA_PROTO_ICMP_ID, _CTA_PROTO_ICMP_TYPE, _CTA_PROTO_ICMP_CODE = 4, 5, 6
_IPS_SEEN_REPLY = 0x2

_HEADER = 16 + 4  # struct nlmsghdr, struct nfgenmsg


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


def forget(entries: Iterable[Entry]) -> None:
    """``conntrack -D`` of each. One that is gone meanwhile is as good as forgotten."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as wire:
        for each in entries:
            _send(wire, _DELETE, _NLM_F_ACK, tuple_of(each))
            wire.recv(65536)


def dump() -> Iterator[Entry]:
    """All entries of this network namespace, as ``listed`` has them. It takes a lock for each of the table's
    buckets: 12 ms for 262144 of them, and the file in /proc 0.7 ms.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as wire:
        _send(wire, _GET, _NLM_F_DUMP, b"")
        while True:
            answer = wire.recv(65536)
            while answer:
                length, kind = struct.unpack_from("=IH", answer)
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    return
                known = _entry(attributes(answer[_HEADER:length]))
                if known:
                    yield known
                answer = answer[(length + 3) & ~3 :]


def _send(wire: socket.socket, kind: int, flags: int, body: bytes) -> None:
    header = struct.pack("=IHHII", _HEADER + len(body), kind, _NLM_F_REQUEST | flags, 1, 0)
    wire.send(header + struct.pack("=BBH", socket.AF_INET, 0, 0) + body)


def tuple_of(known: Entry) -> bytes:
    """CTA_TUPLE_ORIG: by what the kernel finds it."""
    (source, source_port), (destination, port) = (end.partition(":")[::2] for end in (known.source, known.destination))
    addresses = [
        attribute(_CTA_IP_V4_SRC, socket.inet_aton(source)),
        attribute(_CTA_IP_V4_DST, socket.inet_aton(destination)),
    ]
    details = [attribute(_CTA_PROTO_NUM, bytes([PROTOCOLS[known.protocol]]))]
    if known.echo:
        kind, code, number = known.echo
        details += [
            attribute(_CTA_PROTO_ICMP_ID, struct.pack("!H", number)),
            attribute(_CTA_PROTO_ICMP_TYPE, bytes([kind])),
            attribute(_CTA_PROTO_ICMP_CODE, bytes([code])),
        ]
    else:
        details += [
            attribute(_CTA_PROTO_SRC_PORT, struct.pack("!H", int(source_port))),
            attribute(_CTA_PROTO_DST_PORT, struct.pack("!H", int(port))),
        ]
    parts = attribute(_CTA_TUPLE_IP | _NLA_F_NESTED, b"".join(addresses))
    parts += attribute(_CTA_TUPLE_PROTO | _NLA_F_NESTED, b"".join(details))
    return attribute(_CTA_TUPLE_ORIG | _NLA_F_NESTED, parts)


def attributes(data: bytes) -> dict[int, bytes]:
    """Attribute -> its value; of one that comes twice the last."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found[kind & ~_NLA_F_NESTED] = data[4:length]
        data = data[max(4, (length + 3) & ~3) :]
    return found


def _entry(known: dict[int, bytes]) -> Entry | None:
    """None for a protocol that we do not know, and for one of a zone (see ``parse``)."""
    details = attributes(attributes(known[_CTA_TUPLE_ORIG])[_CTA_TUPLE_PROTO])
    protocol = _NAMES.get(details[_CTA_PROTO_NUM][0], "")
    if not protocol or any(known.get(_CTA_ZONE, b"")):
        return None
    ways = [_way(attributes(known[kind]), protocol) for kind in (_CTA_TUPLE_ORIG, _CTA_TUPLE_REPLY)]
    status = struct.unpack("!I", known[_CTA_STATUS])[0]
    return entry(protocol, ways, bool(status & _IPS_SEEN_REPLY))


def _way(parts: dict[int, bytes], protocol: str) -> tuple[str, ...]:
    addresses, details = attributes(parts[_CTA_TUPLE_IP]), attributes(parts[_CTA_TUPLE_PROTO])
    kinds = [_CTA_PROTO_SRC_PORT, _CTA_PROTO_DST_PORT]
    if protocol == "icmp":
        kinds = [_CTA_PROTO_ICMP_TYPE, _CTA_PROTO_ICMP_CODE, _CTA_PROTO_ICMP_ID]
    ends = [socket.inet_ntoa(addresses[kind]) for kind in (_CTA_IP_V4_SRC, _CTA_IP_V4_DST)]
    return (*ends, *(str(int.from_bytes(details[kind], "big")) for kind in kinds))
