"""What ctnetlink is asked, byte by byte as pyroute2 writes it."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from labkit.runtime.network import conntrack
from labkit.runtime.network.conntrack import Entry

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pyroute2's messages are made on Linux only")

HEADER = 16 + 4
NESTED = 0x8000


def theirs(protocol: list[list[Any]]) -> bytes:
    """pyroute2's attribute for 10.77.0.3 → 10.77.0.1."""
    from pyroute2.netlink.nfnetlink.nfctsocket import nfct_msg

    addresses = {"attrs": [["CTA_IP_V4_SRC", "10.77.0.3"], ["CTA_IP_V4_DST", "10.77.0.1"]]}
    message = nfct_msg()
    message["attrs"] = [
        ["CTA_TUPLE_ORIG", {"attrs": [["CTA_TUPLE_IP", addresses], ["CTA_TUPLE_PROTO", {"attrs": protocol}]]}]
    ]
    message.encode()
    return bytes(message.data)[HEADER:]


def without_marks(data: bytes) -> Any:
    """Attributes as nested dictionaries: pyroute2 does not mark those that hold others."""
    return {
        kind: {inner: conntrack.attributes(value) for inner, value in conntrack.attributes(value).items()}
        for kind, value in conntrack.attributes(data).items()
    }


def test_a_datagrams_tuple() -> None:
    entry = Entry("udp", "10.77.0.3:5000", "10.77.0.1:53", "10.77.0.2:53", "10.77.0.1:5000")
    ports = [["CTA_PROTO_NUM", 17], ["CTA_PROTO_SRC_PORT", 5000], ["CTA_PROTO_DST_PORT", 53]]
    assert without_marks(conntrack.tuple_of(entry)) == without_marks(theirs(ports))


def test_a_pings_tuple() -> None:
    entry = Entry("icmp", "10.77.0.3", "10.77.0.1", "10.77.0.1", "10.77.0.3", echo=(8, 0, 77))
    details = [
        ["CTA_PROTO_NUM", 1],
        ["CTA_PROTO_ICMP_ID", 77],
        ["CTA_PROTO_ICMP_TYPE", 8],
        ["CTA_PROTO_ICMP_CODE", 0],
    ]
    assert without_marks(conntrack.tuple_of(entry)) == without_marks(theirs(details))
