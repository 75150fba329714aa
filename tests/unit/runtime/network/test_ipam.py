from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ConflictError, UsageError
from labkit.runtime.network import ipam


def test_the_gateway_is_the_first_address_and_containers_follow() -> None:
    assert ipam.gateway("10.77.0.0/16") == "10.77.0.1"
    assert ipam.allocate("10.77.0.0/16", []) == "10.77.0.2"
    assert ipam.allocate("10.77.0.0/16", ["10.77.0.2", "10.77.0.4"]) == "10.77.0.3"


def test_an_address_that_was_given_back_is_given_again() -> None:
    taken = [ipam.allocate("10.0.0.0/29", [])]
    taken.append(ipam.allocate("10.0.0.0/29", taken))
    assert ipam.allocate("10.0.0.0/29", taken[1:]) == taken[0]


def test_a_full_network_says_so() -> None:
    hosts = [str(address) for address in ipaddress.IPv4Network("10.0.0.0/29").hosts()]
    with pytest.raises(ConflictError, match=r"all addresses of 10\.0\.0\.0/29 are in use"):
        ipam.allocate("10.0.0.0/29", hosts[1:])


@given(st.sets(st.integers(1, 254)))
def test_what_is_allocated_is_a_free_host_address(used: set[int]) -> None:
    addresses = {f"192.168.7.{number}" for number in used}
    if len(addresses | {"192.168.7.1"}) == 254:
        return
    chosen = ipam.allocate("192.168.7.0/24", addresses)
    assert chosen not in addresses | {"192.168.7.0", "192.168.7.1", "192.168.7.255"}
    assert ipaddress.IPv4Address(chosen) in ipaddress.IPv4Network("192.168.7.0/24")


@given(st.text(alphabet="0123456789./", max_size=20) | st.text(max_size=10))
def test_a_subnet_is_one_for_the_standard_library_too(text: str) -> None:
    try:
        subnet = ipam.check_subnet(text)
    except UsageError:
        return
    known = ipaddress.IPv4Network(subnet)
    assert ipam.bounds(subnet) == (int(known.network_address), int(known.broadcast_address))


@pytest.mark.parametrize(
    "text",
    ["10.0.0.0", "10.0.0.1/24", "10.0.0.0/33", "10.0.0.0/30", "10.0.0/24", "127.0.0.0/24", "a/8", "010.0.0.0/24"],
)
def test_what_is_no_subnet_for_containers_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        ipam.check_subnet(text)


_SUBNETS = st.builds(lambda number, prefix: str(ipaddress.IPv4Network((number, prefix), strict=False)),
                     st.integers(0, 2**32 - 1), st.integers(8, 29))  # fmt: skip


@given(_SUBNETS, _SUBNETS)
def test_overlap_is_the_standard_librarys(one: str, other: str) -> None:
    assert ipam.overlap(one, other) == ipaddress.IPv4Network(one).overlaps(ipaddress.IPv4Network(other))


def test_a_subnet_is_picked_beside_those_there_are() -> None:
    assert ipam.pick_subnet([]) == "10.78.0.0/16"
    assert ipam.pick_subnet(["10.77.0.0/16", "10.78.3.0/24"]) == "10.79.0.0/16"
    with pytest.raises(ConflictError):
        ipam.pick_subnet(["0.0.0.0/0"])


def test_a_wish_is_met_or_refused() -> None:
    assert ipam.allocate("10.0.0.0/29", [], "10.0.0.5") == "10.0.0.5"
    with pytest.raises(ConflictError, match="in use"):
        ipam.allocate("10.0.0.0/29", ["10.0.0.5"], "10.0.0.5")
    with pytest.raises(ConflictError, match="in use"):
        ipam.allocate("10.0.0.0/29", [], "10.0.0.1")
    with pytest.raises(UsageError):
        ipam.allocate("10.0.0.0/29", [], "10.0.0.7")
