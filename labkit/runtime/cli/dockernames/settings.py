"""``NetworkSettings``: where a container can be reached, while it runs.

labkit0 goes by docker's name for the network that containers join when nothing is said: ``bridge``, which labkit's own
commands understand, too.
"""

from __future__ import annotations

from labkit.runtime.cli.gotypes import NO_LIST, Lists, Mapping, or_nothing
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record.record import Container
from labkit.runtime.images.imagestore import Image
from labkit.runtime.network.model import ANY
from labkit.runtime.std.typing import Any


def shown_name(network: str) -> str:
    """The network's name as docker would say it."""
    return "bridge" if network == "labkit0" else network


def names(container: Container) -> list[str]:
    """Its networks, running or not; ``host`` and ``none`` are networks to docker, another container's is none."""
    mode = container.network
    return [mode] if mode in ("host", "none") else [shown_name(name) for name in networking.wishes(container)]


def of(container: Container, runs: bool, image: Image) -> dict[str, Any]:
    """All of it. The address at the top is that in the network ``bridge``, and empty where it is not in that."""
    joined = Mapping((name, _endpoint(container, name, runs)) for name in names(container))
    bridge = joined.get("bridge") or _address("", "")
    return {
        "Bridge": "",
        "Ports": _published(container, image) if runs else Lists(),
        "SandboxKey": networking.shown_namespace(container) if runs else "",
        **{key: bridge[key] for key in _address("", "")},
        "Networks": joined,
    }


def _endpoint(container: Container, name: str, runs: bool) -> dict[str, Any]:
    known = "labkit0" if name == "bridge" else name
    wish = networking.wishes(container).get(known, {})
    has = container.endpoints.get(known, {}) if runs else {}
    aliases = list(wish.get("aliases", []))
    if name not in ("bridge", "host", "none"):  # only users' networks have names
        aliases.append(container.short_id)
    return {
        "IPAMConfig": {"IPv4Address": wish["address"]} if wish.get("address") else None,
        "Aliases": or_nothing(aliases),
        **_address(known, str(has.get("address", ""))),
    }


def _address(network: str, address: str) -> dict[str, Any]:
    """Addresses of IPv6 are those that docker has, too, where a network has none: there is none in labkit."""
    gateway, prefix = "", 0
    if address:
        from labkit.runtime.network import definitions, ipam  # local: many have none

        found = definitions.find(network)
        gateway, prefix = found.way_out, ipam.prefix_of(found.subnet)
    return {
        "Gateway": gateway,
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": address,
        "IPPrefixLen": prefix,
        "IPv6Gateway": "",
    }


def _published(container: Container, image: Image) -> dict[str, Any]:
    """Port -> where it can be reached at the host; ``null`` for one that the image exposes and nobody publishes."""
    found = Lists((port, NO_LIST) for port in exposed(container, image))
    for mapping in container.ports:
        place = {"HostIp": mapping.host_address or ANY, "HostPort": str(mapping.host_port)}
        found[mapping.inside] = [*found[mapping.inside], place]
    return found


def wanted(container: Container) -> dict[str, Any]:
    """``HostConfig.PortBindings``: what ``-p`` asks for; a port that labkit is to choose is empty."""
    found = Lists()
    for mapping in networking.mappings(container):
        port = f"{mapping.container_port}/{mapping.protocol}"
        place = {"HostIp": mapping.host_address, "HostPort": str(mapping.host_port or "")}
        found[port] = [*found.get(port, []), place]
    return found


def exposed(container: Container, image: Image) -> list[str]:
    """As ``80/tcp``: what the image exposes, and what is published."""
    named = [port if "/" in port else f"{port}/tcp" for port in image.config.get("ExposedPorts") or {}]
    mapped = [f"{mapping.container_port}/{mapping.protocol}" for mapping in networking.mappings(container)]
    return sorted({*named, *mapped})
