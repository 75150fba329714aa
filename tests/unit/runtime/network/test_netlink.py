"""The requests of rtnetlink(7), byte by byte as pyroute2 writes them."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

from labkit.runtime.network import netlink

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pyroute2's messages are made on Linux only")

HEADER = 16


def body(message: Any) -> bytes:
    """What pyroute2 makes of it, without the header."""
    message.encode()
    return bytes(message.data)[HEADER:]


def link(**fields: Any) -> Any:
    from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg

    message = ifinfmsg()
    for name, value in fields.items():
        message[name] = value
    return message


def test_a_bridge() -> None:
    info = {"attrs": [["IFLA_INFO_KIND", "bridge"]]}
    theirs = link(attrs=[["IFLA_IFNAME", "labkit0"], ["IFLA_LINKINFO", info]])
    assert netlink.bridge_message("labkit0") == body(theirs)


def test_a_veth_pair_whose_peer_is_elsewhere() -> None:
    peer = {"attrs": [["IFLA_IFNAME", "eth0"], ["IFLA_NET_NS_FD", 7]]}
    info = {"attrs": [["IFLA_INFO_KIND", "veth"], ["IFLA_INFO_DATA", {"attrs": [["VETH_INFO_PEER", peer]]}]]}
    theirs = link(attrs=[["IFLA_IFNAME", "veth1234567"], ["IFLA_LINKINFO", info]])
    assert netlink.veth_message("veth1234567", "eth0", 7) == body(theirs)


def test_hardware_addresses() -> None:
    mac = "02:42:0a:4d:00:01"
    info = {"attrs": [["IFLA_INFO_KIND", "bridge"]]}
    theirs = link(attrs=[["IFLA_IFNAME", "labkit0"], ["IFLA_ADDRESS", mac], ["IFLA_LINKINFO", info]])
    assert netlink.bridge_message("labkit0", mac) == body(theirs)
    peer = {"attrs": [["IFLA_IFNAME", "eth0"], ["IFLA_ADDRESS", mac], ["IFLA_NET_NS_FD", 7]]}
    data = {"attrs": [["IFLA_INFO_KIND", "veth"], ["IFLA_INFO_DATA", {"attrs": [["VETH_INFO_PEER", peer]]}]]}
    theirs = link(attrs=[["IFLA_IFNAME", "veth1234567"], ["IFLA_LINKINFO", data]])
    assert netlink.veth_message("veth1234567", "eth0", 7, mac) == body(theirs)


def test_a_link_that_is_set_up() -> None:
    assert netlink.link_message(258, 1) == body(link(index=258, flags=1, change=1))


def test_a_link_that_becomes_a_bridges_port() -> None:
    ours = netlink.link_message(5, attributes={10: 3})
    assert ours == body(link(index=5, attrs=[["IFLA_MASTER", 3]]))


def test_a_port_that_takes_back_what_came_from_it() -> None:
    data = ["IFLA_INFO_SLAVE_DATA", {"attrs": [["IFLA_BRPORT_MODE", 1]]}]
    theirs = link(index=9, attrs=[["IFLA_LINKINFO", {"attrs": [["IFLA_INFO_SLAVE_KIND", "bridge"], data]}]])
    assert netlink.hairpin_message(9) == body(theirs)


def test_a_vlan_of_a_link() -> None:
    info = {"attrs": [["IFLA_INFO_KIND", "vlan"], ["IFLA_INFO_DATA", {"attrs": [["IFLA_VLAN_ID", 10]]}]]}
    theirs = link(attrs=[["IFLA_IFNAME", "eth0.10"], ["IFLA_LINK", 2], ["IFLA_LINKINFO", info]])
    assert netlink.vlan_message("eth0.10", 2, 10) == body(theirs)


def test_an_address() -> None:
    from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg

    theirs = ifaddrmsg()
    theirs["family"], theirs["prefixlen"], theirs["index"] = socket.AF_INET, 16, 4
    theirs["attrs"] = [["IFA_LOCAL", "172.30.0.2"], ["IFA_ADDRESS", "172.30.0.2"]]
    assert netlink.address_message(4, "172.30.0.2", 16) == body(theirs)


def test_a_default_route() -> None:
    from pyroute2.netlink.rtnl.rtmsg import rtmsg

    theirs = rtmsg()
    theirs["family"], theirs["table"], theirs["proto"], theirs["scope"], theirs["type"] = socket.AF_INET, 254, 4, 0, 1
    theirs["attrs"] = [["RTA_GATEWAY", "172.30.0.1"]]
    assert netlink.default_route_message("172.30.0.1") == body(theirs)


@pytest.mark.parametrize(("value", "padded"), [(b"", 4), (b"1", 8), (b"1234", 8), (b"12345", 12)])
def test_an_attribute_is_filled_up_and_says_its_own_length(value: bytes, padded: int) -> None:
    made = netlink.encoded({3: value})
    assert (len(made), int.from_bytes(made[:2], sys.byteorder)) == (padded, 4 + len(value))
