from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import ConflictError
from labkit.network import ipam


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
