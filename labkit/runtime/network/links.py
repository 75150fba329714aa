"""Operations on network namespaces, links, addresses and routes, as ip(8) does them."""

from __future__ import annotations

import errno
import os

from labkit.errors import KernelError
from labkit.runtime.kernel import mounts, namespaces
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.network import netlink
from labkit.runtime.operations import Operation
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote
from labkit.runtime.text import textfile

#: Where ip-netns(8) looks: a namespace is a file with the namespace's own link mounted on it.
NETNS_DIRECTORY = "/run/netns"


def namespace_path(name: str) -> str:
    """The file that keeps the network namespace ``name`` alive."""
    return f"{NETNS_DIRECTORY}/{name}"


def _address(mac: str) -> str:
    return f" address {mac}" if mac else ""


@dataclass(frozen=True)
class AddNamespace(Operation):
    """A network namespace that lives without a process, since a bind mount holds it (namespaces(7))."""

    name: str

    def describe(self) -> str:
        """As ip-netns(8)."""
        return f"ip netns add {quote(self.name)}"

    def describe_undo(self) -> str:
        """As ip-netns(8)."""
        return f"ip netns delete {quote(self.name)}"

    def do(self) -> None:
        """Enter a new namespace, mount its link on a file, go home."""
        os.makedirs(NETNS_DIRECTORY, exist_ok=True)
        path = namespace_path(self.name)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))
        with kept_open(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)) as home:
            namespaces.unshare(namespaces.FLAGS["net"])
            try:
                mounts.mount("/proc/thread-self/ns/net", path, flags=mounts.MS_BIND)
            finally:
                namespaces.setns(home, namespaces.FLAGS["net"])

    def undo(self) -> None:
        """Unmount and remove the file. The namespace goes with its last process, its end of a veth pair with it."""
        path = namespace_path(self.name)
        mounts.detach_if_mounted(path)
        textfile.remove(path)


class _ByNetlink(Operation):
    """One request of rtnetlink(7), whose errors name the command that does the same."""

    request = netlink.CHANGE_LINK

    def _message(self) -> bytes:
        raise NotImplementedError

    def do(self) -> None:
        """Ask the kernel for it."""
        netlink.ask(self.request, self._message(), self.describe())


@dataclass(frozen=True)
class _AddLink(_ByNetlink):
    """A link that is made, and unmade."""

    name: str
    request = netlink.ADD_LINK

    def describe_undo(self) -> str:
        """As ip-link(8)."""
        return f"ip link delete {quote(self.name)}"

    def undo(self) -> None:
        """RTM_DELLINK."""
        netlink.delete_link(self.name)


@dataclass(frozen=True)
class _OfDevice(_ByNetlink):
    """What goes with its device, and the device with its own operation."""

    device: str

    def undo(self) -> None:
        """Nothing."""


@dataclass(frozen=True)
class _InNamespace(_OfDevice):
    """An operation on a device of the host, or of the network namespace ``namespace``."""

    namespace: str = ""

    def _ip(self) -> str:
        return f"ip -n {quote(self.namespace)}" if self.namespace else "ip"

    def do(self) -> None:
        """Ask the kernel for it there."""
        with namespaces.entered(namespace_path(self.namespace)) if self.namespace else suppress():
            super().do()


@dataclass(frozen=True)
class AddBridge(_AddLink):
    """A bridge: a switch in software, its ports are links.

    Without an address of its own it borrows the lowest of its ports' (br_stp_if.c), and has another one when that port
    goes. Containers remember the gateway's for half a minute (arp(7)), and their packets would go nowhere meanwhile.
    """

    mac: str = ""

    def describe(self) -> str:
        """As ip-link(8)."""
        return f"ip link add {quote(self.name)}{_address(self.mac)} type bridge"

    def _message(self) -> bytes:
        return netlink.bridge_message(self.name, self.mac)


