"""Where a path inside a root file system leads, as an open directory and a name in it, at the end of all its links.

The name need not be there: a link may lead to what is to be made. rootdir.py keeps every step inside.
"""

from __future__ import annotations

import errno
import os
import stat

from labkit.errors import KernelError
from labkit.runtime.kernel import rootdir
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.types import TracebackType

#: As many links as the kernel follows (path_resolution(7)).
_MAXIMUM_LINKS = 40


@dataclass(frozen=True)
class Place:
    """An open directory and a name in it; the empty name is the directory itself. Closed at the end of a ``with``."""

    directory: int
    name: str
    kind: int
    """st_mode of what is there; 0 where there is nothing."""

    @property
    def is_directory(self) -> bool:
        """Whether one is there."""
        return stat.S_ISDIR(self.kind)

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.directory)


def find(root: str, path: str, follow: bool = True) -> Place:
    """The place that ``path`` leads to; without ``follow`` a link at its end is what is meant.

    KernelError with ENOENT or ENOTDIR where the directory is missing, with ELOOP for too many links.
    """
    for _ in range(_MAXIMUM_LINKS):
        parent, name = os.path.split(path.rstrip("/"))
        if name in ("", ".", ".."):
            opened = open_directory(root, path)
            return Place(opened, "", os.fstat(opened).st_mode)
        directory = open_directory(root, parent)
        try:
            kind = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
            target = os.readlink(name, dir_fd=directory) if follow and stat.S_ISLNK(kind) else ""
        except FileNotFoundError:
            return Place(directory, name, 0)
        except OSError as error:
            os.close(directory)
            raise KernelError(f"{path} in {root}: {error.strerror}", errno=error.errno or 0) from error
        if not target:
            return Place(directory, name, kind)
        os.close(directory)
        path = os.path.join(parent, target)
    raise KernelError(f"{path} in {root}: {os.strerror(errno.ELOOP)}", errno=errno.ELOOP)


def open_directory(root: str, path: str) -> int:
    """A directory, open for reading. KernelError."""
    found = rootdir.find(root, path)
    try:
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise KernelError(f"{path} in {root}: {error.strerror}", errno=error.errno or 0) from error
    finally:
        os.close(found)
