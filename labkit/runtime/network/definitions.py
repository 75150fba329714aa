"""The networks that users make: what they are is in /var/lib/labkit/networks/NAME.json, and outlives a boot.

A definition is not yet a bridge: that comes with the first container and goes with the last (reservations.py).
"""

from __future__ import annotations

import os
import struct
import time
import zlib

from labkit.errors import ConfigError, ConflictError, NotFoundError, UsageError
from labkit.runtime.network import ipam, netlink, reservations
from labkit.runtime.network.model import DEFAULT, Network
from labkit.runtime.std import json
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import asdict
from labkit.runtime.text import textfile

DIRECTORY = "/var/lib/labkit/networks"
DRIVERS = ("bridge", "vlan")
#: What --network takes for something else.
_RESERVED = ("bridge", "host", "none", "default", "container", "ports", "names", DEFAULT.name)
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


def check_name(name: str) -> str:
    """UsageError for what cannot be a network's name."""
    if not (0 < len(name) <= 63 and set(name) <= _LETTERS and name[0].isalnum()):
        raise UsageError(f"'{name}' is no network name", "up to 63 letters, digits, and _ . - after the first")
    if name in _RESERVED or name.endswith(".lock"):  # (a network's lock is a file beside its directory)
        raise UsageError(f"the name '{name}' means something already", "choose another one")
    return name


def find(name: str) -> Network:
    """labkit0 (also called bridge) or a user's network. NotFoundError lists those there are."""
    if name in (DEFAULT.name, "bridge"):
        return DEFAULT
    if set(name) <= _LETTERS:
        with suppress(FileNotFoundError):
            return _load(f"{DIRECTORY}/{name}.json")
    names = ", ".join(network.name for network in everything())
    raise NotFoundError(f"there is no network '{name}'", f"networks here: {names}; make one: labkit network create")


def everything() -> list[Network]:
    """labkit0, then the users' networks by name."""
    found = [DEFAULT]
    with suppress(FileNotFoundError):
        for file in sorted(os.listdir(DIRECTORY)):
            if file.endswith(".json"):
                with suppress(FileNotFoundError):
                    found.append(_load(f"{DIRECTORY}/{file}"))
    return found


def _load(path: str) -> Network:
    try:
        return Network(**json.loads(textfile.read(path)))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "it is damaged; remove it by hand") from error


def create(
    name: str,
    driver: str = "bridge",
    subnet: str = "",
    gateway: str = "",
    internal: bool = False,
    parent: str = "",
    vlan: int | None = None,
) -> Network:
    """Write a network's definition. UsageError, ConflictError or NotFoundError for what cannot be; nothing is done."""
    check_name(name)
    _check_driver(driver, internal, parent, vlan)
    with reservations.locked(".definitions"):
        known = everything()
        if any(network.name == name for network in known):
            raise ConflictError(f"there is a network '{name}' already", f"see: labkit network inspect {name}")
        subnet = _subnet(subnet, known)
        if gateway and not ipam.is_host(gateway, subnet):
            raise UsageError(
                f"the gateway {gateway} is not of the subnet {subnet}", "leave it out, or choose one there"
            )
        bridge = f"labkit-{zlib.crc32(name.encode()):08x}"
        if any(network.bridge == bridge for network in known):
            raise ConflictError(f"the name '{name}' makes the same bridge as another network's", "choose another one")
        network = Network(
            name=name,
            subnet=subnet,
            bridge=bridge,
            driver=driver,
            gateway=gateway or (ipam.gateway(subnet) if driver == "bridge" else ""),
            internal=internal,
            parent=parent,
            vlan=vlan or 0,
            created=time.time(),
        )
        _check_vlan(network, known)
        os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
        textfile.replace(f"{DIRECTORY}/{name}.json", json.dumps(asdict(network)))
    return network


def _check_driver(driver: str, internal: bool, parent: str, vlan: int | None) -> None:
    if driver not in DRIVERS:
        raise UsageError(f"there is no network driver '{driver}'", f"one of {', '.join(DRIVERS)}")
    if driver == "bridge":
        if parent or vlan is not None:
            raise UsageError("a parent and a vlan id are for the driver vlan", "add: --driver vlan")
        return
    if internal:
        raise UsageError("a VLAN is shared with other machines: it cannot be internal", "leave --internal out")
    if not parent or vlan is None:
        raise UsageError("the driver vlan needs a parent and a vlan id", "as --parent eth0 --vlan-id 10")
    if not 1 <= vlan <= 4094:
        raise UsageError(f"{vlan} is no vlan id", "a number from 1 to 4094 (802.1Q)")
    if not netlink.index(parent):
        raise NotFoundError(f"there is no network device '{parent}'", "see 'ip -br link'")


def _check_vlan(network: Network, known: list[Network]) -> None:
    for other in known:
        if network.vlan and (network.parent, network.vlan) == (other.parent, other.vlan):
            raise ConflictError(
                f"the network {other.name} has the vlan {network.vlan} of {network.parent} already", "join that one"
            )


def _subnet(wish: str, known: list[Network]) -> str:
    networks = [network.subnet for network in known]
    if not wish:
        return ipam.pick_subnet([*networks, *routes()])
    subnet = ipam.check_subnet(wish)
    for network in known:
        if ipam.overlap(subnet, network.subnet):
            raise ConflictError(f"{subnet} overlaps {network.subnet} of the network {network.name}", "choose another")
    for route in routes():
        if ipam.overlap(subnet, route):
            raise ConflictError(f"{subnet} overlaps {route}, which this machine has a route to", "see 'ip route'")
    return subnet


def routes() -> list[str]:
    """The subnets that this machine has routes to, the default route excepted (/proc/net/route, proc(5))."""
    found = []
    for line in textfile.read("/proc/net/route").splitlines()[1:]:
        fields = line.split()
        # The kernel prints the bytes as this processor's number: little endian on those that we know.
        address, mask = (struct.unpack(">I", struct.pack("=I", int(fields[place], 16)))[0] for place in (1, 7))
        if mask:
            found.append(f"{ipam.text_of(address)}/{bin(mask).count('1')}")
    return found


def remove(name: str) -> None:
    """Forget a network. ConflictError while somebody is in it, NotFoundError where there is none of that name."""
    network = find(name)
    if network is DEFAULT:
        raise ConflictError("labkit0 is always there", "its bridge goes with its last container")
    with reservations.locked(".definitions"), reservations.locked(network.name):
        members = sorted({owner[:12] for owner in reservations.addresses(network.name).values()})
        if members:
            raise ConflictError(
                f"the network {network.name} is in use by {', '.join(members)}",
                f"stop them, or: labkit network disconnect {network.name} {members[0]}",
            )
        reservations.take_down_if_unused(network.name)  # if somebody was killed while it came up
        textfile.remove(f"{DIRECTORY}/{network.name}.json")
