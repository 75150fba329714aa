"""What the kernel remembers of a connection, its addresses on the way there and those that its answers come with; and
how it forgets what has become untrue.

The rules of the table nat are asked for the first packet of a connection only; for all others the kernel looks into its
notes. So whoever goes on sending from one port, as only UDP and ping do, keeps a note alive that says "this port leads
nowhere", or "to that container", long after the rules say otherwise. (A TCP connection without a server is refused,
which ends its note.) docker forgets a container's address when it ends, too; its release 20.10 leaves the ports alone,
and they stay as dead as said.

It is read from a file of /proc, or, where the kernel has none, by ctnetlink, which also forgets it
(linux/netfilter/nfnetlink_conntrack.h). ``forget`` and ``dump`` raise OSError where the kernel has no nfnetlink; one
that lacks only ctnetlink has nothing to list and forgets nothing.
"""

from __future__ import annotations

import os
import struct

from labkit.runtime.network import ipam, netlink
from labkit.runtime.network.model import ANY
from labkit.runtime.operations import Operation
from labkit.runtime.std import socket
from labkit.runtime.std.collections.abc import Callable, Iterable, Iterator
from labkit.runtime.std.contextlib import suppress
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
    wire.send(header + struct.pack("=BBH", ipam.FAMILY, 0, 0) + body)


def tuple_of(known: Entry) -> bytes:
    """CTA_TUPLE_ORIG: by what the kernel finds it."""
    (source, source_port), (destination, port) = ipam.split(known.source), ipam.split(known.destination)
    addresses = {_CTA_IP_V4_SRC: ipam.packed(source), _CTA_IP_V4_DST: ipam.packed(destination)}
    details = {_CTA_PROTO_NUM: bytes([PROTOCOLS[known.protocol]])}
    if known.echo:
        kind, code, number = known.echo
        details[_CTA_PROTO_ICMP_ID] = struct.pack("!H", number)
        details.update({_CTA_PROTO_ICMP_TYPE: bytes([kind]), _CTA_PROTO_ICMP_CODE: bytes([code])})
    else:
        details[_CTA_PROTO_SRC_PORT] = struct.pack("!H", int(source_port))
        details[_CTA_PROTO_DST_PORT] = struct.pack("!H", int(port))
    parts = {_CTA_TUPLE_IP: addresses, _CTA_TUPLE_PROTO: details}
    return netlink.encoded({_CTA_TUPLE_ORIG: parts}, _NLA_F_NESTED)


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
    ends = [ipam.text_of(int.from_bytes(addresses[kind], "big")) for kind in (_CTA_IP_V4_SRC, _CTA_IP_V4_DST)]
    return (*ends, *(str(int.from_bytes(details[kind], "big")) for kind in kinds))


#: conntrack(8) is not everywhere, and calls it a failure when there was nothing to forget.
_IF_IT_CAN = " > /dev/null 2>&1 || true"


@dataclass(frozen=True)
class ForgetPorts(Operation):
    """Published UDP ports lead to a container from now on: the notes that say otherwise go.

    ``ports`` are ``ADDRESS:PORT`` of this machine, 0.0.0.0 for any. It comes after the rules: before them, a client
    would at once make the kernel write the same note again.
    """

    ports: tuple[str, ...]
    address: str
    """The container's."""
    needs_all = True

    def describe(self) -> str:
        """As conntrack(8), which cannot say "those that lead elsewhere", and takes them all."""
        commands = []
        for host, port in map(ipam.split, self.ports):
            there = "" if host == ANY else f" -d {host}"
            commands.append(f"conntrack -D -p udp{there} --dport {port}{_IF_IT_CAN}")
        return "\n".join(commands)

    def do(self) -> None:
        """IPCTNL_MSG_CT_DELETE for each."""
        words = [f"dport={ipam.split(end)[1]} " for end in self.ports]
        _forget(words, self.is_stale)

    def is_stale(self, entry: Entry) -> bool:
        """Whether it is about such a port and leads elsewhere."""
        host, port = ipam.split(entry.destination)
        if entry.protocol != "udp" or not {f"{ANY}:{port}", entry.destination} & set(self.ports):
            return False
        if ipam.split(entry.reply_source)[0] == self.address:
            return False
        return entry.reply_source != entry.destination or _is_ours(host)

    def undo(self) -> None:
        """Nothing: what is true now, ``forget_address`` takes away when it ends to be."""


@dataclass(frozen=True)
class ForgetUnanswered(Operation):
    """Rules of a network were put back: what its containers sent meanwhile, untranslated, and what nobody could answer
    is judged anew. A connection that has had an answer works, and is left alone.
    """

    subnet: str

    def describe(self) -> str:
        """As conntrack(8), which cannot say "never answered", nor "translated to this subnet"."""
        return f"conntrack -D -s {self.subnet}{_IF_IT_CAN}"

    def do(self) -> None:
        """IPCTNL_MSG_CT_DELETE for each."""
        _forget(["[UNREPLIED]"], self.is_stale)

    def is_stale(self, entry: Entry) -> bool:
        """Whether one of its own began it, or was to answer, and nobody did."""
        ends = (entry.source, entry.reply_source)
        return not entry.is_answered and any(ipam.is_host(ipam.split(end)[0], self.subnet) for end in ends)

    def undo(self) -> None:
        """Nothing: there is no way to remember it."""


def forget_address(address: str) -> None:
    """All that a container's address began or answered: the next container with this address is another one."""
    words = [f"src={address} "]  # the original's, or the reply's
    _forget(words, lambda entry: address in (ipam.split(entry.source)[0], ipam.split(entry.reply_source)[0]))


def describe_address(address: str) -> str:
    """The commands of ``forget_address``."""
    return "\n".join(f"conntrack -D --{way}-src {address}{_IF_IT_CAN}" for way in ("orig", "reply"))


def _forget(words: list[str], is_stale: Callable[[Entry], bool]) -> None:
    """Those of the entries with one of the words that are stale."""
    with suppress(OSError):  # a kernel without ctnetlink, or without any of this
        try:
            entries = listed(words)
        except FileNotFoundError:
            entries = dump()
        stale = [entry for entry in entries if is_stale(entry)]
        if stale:
            forget(stale)


def _is_ours(address: str) -> bool:
    """Whether it is one of this machine's: another machine's port of that number is no business of ours."""
    with socket.socket(ipam.FAMILY, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True
