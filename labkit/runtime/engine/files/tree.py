"""A tree of files to another place, on descriptors: no link in either is followed, whoever changes them meanwhile.

Nothing here enters the tree's own root: a library that the C library loads in there would be the container's.
"""

from __future__ import annotations

import errno
import os
import stat

from labkit.errors import ConflictError, KernelError, NotFoundError
from labkit.runtime.kernel import filedata, mounts
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std.collections.abc import Iterator, Sequence
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import dataclass

#: The one extended attribute that goes along, as with docker: what a program may do is a part of its mode.
CAPABILITY = "security.capability"
#: Each level holds two descriptors, of which a process has 1024 (getrlimit(2)), and some of Python's 1000 calls.
DEEPEST = 300
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: Not blocking: a pipe may have taken the file's place by now.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
#: Whatever has the name, and nothing is done to it by that.
_PLACE = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
#: What the kernel says where something else has taken a name's place, or nothing.
_CHANGED = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


@dataclass(frozen=True)
class About:
    """What is to be said of a file, beside its contents: all that ``finish`` sets."""

    mode: int
    owner: tuple[int, int] | None
    """User and group; None where it is to be ours."""
    times: tuple[int, int]
    """Of the last access and the last change, in nanoseconds."""
    device: int = 0
    capability: bytes = b""


class GoneError(Exception):
    """An entry of the source that is there no more, or is something else by now."""


class Copier:
    """Copies entries of open directories. What is there with the same name is replaced, directories are joined.

    ``keep``: users and groups stay what they are; without it all becomes ours. ``bytes`` counts what the files hold.
    ConflictError where a directory and something else have the same name, and where a tree would be
    copied into itself; KernelError for what the kernel refuses.
    """

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.bytes = 0
        self._top = -1
        self._made: tuple[int, int] | None = None
        self._seen: dict[tuple[int, int], tuple[str, ...]] = {}

    def entry(self, source: int, name: str, target: int, called: str) -> None:
        """The entry ``name`` of the directory ``source``, as ``called`` in ``target``."""
        self._top = target
        try:
            self._entry(source, name, target, (called,))
        except GoneError:
            raise NotFoundError(f"{name} is there no more", "somebody has just removed it") from None

    def directory(self, source: int, target: int, called: str) -> None:
        """The directory ``source`` as ``called`` in ``target``; without a name its contents.

        A directory that takes in contents keeps its own mode and owner.
        """
        self._top = target
        if called:
            self._directory(source, target, (called,))
        else:
            self._made = _identity(target)
            self._contents(source, target, ())

    def _contents(self, source: int, target: int, path: tuple[str, ...]) -> None:
        check_depth(path)
        if _identity(source) == self._made:
            raise ConflictError("a directory cannot be copied into itself", "choose a target outside of it")
        for name in sorted(os.listdir(source)):
            with suppress(GoneError):
                self._entry(source, name, target, (*path, name))

    def _entry(self, source: int, name: str, target: int, path: tuple[str, ...]) -> None:
        with named("/".join(path)):
            status = look(source, name)
            kind = stat.S_IFMT(status.st_mode)
            if kind == stat.S_IFDIR:
                with to_read(source, name, DIRECTORY) as opened:
                    self._directory(opened, target, path)
            elif kind == stat.S_IFREG:
                with to_read(source, name) as opened:
                    self._file(opened, target, path)
            elif kind == stat.S_IFLNK:
                link = os.readlink(name, dir_fd=source)
                make_room(target, path[-1])
                make_link(link, target, path[-1], self._about(status))
            elif kind != stat.S_IFSOCK:  # which without its listener is nothing
                make_room(target, path[-1])
                make_node(target, path[-1], self._about(status))

    def _directory(self, source: int, target: int, path: tuple[str, ...]) -> None:
        make_directory(target, path[-1])
        with kept_open(os.open(path[-1], DIRECTORY, dir_fd=target)) as made:
            if self._made is None:
                self._made = _identity(made)
            self._contents(source, made, path)
            finish(made, self._about(os.fstat(source)))

    def _file(self, source: int, target: int, path: tuple[str, ...]) -> None:
        status = os.fstat(source)
        make_room(target, path[-1])
        if status.st_nlink > 1:
            first = self._seen.setdefault((status.st_dev, status.st_ino), path)
            if first is not path:
                self._link(first, target, path[-1])
                return
        with kept_open(os.open(path[-1], NEW_FILE, 0o600, dir_fd=target)) as made:
            self.bytes += filedata.copy(source, made)
            finish(made, self._about(status, capability_of(source)))

    def _about(self, status: os.stat_result, capability: bytes = b"") -> About:
        owner = (status.st_uid, status.st_gid) if self.keep else None
        return About(status.st_mode, owner, (status.st_atime_ns, status.st_mtime_ns), status.st_rdev, capability)

    def _link(self, first: tuple[str, ...], target: int, name: str) -> None:
        """A second name for what was copied before; no link on the way to it is followed."""
        here = os.dup(self._top)
        try:
            for part in first[:-1]:
                below = os.open(part, DIRECTORY, dir_fd=here)
                os.close(here)
                here = below
            os.link(first[-1], name, src_dir_fd=here, dst_dir_fd=target, follow_symlinks=False)
        finally:
            os.close(here)


