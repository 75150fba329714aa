"""rtnetlink(7): links, addresses and routes.

A conversation is a socket, a request, an answer. A request is a header, a fixed part for its family (links, addresses
or routes) and attributes, of which some hold attributes themselves. We need nine requests, so they are put together
here: pyroute2, which knows them all, takes 30 ms to import at its shortest, a quarter of a container's start.
"""

from __future__ import annotations

import os
import struct

from labkit.errors import KernelError
from labkit.runtime.kernel import libc
from labkit.runtime.network import ipam
from labkit.runtime.std import socket
from labkit.runtime.std.typing import Any

_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_EXCL, _NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
_NEW = _NLM_F_CREATE | _NLM_F_EXCL
_NLMSG_ERROR = 2
#: Requests: RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR or RTM_NEWROUTE, and whether it must not be there yet.
ADD_LINK, CHANGE_LINK, _DELETE_LINK, ADD_ADDRESS, ADD_ROUTE = (16, _NEW), (16, 0), (17, 0), (20, _NEW), (24, _NEW)
IFF_UP = 1
_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 4, 0, 1

# Attributes (linux/if_link.h, if_addr.h, rtnetlink.h, veth.h).
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_LINK, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 5, 10, 18, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
_IFLA_BRPORT_MODE = 4
_IFLA_VLAN_ID = 1
_VETH_INFO_PEER = 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_GATEWAY = 5


def link_message(number: int = 0, flags: int = 0, attributes: dict[int, Any] | None = None) -> bytes:
    """struct ifinfomsg: the link of that index (0: by its name, or a new one); ``flags`` are set, others stay."""
    return struct.pack("=BxHiII", socket.AF_UNSPEC, 0, number, flags, flags) + encoded(attributes or {})


def bridge_message(name: str, mac: str = "") -> bytes:
    """A new bridge, with that address of its own if one is given."""
    kind = {_IFLA_INFO_KIND: "bridge"}
    return link_message(attributes={_IFLA_IFNAME: name, **_hardware_address(mac), _IFLA_LINKINFO: kind})


def veth_message(name: str, peer: str, namespace: int, mac: str = "") -> bytes:
    """A new pair; ``namespace`` is a descriptor of the peer's network namespace, ``mac`` the peer's address."""
    other = {_IFLA_IFNAME: peer, **_hardware_address(mac), _IFLA_NET_NS_FD: namespace}
    data = {_VETH_INFO_PEER: link_message(attributes=other)}
    info = {_IFLA_INFO_KIND: "veth", _IFLA_INFO_DATA: data}
    return link_message(attributes={_IFLA_IFNAME: name, _IFLA_LINKINFO: info})


def port_message(number: int, bridge: int) -> bytes:
    """The link of that index becomes a port of the bridge of the index ``bridge``."""
    return link_message(number, attributes={_IFLA_MASTER: bridge})


def hairpin_message(number: int) -> bytes:
    """The link of that index is a port of a bridge, and takes back what came from it."""
    info = {_IFLA_INFO_SLAVE_KIND: "bridge", _IFLA_INFO_SLAVE_DATA: {_IFLA_BRPORT_MODE: b"\1"}}
    return link_message(number, attributes={_IFLA_LINKINFO: info})


def vlan_message(name: str, parent: int, vlan: int) -> bytes:
    """A new link of the VLAN ``vlan`` of the link of the index ``parent``."""
    info = {_IFLA_INFO_KIND: "vlan", _IFLA_INFO_DATA: {_IFLA_VLAN_ID: struct.pack("=H", vlan)}}
    return link_message(attributes={_IFLA_IFNAME: name, _IFLA_LINK: parent, _IFLA_LINKINFO: info})


def address_message(number: int, address: str, prefix: int) -> bytes:
    """struct ifaddrmsg: an address of the link of that index."""
    packed = ipam.packed(address)
    start = struct.pack("=BBBBI", ipam.FAMILY, prefix, 0, _RT_SCOPE_UNIVERSE, number)
    return start + encoded({_IFA_LOCAL: packed, _IFA_ADDRESS: packed})


def default_route_message(gateway: str) -> bytes:
    """struct rtmsg: the way to everywhere (a destination of no bits)."""
    about = (_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_UNICAST)
    return struct.pack("=8BI", ipam.FAMILY, 0, 0, 0, *about, 0) + encoded({_RTA_GATEWAY: ipam.packed(gateway)})


def encoded(attributes: dict[int, Any], nested: int = 0) -> bytes:
    """struct rtattr for each: its length, its kind and its value, filled up to four bytes.

    A value is bytes, text (a zero ends it), a number of 32 bits, or attributes in it, of a kind marked ``nested``.
    """
    made = b""
    for kind, value in attributes.items():
        if isinstance(value, dict):
            value, kind = encoded(value, nested), kind | nested
        elif isinstance(value, str):
            value = os.fsencode(value) + b"\0"
        elif isinstance(value, int):
            value = struct.pack("=I", value)
        made += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return made


def _hardware_address(mac: str) -> dict[int, bytes]:
    return {_IFLA_ADDRESS: bytes.fromhex(mac.replace(":", ""))} if mac else {}


def ask(request: tuple[int, int], body: bytes, command: str) -> None:
    """Send one request and read its acknowledgement. KernelError names the ``command`` that does the same."""
    kind, flags = request[0], request[1] | _NLM_F_REQUEST | _NLM_F_ACK
    header = struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0)  # struct nlmsghdr; sequence number 1, from us
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as wire:
        wire.bind((0, 0))
        wire.send(header + body)
        answer = wire.recv(65536)
    # The type is at 4 of the header; in struct nlmsgerr a negative errno follows it (netlink(7)).
    if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, 16)[0]
        if number:
            libc.fail(command, number)


def index(name: str) -> int:
    """The number of a link in this network namespace; 0 if there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def index_of(name: str) -> int:
    """``index``; KernelError if there is none of that name."""
    number = index(name)
    if not number:
        raise KernelError(f"there is no network device {name} here")
    return number


def delete_link(name: str) -> None:
    """``ip link delete NAME``; nothing where there is none. The other end of a veth pair goes with it."""
    number = index(name)
    if number:
        ask(_DELETE_LINK, link_message(number), f"ip link delete {name}")
