"""Which addresses and ports are taken: one small file for each, under /run/labkit/networks/NAME, changed under a lock.

A network is brought up by its first endpoint and taken down with its last, so that a machine without containers is as
it was before.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from shlex import quote

from labkit import textfile
from labkit.errors import ConflictError
from labkit.network import ipam, portmap
from labkit.network.model import Network
from labkit.network.portmap import PortMapping
from labkit.operations import Journal, Operation

RUN_DIRECTORY = "/run/labkit/networks"


def _directory(name: str) -> str:
    return f"{RUN_DIRECTORY}/{name}"


def journal(name: str) -> Journal:
    """What brought the network up."""
    return Journal(f"{_directory(name)}/journal")


_held: set[str] = set()


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """One process at a time; the kernel frees the lock of a dead one (flock(2)). The holder may ask for it again.

    The lock file lies beside the network's directory, which comes and goes.
    """
    if name in _held:
        yield
        return
    os.makedirs(RUN_DIRECTORY, exist_ok=True)
    with open(f"{RUN_DIRECTORY}/{name}.lock", "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _held.add(name)
        try:
            yield
        finally:
            _held.discard(name)


def addresses(name: str) -> dict[str, str]:
    """Address -> container id, of all that are reserved."""
    return _read(f"{_directory(name)}/addresses")


def ports() -> dict[str, str]:
    """``tcp 6379 ADDRESS`` -> container id, of all networks: they share the host's ports."""
    return _read(f"{RUN_DIRECTORY}/ports")


def _read(directory: str) -> dict[str, str]:
    try:
        return {name: textfile.read(f"{directory}/{name}") for name in os.listdir(directory)}
    except FileNotFoundError:
        return {}


class Reserve(Operation):
    """A name in a directory that holds its owner's id. ``network`` is the one that goes with its last address."""

    path: str
    owner: str
    network: str

    def describe(self) -> str:
        """As a shell does it."""
        return f"mkdir -p {quote(os.path.dirname(self.path))} && echo -n {quote(self.owner)} > {quote(self.path)}"

    def describe_undo(self) -> str:
        """As rm(1)."""
        return f"rm -f {quote(self.path)}"

    def do(self) -> None:
        """Write it; the caller holds the lock."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        textfile.write(self.path, self.owner)

    def undo(self) -> None:
        """Give it back, if it is ours; the last one takes the network down."""
        with locked(self.network):
            with contextlib.suppress(FileNotFoundError):
                if textfile.read(self.path) == self.owner:
                    os.unlink(self.path)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(self.path))
            take_down_if_unused(self.network)


def is_up(name: str) -> bool:
    """Whether the network was brought up to the end: the mark is made after the last of its operations."""
    return os.path.exists(f"{_directory(name)}/up")


def bring_up(network: Network) -> None:
    """Do the network's operations, unless it is up; what a dead process began is undone first. The caller holds the
    lock.
    """
    if not is_up(network.name):
        journal(network.name).undo()
        journal(network.name).run(network.operations())
        textfile.write(f"{_directory(network.name)}/up", "")


def take_down_if_unused(name: str) -> None:
    """Undo the network's operations when nobody has an address in it; the caller holds the lock."""
    if not addresses(name):
        textfile.remove(f"{_directory(name)}/up")
        journal(name).undo()
        with contextlib.suppress(OSError):
            os.rmdir(_directory(name))


def reservations(network: Network, owner: str, mappings: list[PortMapping]) -> tuple[str, list[Operation]]:
    """An address, and the operations that reserve it and the ports. It only looks; ``join`` does it under the lock."""
    address = ipam.allocate(network.subnet, addresses(network.name))
    reserved: list[Operation] = [Reserve(f"{_directory(network.name)}/addresses/{address}", owner, network.name)]
    for mapping in mappings:
        _check_port(mapping)
        name = f"{mapping.protocol} {mapping.host_port} {mapping.host_address or 'any'}"
        reserved.append(Reserve(f"{RUN_DIRECTORY}/ports/{name}", owner, network.name))
    return address, reserved


def join(network: Network, owner: str, mappings: list[PortMapping], container: Journal) -> str:
    """Bring the network up if it is not, and reserve an address and the ports in the container's journal."""
    with locked(network.name):
        address, reserved = reservations(network, owner, mappings)
        bring_up(network)
        container.run(reserved)
    return address


def _check_port(mapping: PortMapping) -> None:
    for taken, owner in ports().items():
        protocol, port, address = taken.split(" ")
        if portmap.overlap(mapping, protocol, int(port), "" if address == "any" else address):
            raise ConflictError(
                f"port {port}/{protocol} is published by the container {owner[:12]} already",
                f"stop that container ('labkit stop {owner[:12]}') or publish another port",
            )
    portmap.check_free(mapping)
