"""What the kernel itself has: links, addresses, routes, neighbours, connections, of any network namespace.

It is read by pyroute2, which this module alone imports, at first use: that takes 140 ms, which a container's start does
not pay (netlink.py has what it needs). So what looks shares no line with what was done. IPv4, as labkit's networks are.
"""

from __future__ import annotations

from labkit.errors import MissingToolError
from labkit.runtime.kernel import namespaces
from labkit.runtime.network import ipam
from labkit.runtime.network.conntrack import PROTOCOLS, Entry, entry
from labkit.runtime.std.collections.abc import Callable, Iterable, Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import asdict, dataclass, replace
from labkit.runtime.std.typing import Any

_MAIN_TABLE, _UNICAST = 254, 1  # of routes; the table "local" says only what the addresses say (rtnetlink(7))
_SEEN_REPLY = 2  # IPS_SEEN_REPLY of a connection (linux/netfilter/nf_conntrack_common.h)
_BRIDGES_OWN = 7  # AF_BRIDGE: a bridge's view of a port, beside the link's own message


@dataclass(frozen=True)
class Fact:
    """Something that the kernel has, of a network device. As text it is in ip(8)'s words."""

    device: str

    @property
    def subject(self) -> str:
        """``link``, ``address``, ``route`` or ``neighbour``."""
        return type(self).__name__.lower()


@dataclass(frozen=True)
class Link(Fact):
    """A network device itself."""

    index: int
    kind: str
    """``veth``, ``bridge``, ``vlan`` …; empty for the loopback device, and for hardware."""
    mac: str
    is_up: bool
    bridge: str
    """The bridge whose port it is."""
    other: int
    """The index of a veth's other end, or of a VLAN's parent; 0 for none."""

    def __str__(self) -> str:
        port = f"port of {self.bridge}" if self.bridge else ""
        words = [self.device, self.kind, "up" if self.is_up else "down", self.mac, port]
        return " ".join(filter(None, words))


@dataclass(frozen=True)
class Address(Fact):
    """An address of a device."""

    address: str
    prefix: int

    def __str__(self) -> str:
        return f"{self.address}/{self.prefix} dev {self.device}"


@dataclass(frozen=True)
class Route(Fact):
    """Where packets to ``destination`` (``default`` or a subnet) go: to a gateway, or to neighbours of the device."""

    destination: str
    gateway: str
    source: str
    """The address that they come from where their sender does not say."""
    metric: int = 0
    """Of two routes to one destination the lower one is taken."""

    def __str__(self) -> str:
        via = f" via {self.gateway}" if self.gateway else ""
        source = f" src {self.source}" if self.source else ""
        metric = f" metric {self.metric}" if self.metric else ""
        return f"{self.destination}{via} dev {self.device}{source}{metric}"


@dataclass(frozen=True)
class Neighbour(Fact):
    """Somebody on the cable whose hardware address was asked for (arp(7))."""

    address: str
    mac: str
    """Empty where nobody has answered."""

    def __str__(self) -> str:
        return f"{self.address} is {self.mac or 'not known'} dev {self.device}"


def plain(facts: list[Fact]) -> dict[str, list[dict[str, Any]]]:
    """As JSON can hold them, by their kinds: ``links``, ``addresses``, ``routes`` and ``neighbours``."""
    kinds = {"links": Link, "addresses": Address, "routes": Route, "neighbours": Neighbour}
    return {name: [asdict(fact) for fact in facts if isinstance(fact, kind)] for name, kind in kinds.items()}


def lines(facts: Iterable[Fact]) -> list[str]:
    """A line for each."""
    return [f"{fact.subject:<9} {fact}" for fact in facts]


def _library(name: str) -> Any:
    """A module of pyroute2. MissingToolError where it is not installed."""
    try:
        from importlib import import_module  # local, and the real one: pyroute2 brings it in any case

        return import_module(name)
    except ImportError as error:
        raise MissingToolError(
            f"pyroute2, by which labkit reads what the kernel has, cannot be imported here ({error})",
            "invoke deploy brings it to a machine, below /opt/labkit/lib",
        ) from None


