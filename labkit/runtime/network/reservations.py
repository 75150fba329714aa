"""Which addresses and ports are taken: one small file for each, under /run/labkit/networks/NAME, changed under a lock.

A network is brought up by its first endpoint and taken down with its last, so that a machine without containers is as
it was before.
"""

from __future__ import annotations

import fcntl
import os

from labkit.errors import ConflictError, KernelError
from labkit.runtime.kernel.blocks import kernel_error
from labkit.runtime.network import bridge, ipam, iptables, portmap
from labkit.runtime.network.model import Network, PortMapping
from labkit.runtime.operations import Journal, Operation, Section
from labkit.runtime.std.collections.abc import Callable, Iterable, Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import dataclass, replace
from labkit.runtime.std.shlex import quote
from labkit.runtime.text import textfile

RUN_DIRECTORY = "/run/labkit/networks"
#: How many connections the kernel remembers in this network namespace.
_REMEMBERED = "/proc/sys/net/netfilter/nf_conntrack_count"


def _directory(name: str) -> str:
    return f"{RUN_DIRECTORY}/{name}"


def journal(name: str) -> Journal:
    """What brought the network up."""
    return Journal(f"{_directory(name)}/journal")


_held: set[str] = set()


@contextmanager
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


@dataclass(frozen=True)
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
        """Write it; the caller holds the lock. KernelError where the disk is full, and no empty name stays."""
        with kernel_error(f"{self.path} cannot be written"):
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            try:
                textfile.write(self.path, self.owner)
            except OSError:
                textfile.remove(self.path)
                raise

    def undo(self) -> None:
        """Give it back, if it is ours; the last one takes the network down."""
        if self._is_ours():
            self._let_go()  # which may take long, and while it is ours nobody else gets it: so without the locks
        with locked(self.network), locked(".ports"):
            if self._is_ours():
                os.unlink(self.path)
            with suppress(OSError):
                os.rmdir(os.path.dirname(self.path))
            take_down_if_unused(self.network)

    def _is_ours(self) -> bool:
        try:
            return textfile.read(self.path) == self.owner
        except FileNotFoundError:
            return False

    def _let_go(self) -> None:
        """What is to be done while it is still ours."""


class ReserveAddress(Reserve):
    """One of a network's addresses. Whoever has it next is another one, of whose connections the kernel knows none."""

    @property
    def address(self) -> str:
        """The name of its file."""
        return os.path.basename(self.path)

    def describe_undo(self) -> str:
        """As conntrack(8), and rm(1)."""
        from labkit.runtime.network import conntrack  # local, as below: a start needs none of it

        return f"{conntrack.describe_address(self.address)}\n{super().describe_undo()}"

    def _let_go(self) -> None:
        with suppress(FileNotFoundError):  # nothing in this kernel remembers connections
            if textfile.read(_REMEMBERED).strip() == "0":
                return
            from labkit.runtime.network import conntrack

            conntrack.forget_address(self.address)


def reservation(name: str, address: str, owner: str) -> ReserveAddress:
    """An address in a network, for a container's id."""
    return ReserveAddress(f"{_directory(name)}/addresses/{address}", owner, name)


def is_up(name: str) -> bool:
    """Whether the network was brought up to the end: the mark is made after the last of its operations."""
    return os.path.exists(f"{_directory(name)}/up")


def program(name: str) -> str:
    """The iptables that its rules were added with; the one to choose now where it is not up."""
    try:
        return textfile.read(f"{_directory(name)}/up")
    except FileNotFoundError:
        return iptables.choose()


class _BringUp(Journal):
    """The journal of a network that is not up: what a dead process began is undone before it runs, and the mark is made
    after it. Whoever runs it holds the lock.
    """

    def __init__(self, name: str, program: str) -> None:
        super().__init__(journal(name).path)
        self.mark, self.program = f"{_directory(name)}/up", program

    def run(self, operations: Iterable[Operation]) -> None:
        """The network's operations."""
        self.undo()
        super().run(operations)
        try:
            textfile.save(self.mark, self.program)
        except KernelError:
            self.undo()
            raise


