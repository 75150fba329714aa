"""ctnetlink: the kernel's notes of connections, listed and forgotten (linux/netfilter/nfnetlink_conntrack.h).

OSError where the kernel has no nfnetlink. One that lacks only ctnetlink has nothing to list and forgets nothing.
"""

from __future__ import annotations

import struct

from labkit.runtime.network.conntrack import PROTOCOLS, Entry, entry
from labkit.runtime.network.netlink import attribute
from labkit.runtime.std import socket
from labkit.runtime.std.collections.abc import Iterable, Iterator

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
_NAMES = {number: name for name, number in PROTOCOLS.items()}


def forget(entries: Iterable[Entry]) -> None:
    """``conntrack -D`` of each. One that is gone meanwhile is as good as forgotten."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_NETFILTER) as wire:
        for each in entries:
            _send(wire, _DELETE, _NLM_F_ACK, tuple_of(each))
            wire.recv(65536)


def dump() -> Iterator[Entry]:
    """All entries of this network namespace, as ``conntrack.listed`` has them. It takes a lock for each of the table's
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
    """None for a protocol that we do not know, and for one of a zone (see ``conntrack.parse``)."""
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
