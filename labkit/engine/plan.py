"""What the start of a container consists of: operations that outlive its run, and those that end with it."""

from __future__ import annotations

import contextlib
import os

from labkit.engine.record import NAMES, Container
from labkit.errors import ConflictError
from labkit.images.store import Image
from labkit.operations import Operation
from labkit.operations.files import MakeDirectory, MakeTree
from labkit.quoting import quote
from labkit.storage import DRIVERS


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