def take_down_if_unused(name: str) -> None:
    """Undo the network's operations when nobody has an address in it; the caller holds the lock."""
    if not addresses(name):
        textfile.remove(f"{_directory(name)}/up")
        journal(name).undo()
        for directory in (f"{_directory(name)}/names", _directory(name)):
            with suppress(OSError):
                os.rmdir(directory)


def forget_dead(name: str, is_alive: Callable[[str], bool]) -> None:
    """Give back what is noted for containers that are no more, and take the network down if that were all.

    Their journals do it as a rule. What a ``labkit network connect`` has begun that was killed just when its container
    ended may be in none any more. The caller holds the lock.
    """
    for address, owner in addresses(name).items():
        if not is_alive(owner):
            reservation(name, address, owner).undo()
    for owner in _read(f"{_directory(name)}/names"):
        if not is_alive(owner):
            textfile.remove(f"{_directory(name)}/names/{owner}")
    take_down_if_unused(name)


def _wanted(
    network: Network, owner: str, mappings: list[PortMapping], wish: str = ""
) -> tuple[str, list[PortMapping], list[Operation]]:
    """An address, the ports with those chosen that were left open, and the operations that reserve them.

    It only looks. Raises ConflictError where one is taken.
    """
    taken = [*addresses(network.name), *([network.gateway] if network.gateway else [])]
    address = ipam.allocate(network.subnet, taken, wish)
    reserved: list[Operation] = [reservation(network.name, address, owner)]
    known = ports() if mappings else {}
    chosen: list[PortMapping] = []
    for wanted in mappings:
        mapping = _with_port(wanted, known)
        name = f"{mapping.protocol} {mapping.host_port} {mapping.host_address or 'any'}"
        known[name] = owner
        chosen.append(mapping)
        reserved.append(Reserve(f"{RUN_DIRECTORY}/ports/{name}", owner, network.name))
    return address, chosen, reserved


def join(
    network: Network,
    owner: str,
    mappings: list[PortMapping],
    do: Callable[[list[Section]], None],
    wish: str = "",
    dry: bool = False,
) -> tuple[str, list[PortMapping]]:
    """Bring the network up if it is not, and reserve an address and the ports: ``do`` is given the sections for that.

    ``dry``: it does nothing, so that it needs no locks, which are files.
    """
    with locked(network.name) if not dry else suppress(), locked(".ports") if mappings and not dry else suppress():
        address, chosen, reserved = _wanted(network, owner, mappings, wish)  # (all networks share the ports)
        sections = [Section("An address, and the ports to publish", reserved)]
        if not is_up(network.name):
            chosen_program = program(network.name)
            title = f"The network {network.name}, which its first container brings up"
            up = Section(title, bridge.operations(network, chosen_program), _BringUp(network.name, chosen_program))
            sections.insert(0, up)
        do(sections)
    return address, chosen


def _with_port(mapping: PortMapping, known: dict[str, str]) -> PortMapping:
    """The mapping, if its port is free; with the first free one, if it names none."""
    if mapping.host_port:
        _check_port(mapping, known)
        return mapping
    for port in portmap.FREE_PORTS:
        with suppress(ConflictError):
            _check_port(replace(mapping, host_port=port), known)
            return replace(mapping, host_port=port)
    raise ConflictError("no port of this machine is free to be published", "stop a container")


def _check_port(mapping: PortMapping, known: dict[str, str]) -> None:
    for taken, owner in known.items():
        protocol, port, address = taken.split(" ")
        if portmap.overlap(mapping, protocol, int(port), "" if address == "any" else address):
            raise ConflictError(
                f"port {port}/{protocol} is published by the container {owner[:12]} already",
                f"stop that container ('labkit stop {owner[:12]}') or publish another port",
            )
    portmap.check_free(mapping)
