"""A tree of files as a tar stream, and back, on descriptors: no link in it is followed, whoever changes it meanwhile.

Nothing here enters the tree's own root: a library that the C library loads in there would be the container's.
"""

from __future__ import annotations

import os
import stat
import tarfile

from labkit.basics import contextmanager, suppress
from labkit.errors import ConfigError, ConflictError, KernelError
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO

    Owner = Callable[[tarfile.TarInfo], tuple[int, int]]

_BUFFER = 1 << 20


class Packer:
    """Writes files and directories to a stream. ``bytes`` counts what the files held."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.tar = tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - see close
        self.seen: dict[tuple[int, int], str] = {}
        self.bytes = 0

    def close(self) -> None:
        """The end of the archive."""
        self.tar.close()

    def add(self, directory: int, name: str, shown: str) -> None:
        """The entry ``name`` of an open directory, and all below it, as ``shown``. A socket is left out."""
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            opened = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
            self.add_open(opened, shown)
        elif stat.S_ISREG(status.st_mode):
            # Not blocking: a pipe may have taken the file's place by now.
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
            self.add_open(opened, shown)
        elif not stat.S_ISSOCK(status.st_mode):
            entry = self._entry(status, shown)
            if stat.S_ISLNK(status.st_mode):
                entry.linkname = os.readlink(name, dir_fd=directory)
            self.tar.addfile(entry)

    def add_open(self, descriptor: int, shown: str) -> None:
        """The same of an open file or directory, which is closed."""
        try:
            status = os.fstat(descriptor)
            entry = self._entry(status, shown)
            if not stat.S_ISREG(status.st_mode):
                self.tar.addfile(entry)
                for name in sorted(os.listdir(descriptor)) if stat.S_ISDIR(status.st_mode) else ():
                    with suppress(FileNotFoundError):  # removed meanwhile
                        self.add(descriptor, name, f"{shown}/{name}" if shown else name)
                return
            self._add_file(descriptor, status, entry)
        finally:
            os.close(descriptor)

    def _add_file(self, descriptor: int, status: os.stat_result, entry: tarfile.TarInfo) -> None:
        earlier = self.seen.setdefault((status.st_dev, status.st_ino), entry.name)
        if earlier != entry.name:
            entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, earlier, 0
            self.tar.addfile(entry)
            return
        with open(descriptor, "rb", closefd=False) as file:
            try:
                self.tar.addfile(entry, file)
            except OSError as error:
                raise KernelError(f"{entry.name} cannot be read to its end: {error}", "it shrank meanwhile?") from error
        self.bytes += entry.size

    def _entry(self, status: os.stat_result, shown: str) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(shown or ".")
        entry.mode = stat.S_IMODE(status.st_mode)
        entry.uid, entry.gid, entry.mtime = status.st_uid, status.st_gid, int(status.st_mtime)
        kinds = {
            stat.S_IFREG: tarfile.REGTYPE,
            stat.S_IFDIR: tarfile.DIRTYPE,
            stat.S_IFLNK: tarfile.SYMTYPE,
            stat.S_IFCHR: tarfile.CHRTYPE,
            stat.S_IFBLK: tarfile.BLKTYPE,
            stat.S_IFIFO: tarfile.FIFOTYPE,
        }
        entry.type = kinds.get(stat.S_IFMT(status.st_mode), tarfile.REGTYPE)
        if entry.isreg():
            entry.size = status.st_size
        if entry.isdev():
            entry.devmajor, entry.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
        return entry


def unpack(stream: IO[bytes], directory: int, owner: Owner | None = None) -> int:
    """Put the files of a stream below an open directory, and return how many bytes they hold.

    What is there with the same name is replaced, directories are joined. ``owner`` says whose an entry becomes, ours
    without it. ConfigError for what is no archive or has a name that leads out; ConflictError where a directory and
    something else have the same name; KernelError where the kernel refuses one.
    """
    count = 0
    late: list[tuple[str, tarfile.TarInfo]] = []
    try:
        with tarfile.open(fileobj=stream, mode="r|*", bufsize=_BUFFER) as tar:
            for entry in tar:
                parts = _parts(entry.name)
                with _opened(directory, parts[:-1]) as parent:
                    _unpack_one(tar, entry, directory, parent, parts[-1] if parts else ".", owner)
                if entry.isdir():
                    late.append(("/".join(parts), entry))
                count += entry.size if entry.isreg() else 0
    except tarfile.TarError as error:
        raise ConfigError(f"this is no tar archive, or a damaged one: {error}", "as tar -c writes it") from error
    except OSError as error:
        raise KernelError(
            f"{error.filename or 'a file'} cannot be written: {error.strerror or error}", "", error.errno or 0
        ) from error
    for name, entry in reversed(late):  # when nothing changes them any more
        with suppress(OSError), _opened(directory, _parts(name)) as opened:
            os.chmod(opened, entry.mode & 0o7777)
            os.utime(opened, (entry.mtime, entry.mtime))
    return count


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ConfigError(f"the archive's entry '{name}' leads out of its directory", "it is not unpacked")
    return parts


@contextmanager
def _opened(directory: int, parts: list[str]) -> Iterator[int]:
    """The directory below another, made where it is missing; no link on the way is followed."""
    here = os.dup(directory)
    try:
        for part in parts:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                below = os.open(part, flags, dir_fd=here)
            except FileNotFoundError:
                os.mkdir(part, 0o755, dir_fd=here)
                below = os.open(part, flags, dir_fd=here)
            except NotADirectoryError:
                raise ConflictError(f"{'/'.join(parts)} leads through something that is no directory") from None
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _unpack_one(
    tar: tarfile.TarFile, entry: tarfile.TarInfo, top: int, parent: int, name: str, owner: Owner | None
) -> None:
    if entry.isdir():
        _make_directory(parent, name)
    else:
        _make_room(parent, name)
        if entry.isreg():
            _write_file(tar, entry, parent, name)
        elif entry.issym():
            os.symlink(entry.linkname, name, dir_fd=parent)
        elif entry.islnk():
            *above, last = _parts(entry.linkname)
            with _opened(top, above) as there:
                os.link(last, name, src_dir_fd=there, dst_dir_fd=parent, follow_symlinks=False)
            return
        else:
            kind = stat.S_IFCHR if entry.ischr() else stat.S_IFBLK if entry.isblk() else stat.S_IFIFO
            os.mknod(name, kind | entry.mode & 0o7777, os.makedev(entry.devmajor, entry.devminor), dir_fd=parent)
    if owner:
        os.chown(name, *owner(entry), dir_fd=parent, follow_symlinks=False)
    if entry.isreg():  # chown(2) takes set-user-ID bits away, so the mode comes last; nobody else has the new file yet
        os.chmod(name, entry.mode & 0o7777, dir_fd=parent)
        os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)


def _make_directory(parent: int, name: str) -> None:
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
        raise ConflictError(f"'{name}' is there and no directory, so a directory cannot take its place")


def _make_room(parent: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except IsADirectoryError:
        raise ConflictError(f"'{name}' is there and a directory, so a file cannot take its place") from None


def _write_file(tar: tarfile.TarFile, entry: tarfile.TarInfo, parent: int, name: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    source = tar.extractfile(entry)
    with open(os.open(name, flags, 0o600, dir_fd=parent), "wb") as file:
        while source:
            block = source.read(_BUFFER)
            if not block:
                return
            file.write(block)
