"""rtnetlink(7): links, addresses and routes.

pyroute2 knows the messages' layout; the conversation itself is a socket, a request, an answer. Importing the whole of
pyroute2 takes 145 ms, since its ``__init__`` imports everything that the library can do. We need three message classes,
so we put an empty package of that name in place first: 30 ms.
"""

from __future__ import annotations

import importlib.util
import os
import socket
import struct
import sys
import types

from labkit.errors import KernelError
from labkit.kernel import libc
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_EXCL, _NLM_F_CREATE = 0x1, 0x4, 0x200, 0x400
_NLMSG_ERROR = 2
_RTM_NEWLINK, _RTM_DELLINK, _RTM_NEWADDR, _RTM_NEWROUTE = 16, 17, 20, 24
_IFF_UP = 1
_RT_TABLE_MAIN, _RTPROT_STATIC, _RT_SCOPE_UNIVERSE, _RTN_UNICAST = 254, 4, 0, 1


def _message_classes() -> tuple[Any, Any, Any]:
    if "pyroute2" not in sys.modules:
        found = importlib.util.find_spec("pyroute2")
        if found is None or found.submodule_search_locations is None:
            raise KernelError("pyroute2 is not installed beside labkit", "deploy it again: invoke deploy")
        package = types.ModuleType("pyroute2")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["pyroute2"] = package
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    return ifinfmsg, ifaddrmsg, rtmsg


def _ask(message: Any, kind: int, flags: int, what: str) -> None:
    """Send one request and read its acknowledgement; ``what`` names it in the error."""
    message["header"]["type"] = kind
    message["header"]["flags"] = _NLM_F_REQUEST | _NLM_F_ACK | flags
    message["header"]["sequence_number"] = 1
    message.encode()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as wire:
        wire.bind((0, 0))
        wire.send(message.data)
        answer = wire.recv(65536)
    # struct nlmsghdr is 16 bytes, its type at 4; in struct nlmsgerr a negative errno follows it (netlink(7)).
    if struct.unpack_from("=H", answer, 4)[0] == _NLMSG_ERROR:
        number = -struct.unpack_from("=i", answer, 16)[0]
        if number:
            libc.fail(what, number)


def index(name: str) -> int:
    """The number of a link in this network namespace; 0 if there is none of that name."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _index(name: str) -> int:
    number = index(name)
    if not number:
        raise KernelError(f"there is no network device {name} here")
    return number


def add_bridge(name: str) -> None:
    """``ip link add NAME type bridge``."""
    message = _message_classes()[0]()
    message["attrs"] = [["IFLA_IFNAME", name], ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "bridge"]]}]]
    _ask(message, _RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, f"ip link add {name} type bridge")


def add_veth(name: str, peer: str, namespace: str) -> None:
    """``ip link add NAME type veth peer name PEER netns …``; ``namespace`` is the path of the peer's network
    namespace.
    """
    ifinfmsg = _message_classes()[0]
    descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        other = {"attrs": [["IFLA_IFNAME", peer], ["IFLA_NET_NS_FD", descriptor]]}
        data = ["IFLA_INFO_DATA", {"attrs": [["VETH_INFO_PEER", other]]}]
        message = ifinfmsg()
        message["attrs"] = [
            ["IFLA_IFNAME", name],
            ["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_KIND", "veth"], data]}],
        ]
        _ask(message, _RTM_NEWLINK, _NLM_F_CREATE | _NLM_F_EXCL, f"ip link add {name} type veth peer name {peer}")
    finally:
        os.close(descriptor)


def delete_link(name: str) -> None:
    """``ip link delete NAME``; nothing where there is none. The other end of a veth pair goes with it."""
    number = index(name)
    if number:
        message = _message_classes()[0]()
        message["index"] = number
        _ask(message, _RTM_DELLINK, 0, f"ip link delete {name}")


def set_up(name: str) -> None:
    """``ip link set NAME up``."""
    message = _message_classes()[0]()
    message["index"] = _index(name)
    message["flags"], message["change"] = _IFF_UP, _IFF_UP
    _ask(message, _RTM_NEWLINK, 0, f"ip link set {name} up")


def set_master(name: str, bridge: str) -> None:
    """``ip link set NAME master BRIDGE``: make it a port of the bridge."""
    message = _message_classes()[0]()
    message["index"] = _index(name)
    message["attrs"] = [["IFLA_MASTER", _index(bridge)]]
    _ask(message, _RTM_NEWLINK, 0, f"ip link set {name} master {bridge}")


def add_address(name: str, address: str, prefix: int) -> None:
    """``ip address add ADDRESS/PREFIX dev NAME`` (IPv4)."""
    message = _message_classes()[1]()
    message["family"] = socket.AF_INET
    message["prefixlen"] = prefix
    message["index"] = _index(name)
    message["attrs"] = [["IFA_LOCAL", address], ["IFA_ADDRESS", address]]
    _ask(message, _RTM_NEWADDR, _NLM_F_CREATE | _NLM_F_EXCL, f"ip address add {address}/{prefix} dev {name}")


def add_default_route(gateway: str) -> None:
    """``ip route add default via GATEWAY``."""
    message = _message_classes()[2]()
    message["family"] = socket.AF_INET
    message["table"], message["proto"] = _RT_TABLE_MAIN, _RTPROT_STATIC
    message["scope"], message["type"] = _RT_SCOPE_UNIVERSE, _RTN_UNICAST
    message["attrs"] = [["RTA_GATEWAY", gateway]]
    _ask(message, _RTM_NEWROUTE, _NLM_F_CREATE | _NLM_F_EXCL, f"ip route add default via {gateway}")