def check_depth(path: Sequence[str]) -> None:
    """ConflictError for a directory that is more than DEEPEST directories deep; ``path`` has its components."""
    if len(path) > DEEPEST:
        raise ConflictError(f"{'/'.join(path[:3])}/… is deeper than {DEEPEST} directories", "copy it in parts")


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino


@contextmanager
def named(path: str) -> Iterator[None]:
    """An OSError in it becomes a KernelError that names what is copied; whoever reads our output may have enough."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise KernelError(f"{path} cannot be copied: {error.strerror or error}", "", error.errno or 0) from error


def look(directory: int, name: str) -> os.stat_result:
    """What an entry is. GoneError."""
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        raise GoneError from None


@contextmanager
def to_read(directory: int, name: str, flags: int = _FILE) -> Iterator[int]:
    """A file, or what ``flags`` say, open. GoneError where it is none any more."""
    try:
        opened = os.open(name, flags, dir_fd=directory)
    except OSError as error:
        if error.errno in _CHANGED:
            raise GoneError from None
        raise
    with kept_open(opened):
        if flags == _FILE and not stat.S_ISREG(os.fstat(opened).st_mode):
            raise GoneError
        yield opened


def capability_of(file: int) -> bytes:
    """The CAPABILITY of an open file; empty where it has none."""
    try:
        return os.getxattr(file, CAPABILITY)
    except OSError:
        return b""


def make_room(directory: int, name: str) -> None:
    """Take away what is there. ConflictError for a directory, an empty one, too, and for what is mounted there.

    In another mount namespace than ours unlink(2) would take the mount away with the name (since Linux 3.18).
    """
    try:
        with kept_open(os.open(name, _PLACE, dir_fd=directory)) as there:
            if mounts.mount_id(there) != mounts.mount_id(directory):
                raise ConflictError(
                    f"'{name}' is a mount point, so nothing can take its place", "write into it instead"
                )
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        raise ConflictError(f"'{name}' is there and a directory, so a file cannot take its place") from None


def make_directory(directory: int, name: str) -> None:
    """One that is there stays. ConflictError for anything else, a link to one, too."""
    try:
        os.mkdir(name, 0o700, dir_fd=directory)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            raise ConflictError(f"'{name}' is there and no directory, so a directory cannot take its place") from None


def make_link(link: str, directory: int, name: str, about: About) -> None:
    """A symbolic link."""
    os.symlink(link, name, dir_fd=directory)
    if about.owner:
        os.chown(name, *about.owner, dir_fd=directory, follow_symlinks=False)
    os.utime(name, ns=about.times, dir_fd=directory, follow_symlinks=False)


def make_node(directory: int, name: str, about: About) -> None:
    """A device or a pipe."""
    os.mknod(name, stat.S_IFMT(about.mode) | 0o600, about.device, dir_fd=directory)
    with kept_open(os.open(name, _PLACE, dir_fd=directory)) as made:
        finish(made, about)


def finish(made: int, about: About) -> None:
    """Owner, mode and times of what was made. By number: its name may be another's by now, or a link to anywhere.

    In this order: chown(2) takes set-user-ID bits and capabilities away.
    """
    place = f"/proc/self/fd/{made}"
    if about.owner:
        os.chown(place, *about.owner)
    if about.capability:
        with suppress(OSError):  # not every file system has them
            os.setxattr(place, CAPABILITY, about.capability)
    os.chmod(place, stat.S_IMODE(about.mode))
    os.utime(place, ns=about.times)
