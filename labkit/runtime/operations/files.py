"""Operations on directories, files and mounts."""

from __future__ import annotations

import errno
import os

from labkit.errors import KernelError
from labkit.runtime.kernel import mountoptions, mounts
from labkit.runtime.kernel.blocks import kept_open, kernel_error
from labkit.runtime.operations.base import GoesAlong, Operation
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote
from labkit.runtime.text import textfile

#: Of a tree: to ask each of them takes 50 µs, and to read the table of mounts 7 µs for each mount.
_FEW_DIRECTORIES = 32


@dataclass(frozen=True)
class MakeDirectory(Operation):
    """A directory with its parents; undone only as long as it is empty, and never its parents."""

    path: str
    mode: int = 0o755

    def describe(self) -> str:
        """As mkdir(1)."""
        return f"mkdir -p -m {self.mode:04o} {quote(self.path)}"

    def do(self) -> None:
        """Make what is missing."""
        make_directory(self.path, self.mode)

    def undo(self) -> None:
        """As rmdir(1)."""
        try:
            os.rmdir(self.path)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST):
                raise KernelError(f"rmdir({self.path}): {error.strerror}", errno=error.errno or 0) from error


class MakeTree(MakeDirectory):
    """A directory that is ours with all that comes to lie in it: undone with its contents."""

    def describe_undo(self) -> str:
        """As rm(1)."""
        return f"rm -r --one-file-system {quote(self.path)}"

    def undo(self) -> None:
        """As ``rm -r``. It follows no link, and refuses where something is mounted below."""
        parts = [part for part in self.path.split("/") if part not in ("", ".")]
        if not os.path.isabs(self.path) or ".." in parts or len(parts) < 3:
            # It comes from a file, which may say anything; what we make lies deeper.
            raise KernelError(f"'{self.path}' is no directory that labkit made, so it is not removed")
        below = self._mounts_below()
        if below:
            # What is mounted there would be deleted before it is found that the mount point cannot be.
            raise KernelError(
                f"{below[0]} is a mount point, so {self.path} is not removed", f"umount {quote(below[0])}"
            )
        try:
            remove_tree(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise KernelError(
                f"{error.filename} cannot be removed: {error.strerror}",
                "is something still mounted there?",
                error.errno or 0,
            ) from error

    def _mounts_below(self) -> list[str]:
        """Mount points, this directory included. (One on a file keeps that from being removed: EBUSY, unlink(2).)

        The table of mounts is long where there are containers: it is read only where there are many directories.
        """
        for count, (place, _, _) in enumerate(os.walk(self.path)):
            if count == _FEW_DIRECTORIES:
                return [point for point, _ in mounts.mount_points() if (point + "/").startswith(self.path + "/")]
            if mounts.is_mount_point(place):
                return [place]
        return []


@dataclass(frozen=True)
class WriteSetting(Operation):
    """A line into a file of /proc/sys. ``before`` is what was read when the plan was made, for the way back."""

    path: str
    value: str
    before: str

    def describe(self) -> str:
        """As a shell writes it."""
        return f"echo {quote(self.value)} > {quote(self.path)}"

    def describe_undo(self) -> str:
        """As a shell writes it."""
        return f"echo {quote(self.before)} > {quote(self.path)}"

    def do(self) -> None:
        """Write it."""
        write_kernel_file(self.path, self.value)

    def undo(self) -> None:
        """Write the old value, if ours is still there and the file, too."""
        with suppress(FileNotFoundError):
            if textfile.read(self.path).strip() == self.value != self.before:
                write_kernel_file(self.path, self.before)


@dataclass(frozen=True)
class Mount(Operation):
    """``mount -t KIND -o OPTIONS SOURCE TARGET``; ``options`` in mount(8)'s words."""

    source: str
    target: str
    kind: str
    options: tuple[str, ...] = ()

    def describe(self) -> str:
        """As mount(8)."""
        options = f" -o {quote(','.join(self.options))}" if self.options else ""
        return f"mount -t {quote(self.kind)}{options} {quote(self.source)} {quote(self.target)}"

    def describe_undo(self) -> str:
        """As umount(8)."""
        return f"umount --lazy {quote(self.target)}"

    def do(self) -> None:
        """mount(2)."""
        options = mountoptions.parse(self.options)
        mounts.mount(self.source, self.target, self.kind, options.flags, options.data)

    def undo(self) -> None:
        """Unmount, also where it is in use (umount2(2), MNT_DETACH)."""
        mounts.detach_if_mounted(self.target)


@dataclass(frozen=True)
class SetPropagation(GoesAlong):
    """``mount --make-rprivate /``: later mounts do not travel between namespaces (mount_namespaces(7))."""

    target: str
    kind: str = "rprivate"

    def describe(self) -> str:
        """As mount(8)."""
        return f"mount --make-{self.kind} {quote(self.target)}"

    def do(self) -> None:
        """mount(2) with a propagation flag alone."""
        mounts.mount("", self.target, flags=mountoptions.PROPAGATION[self.kind])


def make_directory(path: str, mode: int) -> None:
    """As ``mkdir -p -m``: one that is there keeps its mode, a new one has this mode whatever the umask."""
    if os.path.isdir(path):
        return
    with kernel_error(f"mkdir({path})"):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)


def remove_tree(path: str) -> None:
    """As shutil.rmtree, which takes 7 ms to import (it knows archives, too). It follows no link, ``path`` included.

    OSError, FileNotFoundError where there is none; with what is left of it.
    """
    with kept_open(_open_directory(path)) as directory:
        _empty(directory, path)
    os.rmdir(path)


def _open_directory(name: str, beside: int | None = None) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=beside)


def _empty(directory: int, path: str) -> None:
    with os.scandir(directory) as found:
        entries = list(found)
    for entry in entries:
        try:
            if not entry.is_dir(follow_symlinks=False):
                os.unlink(entry.name, dir_fd=directory)
                continue
            # Relative to its directory, and not through a link: whoever swaps one for the other gains nothing.
            with kept_open(_open_directory(entry.name, directory)) as below:
                _empty(below, f"{path}/{entry.name}")
            os.rmdir(entry.name, dir_fd=directory)
        except OSError as error:
            if error.filename == entry.name:
                error.filename = f"{path}/{entry.name}"
            raise


def write_kernel_file(path: str, value: str, hints: dict[int, str] | None = None, what: str = "") -> None:
    """One write(2) into a file of /proc/sys or a cgroup, whose errno is the kernel's answer to the value.

    KernelError, with the one of ``hints`` for its errno; ``what`` is what cannot be done then. FileNotFoundError passes
    through: whether a missing file matters is the caller's to say.
    """
    try:
        with kept_open(os.open(path, os.O_WRONLY | os.O_CLOEXEC)) as descriptor:
            os.write(descriptor, value.encode())
    except OSError as error:
        if isinstance(error, FileNotFoundError) and error.filename:  # of the file, and not of what was written
            raise
        number = error.errno or 0
        message = f"{what and what + ': '}echo {value} > {path}: {error.strerror}"
        raise KernelError(message, (hints or {}).get(number, ""), number) from error
