"""What the start of a container consists of: operations that outlive its run, and those that end with it."""

from __future__ import annotations

import os

from labkit.errors import ConflictError
from labkit.runtime import storage
from labkit.runtime.engine.config import filesystems
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record.record import NAMES, Container
from labkit.runtime.images.imagestore import Image
from labkit.runtime.operations import Operation, Section
from labkit.runtime.operations.files import MakeDirectory, MakeTree
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote
from labkit.runtime.text import textfile


@dataclass(frozen=True)
class WriteId(Operation):
    """``--cidfile``: a container's id in a file for other programs, which must not be there yet."""

    path: str
    owner: str

    def describe(self) -> str:
        """As printf(1) in a shell."""
        return f"printf %s {self.owner} > {quote(self.path)}"

    def describe_undo(self) -> str:
        """As rm(1)."""
        return f"rm -f {quote(self.path)}"

    def do(self) -> None:
        """ConflictError if it is there."""
        try:
            file = open(self.path, "x", encoding="utf-8")  # noqa: SIM115 - closed below
            try:
                with file:
                    file.write(self.owner)
            except BaseException:
                os.unlink(self.path)  # half of it would not be known as ours
                raise
        except FileExistsError:
            raise ConflictError(f"the file {self.path} for --cidfile is there already", "remove it") from None
        except OSError as error:
            raise ConflictError(f"{self.path} of --cidfile cannot be written: {error.strerror}", "") from error

    def undo(self) -> None:
        """Remove it, if it is ours."""
        with suppress(OSError, UnicodeDecodeError):
            if textfile.read(self.path) == self.owner:
                os.unlink(self.path)


@dataclass(frozen=True)
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
        with suppress(FileNotFoundError):
            if os.readlink(f"{NAMES}/{self.name}") == self.owner:
                os.unlink(f"{NAMES}/{self.name}")


def creation(container: Container) -> Section:
    """The name and the writable layer, whose work directory overlay wants on the same file system; its volumes."""
    options = container.options
    made: list[Operation] = [
        ReserveName(container.name, container.id),
        MakeTree(container.directory, 0o711),
        MakeDirectory(f"{container.directory}/upper"),
        MakeDirectory(f"{container.directory}/work"),
    ]
    if options.cidfile:
        made.append(WriteId(options.cidfile, container.id))
    if options.mounts:
        from labkit.runtime.engine import volumes  # local: most containers have none

        made += volumes.making(container)
    return Section("The name, and a writable layer of its own", made)


def run(container: Container, image: Image, do: Callable[[list[Section]], None], dry: bool = False) -> Container:
    """What a run consists of out here, up to the low-level runtime's part: ``do`` is given all of it, in its order, and
    does it (a start) or writes it down (a script; with ``dry`` nothing is locked or reserved).

    The container with its addresses and ports, which are found on the way. Raises what cannot be had.
    """
    container = networking.join(container, do, dry)
    sections = [
        # Before all others, since a program of its own does them beside the rest (``is_apart``).
        Section("The published ports: an address translation for each", networking.publishing(container)),
        Section(
            "The root file system: the image's layers, and the writable one on top",
            root_filesystem(container, image),
        ),
        Section("What names the container inside", networking.name_file_operations(container)),
        Section("The network namespace, and the cable into it", networking.operations(container)),
        Section("What the kernel remembers of the UDP ports (where conntrack(8) is)", networking.forgetting(container)),
    ]
    do(sections)
    return container


def root_filesystem(container: Container, image: Image) -> list[Operation]:
    """The union of the image's layers and the container's own."""
    driver = storage.driver(container.storage_driver)
    upper, work = f"{container.directory}/upper", f"{container.directory}/work"
    made: list[Operation] = [MakeTree(container.run_directory, 0o711)]
    made += driver.operations(container.rootfs, image.lowers(driver.LAYER_FORM), upper, work)
    return made + filesystems.operations(container)