@contextmanager
def kernel(namespace: str = "") -> Iterator[Any]:
    """pyroute2's IPRoute for the network namespace of that path; empty is our own. OSError where the kernel refuses."""
    pyroute2 = _library("pyroute2")
    with namespaces.entered(namespace) if namespace else suppress():
        wire = pyroute2.IPRoute(groups=0)  # its socket stays in the namespace in which it was made
    with wire:
        try:
            yield wire
        except pyroute2.NetlinkError as error:
            raise OSError(error.code, str(error)) from None


def decoder() -> Callable[[bytes], Iterator[Any]]:
    """What makes messages for ``fact`` of what rtnetlink(7) has sent."""
    made: Callable[[bytes], Iterator[Any]] = _library("pyroute2.netlink.rtnl.marshal").MarshalRtnl().parse
    return made


def picture(namespace: str = "") -> list[Fact]:
    """What a network namespace has now: links, addresses, routes, neighbours. FileNotFoundError for no such path."""
    with kernel(namespace) as wire:
        links = list(wire.get_links())
        rest = [dump(family=ipam.FAMILY) for dump in (wire.get_addr, wire.get_routes, wire.get_neighbours)]
        names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in links}
        return list(filter(None, (fact(message, names) for part in (links, *rest) for message in part)))


def fact(message: Any, names: dict[int, str]) -> Fact | None:
    """What a message of rtnetlink(7) says, whose devices have these names by their indexes; None where that is not of
    interest: another family or table, or a neighbour that stands for many.
    """
    about, kind = message.get_attr, message["event"][7:]  # of RTM_NEW… or RTM_DEL…

    def device(index: int | None) -> str:
        return names.get(index, f"if{index}") if index else ""

    if kind == "LINK" and message["family"] != _BRIDGES_OWN:
        info = about("IFLA_LINKINFO")
        return Link(
            about("IFLA_IFNAME"),
            message["index"],
            (info.get_attr("IFLA_INFO_KIND") if info else "") or "",
            about("IFLA_ADDRESS") or "",
            bool(message["flags"] & 1),  # IFF_UP
            device(about("IFLA_MASTER")),
            about("IFLA_LINK") or 0,
        )
    if message["family"] != ipam.FAMILY:
        return None
    if kind == "ADDR":
        return Address(device(message["index"]), about("IFA_LOCAL"), message["prefixlen"])
    if kind == "ROUTE" and (about("RTA_TABLE"), message["type"]) == (_MAIN_TABLE, _UNICAST):
        to = f"{about('RTA_DST')}/{message['dst_len']}" if message["dst_len"] else "default"
        gateway, source = about("RTA_GATEWAY") or "", about("RTA_PREFSRC") or ""
        return Route(device(about("RTA_OIF")), to, gateway, source, about("RTA_PRIORITY") or 0)
    if kind == "NEIGH" and message["ndm_type"] == _UNICAST:
        return Neighbour(device(message["ifindex"]), about("NDA_DST"), about("NDA_LLADDR") or "")
    return None


def source_for(address: str) -> str:
    """Our own address by which packets to another one leave; empty where none can."""
    with suppress(OSError), kernel() as wire:
        return str(wire.route("get", dst=address)[0].get_attr("RTA_PREFSRC") or "")
    return ""


def connection(protocol: str, source: str, destination: str) -> Entry | None:
    """The kernel's note of a connection (``ADDRESS:PORT`` each); None where there is none, or the kernel keeps none."""
    pyroute2, filters = _library("pyroute2"), _library("pyroute2.netlink.nfnetlink.nfctsocket")
    (here, port), (there, other) = ipam.split(source), ipam.split(destination)
    wanted = filters.NFCTAttrTuple(
        saddr=here, daddr=there, proto=PROTOCOLS[protocol], sport=int(port), dport=int(other)
    )
    with suppress(OSError, pyroute2.NetlinkError), pyroute2.Conntrack() as wire:
        for found in wire.dump_entries(tuple_orig=wanted):
            both = (found.tuple_orig, found.tuple_reply)
            ways = [tuple(map(str, (way.saddr, way.daddr, way.sport, way.dport))) for way in both]
            state = found.protoinfo.state_name() if found.protoinfo else ""
            return replace(entry(protocol, ways, bool(found.status & _SEEN_REPLY)), state=state)
    return None
