"""A container's network: what it joins, and the files that name it inside."""

from __future__ import annotations

import os

from labkit import textfile
from labkit.engine.files import WriteFile
from labkit.errors import UsageError
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.engine.options import Options
    from labkit.engine.record import Container
    from labkit.network.model import Sandbox
    from labkit.network.portmap import PortMapping
    from labkit.operations import Journal, Operation

_RESOLVER = "/etc/resolv.conf"


MODES = ("bridge", "host", "none")


def check(options: Options) -> None:
    """UsageError for a network mode or ports that cannot be."""
    if options.network not in MODES:
        raise UsageError(f"there is no network '{options.network}'", f"one of {', '.join(MODES)}; bridge is labkit0")
    if options.publish:
        from labkit.network import portmap

        portmap.check_distinct([portmap.parse(text) for text in options.publish])
        if options.network != "bridge":
            raise UsageError(f"-p needs the bridge network, not '{options.network}'", "leave --network out")


def sandbox_name(container: Container) -> str:
    """What ``ip netns list`` shows."""
    return f"labkit-{container.short_id}"


def namespace_path(container: Container) -> str | None:
    """What the specification says of the network's namespace: a path to join, empty for a new one, None for our own."""
    if container.network == "host":
        return None
    return "" if container.network == "none" else f"/run/netns/{sandbox_name(container)}"


def join(container: Container, journal: Journal) -> Container:
    """Reserve its address and ports, in its run's journal; the container with its endpoints and actual ports."""
    if container.network != "bridge":
        return container.changed(endpoints={}, ports=[])
    from labkit.network import store as networks  # local, as below: a container without a network starts faster
    from labkit.network.model import DEFAULT

    address = networks.join(DEFAULT, container.id, mappings(container), journal)
    return with_address(container, address)


def with_address(container: Container, address: str) -> Container:
    """The container with that address in labkit0, and its ports."""
    endpoint = {"address": address, "link": f"veth{container.id[:7]}"}
    return container.changed(endpoints={"labkit0": endpoint}, ports=[str(mapping) for mapping in mappings(container)])


def operations(container: Container) -> list[Operation]:
    """The sandbox; an endpoint in it for each network, and its published ports."""
    if container.network in ("host", "none"):
        return []
    from labkit.network.model import DEFAULT, Endpoint, Sandbox

    sandbox: Sandbox = Sandbox(sandbox_name(container))
    made = sandbox.operations()
    for known in container.endpoints.values():
        endpoint = Endpoint(DEFAULT, sandbox, known["link"], known["address"])
        made += endpoint.operations() + endpoint.publish(mappings(container))
    return made


def mappings(container: Container) -> list[PortMapping]:
    """What it publishes."""
    from labkit.network import portmap

    return [portmap.parse(text) for text in container.options.publish]


def name_files(container: Container, resolver: str) -> dict[str, str]:
    """The contents of /etc/hostname, /etc/hosts and /etc/resolv.conf; ``resolver`` is the host's own resolv.conf."""
    own = f"{container.address}\t{container.short_id} {container.name}\n" if container.address else ""
    return {
        "hostname": f"{container.short_id}\n",
        "hosts": f"127.0.0.1\tlocalhost\n::1\tlocalhost\n{own}",
        "resolv.conf": resolver,
    }


def name_file_operations(container: Container) -> list[Operation]:
    """/etc/hostname, /etc/hosts and /etc/resolv.conf, to be bound into the root file system."""
    text = textfile.read(_RESOLVER) if os.path.exists(_RESOLVER) else ""
    return [
        WriteFile(f"{container.directory}/{name}", content) for name, content in name_files(container, text).items()
    ]
