"""Published ports: ``-p`` as docker writes it, and the rules that one is made of."""

from __future__ import annotations

import errno

from labkit.errors import ConflictError, UsageError
from labkit.runtime.network import ipam
from labkit.runtime.network.iptables import AddRules
from labkit.runtime.network.model import ANY, Network, PortMapping
from labkit.runtime.std import socket

_FORMS = "write HOST_PORT:CONTAINER_PORT, as -p 6379:6379, with an address before it or /udp behind it where needed"
#: Where a port of ours is looked for when none is named, as docker does: /proc/sys/net/ipv4/ip_local_port_range.
FREE_PORTS = range(32768, 61000)


def parse(text: str) -> list[PortMapping]:
    """``[[ADDRESS:][HOST_PORT]:]CONTAINER_PORT[/tcp|/udp]``; each port may be a range, as ``8000-8005:80-85``.

    UsageError says which part cannot be meant.
    """
    ports, _, protocol = text.partition("/")
    if protocol not in ("", "tcp", "udp"):
        raise UsageError(f"'{protocol}' in -p {text} is no protocol", "tcp and udp can be published")
    if ports.startswith("[") or ports.count(":") > 3:
        raise UsageError(f"-p {text} names an IPv6 address, and labkit publishes ports on IPv4 only", _FORMS)
    parts = ports.split(":")
    if len(parts) > 3 or not ports:
        raise UsageError(f"-p {text} does not name two ports", _FORMS)
    address = parts[0] if len(parts) == 3 else ""
    if address:
        try:
            ipam.number_of(address)
        except UsageError:
            raise UsageError(f"'{address}' in -p {text} is no IPv4 address", _FORMS) from None
    inner = _range(parts[-1], text)
    outer_word = parts[-2] if len(parts) > 1 else ""
    if len(parts) == 2 and not outer_word:
        raise UsageError(f"'' in -p {text} is no port", _FORMS)
    outer = list(_range(outer_word, text)) if outer_word else [0] * len(inner)
    if len(outer) != len(inner):
        raise UsageError(f"the two ranges of -p {text} differ in length", "as -p 8000-8005:80-85")
    address = "" if address == ANY else address
    return [PortMapping(host, port, protocol or "tcp", address) for host, port in zip(outer, inner)]


def parse_all(texts: list[str]) -> list[PortMapping]:
    """All that a command line publishes."""
    return [mapping for text in texts for mapping in parse(text)]


def _range(word: str, text: str) -> range:
    first, dash, last = word.partition("-")
    begin = _port(first, text)
    end = _port(last, text) if dash else begin
    if end < begin:
        raise UsageError(f"the range '{word}' in -p {text} runs backwards", "as -p 8000-8005:80-85")
    return range(begin, end + 1)


def _port(word: str, text: str) -> int:
    if word.isascii() and word.isdigit() and len(word) <= 5 and 1 <= int(word) <= 65535:
        return int(word)
    raise UsageError(f"'{word}' in -p {text} is no port", "a port is a number from 1 to 65535")


def rules(mappings: list[PortMapping], address: str, network: Network, program: str = "iptables") -> AddRules:
    """For each: DNAT in the network's nat chain and for its own containers, and leave to pass in its filter chain."""
    made = []
    for mapping in mappings:
        destination = f"-d {mapping.host_address} " if mapping.host_address else ""
        protocol = f"-p {mapping.protocol} -m {mapping.protocol} --dport"
        translate = (
            f"{destination}{protocol} {mapping.host_port} -j DNAT --to-destination {address}:{mapping.container_port}"
        )
        made += [
            f"nat {network.chain} {translate}",
            f"nat {network.chain}-HAIRPIN {translate}",
            f"filter {network.chain} -d {address} {protocol} {mapping.container_port} -j ACCEPT",
        ]
    # Two ports may lead to one, which needs one leave to pass.
    return AddRules(rules=tuple(dict.fromkeys(made)), program=program, is_new=True)


def check_distinct(mappings: list[PortMapping]) -> None:
    """UsageError where one command line publishes a port of the host twice: the second rule would never be reached."""
    for number, mapping in enumerate(mappings):
        for other in mappings[:number]:
            if mapping.host_port and overlap(mapping, other.protocol, other.host_port, other.host_address):
                raise UsageError(f"port {mapping.host_port}/{mapping.protocol} is published twice", "leave one -p out")


def overlap(mapping: PortMapping, protocol: str, port: int, address: str) -> bool:
    """Whether a mapping takes a packet that another one takes; an empty address is any."""
    same_address = not address or not mapping.host_address or address == mapping.host_address
    return (protocol, port) == (mapping.protocol, mapping.host_port) and same_address


def check_free(mapping: PortMapping) -> None:
    """ConflictError if a process listens on that port: DNAT would silently take its connections away."""
    kind = socket.SOCK_DGRAM if mapping.protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(ipam.FAMILY, kind) as probe:
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
