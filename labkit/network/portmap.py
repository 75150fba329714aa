"""Published ports: ``-p`` as docker writes it, and the rules that one is made of."""

from __future__ import annotations

import errno
import ipaddress
import socket

from labkit.errors import ConflictError, UsageError
from labkit.network.bridge import CHAIN
from labkit.network.iptables import AddRules
from labkit.value import Value

_FORMS = "write HOST_PORT:CONTAINER_PORT, as -p 6379:6379, with an address before it or /udp behind it where needed"


class PortMapping(Value):
    """One port of the host that leads to one of a container; ``host_address`` empty means any of the host's."""

    host_port: int
    container_port: int
    protocol: str = "tcp"
    host_address: str = ""

    def __str__(self) -> str:
        """As ``docker ps`` shows it."""
        return f"{self.host_address or '0.0.0.0'}:{self.host_port}->{self.container_port}/{self.protocol}"  # noqa: S104


def parse(text: str) -> PortMapping:
    """``[ADDRESS:]HOST_PORT:CONTAINER_PORT[/tcp|/udp]``. UsageError says which part cannot be meant."""
    ports, _, protocol = text.partition("/")
    if protocol not in ("", "tcp", "udp"):
        raise UsageError(f"'{protocol}' in -p {text} is no protocol", "tcp and udp can be published")
    parts = ports.split(":")
    if len(parts) not in (2, 3):
        raise UsageError(f"-p {text} does not name two ports", _FORMS)
    address = parts[0] if len(parts) == 3 else ""
    if address:
        try:
            ipaddress.IPv4Address(address)
        except ValueError:
            raise UsageError(f"'{address}' in -p {text} is no IPv4 address", _FORMS) from None
    if address == "0.0.0.0":  # noqa: S104 - it is how one writes "any address"
        address = ""
    return PortMapping(_port(parts[-2], text), _port(parts[-1], text), protocol or "tcp", address)


def _port(word: str, text: str) -> int:
    if word.isascii() and word.isdigit() and len(word) <= 5 and 1 <= int(word) <= 65535:
        return int(word)
    raise UsageError(f"'{word}' in -p {text} is no port", "a port is a number from 1 to 65535")


def rules(mapping: PortMapping, address: str) -> AddRules:
    """DNAT in our nat chain, and leave to pass in our filter chain."""
    destination = f"-d {mapping.host_address} " if mapping.host_address else ""
    protocol = f"-p {mapping.protocol} -m {mapping.protocol} --dport"
    return AddRules(
        rules=(
            f"nat {CHAIN} {destination}{protocol} {mapping.host_port} "
            f"-j DNAT --to-destination {address}:{mapping.container_port}",
            f"filter {CHAIN} -d {address} {protocol} {mapping.container_port} -j ACCEPT",
        )
    )


def check_distinct(mappings: list[PortMapping]) -> None:
    """UsageError where one command line publishes a port of the host twice: the second rule would never be reached."""
    for number, mapping in enumerate(mappings):
        for other in mappings[:number]:
            if overlap(mapping, other.protocol, other.host_port, other.host_address):
                raise UsageError(f"port {mapping.host_port}/{mapping.protocol} is published twice", "leave one -p out")


def overlap(mapping: PortMapping, protocol: str, port: int, address: str) -> bool:
    """Whether a mapping takes a packet that another one takes; an empty address is any."""
    same_address = not address or not mapping.host_address or address == mapping.host_address
    return (protocol, port) == (mapping.protocol, mapping.host_port) and same_address


def check_free(mapping: PortMapping) -> None:
    """ConflictError if a process listens on that port: DNAT would silently take its connections away."""
    kind = socket.SOCK_DGRAM if mapping.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((mapping.host_address, mapping.host_port))
        except OSError as error:
            hint = f"see who has it with 'ss -lnp sport = :{mapping.host_port}', or publish another one"
            if error.errno == errno.EADDRNOTAVAIL:
                hint = f"this machine has no address {mapping.host_address}; 'ip -br address' shows those that it has"
            raise ConflictError(
                f"port {mapping.host_port}/{mapping.protocol} cannot be published: {error.strerror}", hint
            ) from None
