"""What the start of a container consists of: operations that outlive its run, and those that end with it."""

from __future__ import annotations

import contextlib
import os
from shlex import quote

from labkit import textfile
from labkit.engine.bundle import name_files, sandbox_of
from labkit.engine.record import NAMES, Container
from labkit.errors import ConflictError
from labkit.images.store import Image
from labkit.network.model import DEFAULT, Endpoint
from labkit.network.portmap import PortMapping
from labkit.operations import Operation
from labkit.operations.files import MakeDirectory, MakeTree
from labkit.storage import DRIVERS

_RESOLVER = "/etc/resolv.conf"


class ReserveName(Operation):
    """A container's name, as a link to its id: symlink(2) fails where there is one, so that two can never have it."""

    name: str
    owner: str

    def describe(self) -> str:
        """As ln(1)."""
        return f"mkdir -p {quote(NAMES)} && ln -s {self.owner} {quote(f'{NAMES}/{self.name}')}"

    def describe_undo(self) -> str:
        """As rm(1)."""
        return f"rm -f {quote(f'{NAMES}/{self.name}')}"

    def do(self) -> None:
        """ConflictError if another has it."""
        os.makedirs(NAMES, exist_ok=True)
        try:
            os.symlink(self.owner, f"{NAMES}/{self.name}")
        except FileExistsError:
            raise ConflictError(
                f"the name {self.name} is taken by another container",
                f"remove that one ('labkit rm -f {self.name}') or choose another name",
            ) from None

    def undo(self) -> None:
        """Free it, if it is ours."""
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(f"{NAMES}/{self.name}") == self.owner:
                os.unlink(f"{NAMES}/{self.name}")


class WriteFile(Operation):
    """A small text file of ours, in a directory that goes with the container."""

    path: str
    text: str

    def describe(self) -> str:
        """As printf(1) in a shell."""
        return f"printf %s {quote(self.text)} > {quote(self.path)}"

    def do(self) -> None:
        """Write it."""
        textfile.write(self.path, self.text)

    def undo(self) -> None:
        """Nothing: it goes with its directory."""


def creation(container: Container) -> list[Operation]:
    """The name and the writable layer, whose work directory overlay wants on the same file system."""
    return [
        ReserveName(container.name, container.id),
        MakeTree(container.directory, 0o711),
        MakeDirectory(f"{container.directory}/upper"),
        MakeDirectory(f"{container.directory}/work"),
    ]


def root_filesystem(container: Container, image: Image) -> list[Operation]:
    """The union of the image's layers and the container's own."""
    driver = DRIVERS[container.storage_driver]
    upper, work = f"{container.directory}/upper", f"{container.directory}/work"
    made: list[Operation] = [MakeTree(container.run_directory, 0o711)]
    made += driver.operations(container.rootfs, image.lowers(driver.LAYER_FORM), upper, work)
    return made


def name_file_operations(container: Container) -> list[Operation]:
    """/etc/hostname, /etc/hosts and /etc/resolv.conf, to be bound into the root file system."""
    text = textfile.read(_RESOLVER) if os.path.exists(_RESOLVER) else ""
    return [
        WriteFile(f"{container.directory}/{name}", content) for name, content in name_files(container, text).items()
    ]


def network(container: Container, mode: str, ports: list[PortMapping]) -> list[Operation]:
    """The sandbox; in bridge mode an endpoint in it, and its published ports."""
    if mode == "host":
        return []
    sandbox = sandbox_of(container)
    made = sandbox.operations()
    if mode == "bridge":
        endpoint = Endpoint(DEFAULT, sandbox, f"veth{container.id[:7]}", container.address)
        made += endpoint.operations() + endpoint.publish(ports)
    return made