@dataclass(frozen=True)
class AddVeth(_AddLink):
    """A pair of links with a cable between them: one here, its peer in a network namespace (veth(4)).

    The peer's hardware address follows from its IP address, so that what others remember (arp(7)) stays true when the
    container is started again, or another one has its address.
    """

    peer: str
    namespace: str
    mac: str = ""

    def describe(self) -> str:
        """As ip-link(8)."""
        peer = f"{quote(self.peer)}{_address(self.mac)} netns {quote(self.namespace)}"
        return f"ip link add {quote(self.name)} type veth peer name {peer}"

    def do(self) -> None:
        """RTM_NEWLINK, the peer's namespace given by a descriptor."""
        with kept_open(os.open(namespace_path(self.namespace), os.O_RDONLY | os.O_CLOEXEC)) as descriptor:
            message = netlink.veth_message(self.name, self.peer, descriptor, self.mac)
            netlink.ask(self.request, message, self.describe())

    def describe_undo(self) -> str:
        """Nothing: it goes with its namespace, if not before."""
        return ""

    def undo(self) -> None:
        """RTM_DELLINK: both ends go."""
        with suppress(KernelError):  # it may go by itself at this moment, with its namespace
            netlink.delete_link(self.name)


@dataclass(frozen=True)
class JoinBridge(_OfDevice):
    """A link becomes a port of a bridge."""

    bridge: str

    def describe(self) -> str:
        """As ip-link(8)."""
        return f"ip link set {quote(self.device)} master {quote(self.bridge)}"

    def _message(self) -> bytes:
        return netlink.port_message(netlink.index_of(self.device), netlink.index_of(self.bridge))


@dataclass(frozen=True)
class SetHairpin(_OfDevice):
    """A port of a bridge takes back what came from it.

    Only where br_netfilter is loaded (docker does that) a container needs it to reach its own published port: then the
    packet is translated within the bridge, and has to leave by the port by which it came. Otherwise it passes this
    machine's own routing, and the bridge does not see that it is the same port (br_forward.c, should_deliver).
    """

    def describe(self) -> str:
        """As bridge(8)."""
        return f"bridge link set dev {quote(self.device)} hairpin on"

    def _message(self) -> bytes:
        return netlink.hairpin_message(netlink.index_of(self.device))


@dataclass(frozen=True)
class AddVlan(_AddLink):
    """A link that carries the frames of one VLAN of its parent (802.1Q)."""

    parent: str
    number: int

    def describe(self) -> str:
        """As ip-link(8)."""
        return f"ip link add link {quote(self.parent)} name {quote(self.name)} type vlan id {self.number}"

    def _message(self) -> bytes:
        return netlink.vlan_message(self.name, netlink.index_of(self.parent), self.number)

    def do(self) -> None:
        """The kernel loads its module 8021q for it, if it has one."""
        try:
            super().do()
        except KernelError as error:
            if error.errno == errno.EOPNOTSUPP:
                raise KernelError("this kernel has no VLANs (802.1Q)", "try: modprobe 8021q", error.errno) from None
            raise


class SetUp(_InNamespace):
    """A link begins to carry packets."""

    def describe(self) -> str:
        """As ip-link(8)."""
        return f"{self._ip()} link set {quote(self.device)} up"

    def _message(self) -> bytes:
        return netlink.link_message(netlink.index_of(self.device), netlink.IFF_UP)


@dataclass(frozen=True)
class AddAddress(_InNamespace):
    """An address, and with its prefix the route to its neighbours."""

    address: str = ""
    prefix: int = 0
    request = netlink.ADD_ADDRESS

    def describe(self) -> str:
        """As ip-address(8)."""
        return f"{self._ip()} address add {self.address}/{self.prefix} dev {quote(self.device)}"

    def _message(self) -> bytes:
        return netlink.address_message(netlink.index_of(self.device), self.address, self.prefix)


@dataclass(frozen=True)
class AddDefaultRoute(_InNamespace):
    """Where packets for everybody else go."""

    gateway: str = ""
    request = netlink.ADD_ROUTE

    def describe(self) -> str:
        """As ip-route(8)."""
        return f"{self._ip()} route add default via {self.gateway} proto static"

    def _message(self) -> bytes:
        return netlink.default_route_message(self.gateway)
