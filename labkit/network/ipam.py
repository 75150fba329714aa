"""Address management: which address is next. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from labkit.errors import ConflictError


def gateway(subnet: str) -> str:
    """The network's first host address; the bridge has it."""
    return str(next(ipaddress.IPv4Network(subnet).hosts()))


def allocate(subnet: str, used: Collection[str]) -> str:
    """The lowest free host address of ``subnet`` (as ``10.77.0.0/16``), the gateway's excepted. ConflictError if none
    is.
    """
    network = ipaddress.IPv4Network(subnet)
    taken = {int(ipaddress.IPv4Address(address)) for address in used} | {int(ipaddress.IPv4Address(gateway(subnet)))}
    for number in range(int(network.network_address) + 1, int(network.broadcast_address)):
        if number not in taken:
            return str(ipaddress.IPv4Address(number))
    raise ConflictError(
        f"all addresses of {subnet} are in use", "stop a container, or use a network with a larger subnet"
    )
