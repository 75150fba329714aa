"""A tree of files as a tar stream, and back. ``tarfile`` reads and writes the headers; the data goes by descriptors."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import tarfile

from labkit.errors import ConfigError, ConflictError, KernelError
from labkit.runtime.engine.files import tree
from labkit.runtime.engine.files.forward import Forward, damaged, opened
from labkit.runtime.kernel import filedata, rootdir
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std.contextlib import suppress

#: Headers and small files are written together.
_BUFFER = 1 << 18
#: The first user and the first second that are none any more: uid_t has 32 bits, time_t 64, of which this is within.
_NO_ID, _NO_TIME = (1 << 32) - 1, 1 << 62
_CAPABILITY = f"SCHILY.xattr.{tree.CAPABILITY}"
_KINDS = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
}


class Packer:
    """Writes entries of open directories to a descriptor. ``bytes`` counts what the files held."""

    def __init__(self, stream: int) -> None:
        self.bytes = 0
        self._stream = stream
        self._written = 0
        self._waiting = bytearray()
        self._seen: dict[tuple[int, int], str] = {}

    def entry(self, directory: int, name: str, shown: str) -> None:
        """The entry ``name`` and all below it, as ``shown``; a socket is left out. ConflictError where it is too deep;
        KernelError.
        """
        with tree.named(shown):
            status = tree.look(directory, name)
            if stat.S_ISDIR(status.st_mode):
                with tree.to_read(directory, name, tree.DIRECTORY) as opened:
                    self.directory(opened, shown)
            elif stat.S_ISREG(status.st_mode):
                with tree.to_read(directory, name) as opened:
                    self._file(opened, shown)
            elif not stat.S_ISSOCK(status.st_mode):
                entry = _header(status, shown)
                if entry.issym():
                    entry.linkname = os.readlink(name, dir_fd=directory)
                self._add(entry)

    def directory(self, opened: int, shown: str) -> None:
        """An open directory and all below it. ConflictError where that is too deep."""
        tree.check_depth(shown.split("/"))
        self._add(_header(os.fstat(opened), shown))
        for name in sorted(os.listdir(opened)):
            with suppress(tree.GoneError):
                self.entry(opened, name, f"{shown}/{name}")

    def close(self) -> None:
        """The end of the archive: two empty blocks, and what fills a record of tar's (tar(5))."""
        self._put(bytes(2 * tarfile.BLOCKSIZE))
        self._put(bytes(-self._written % tarfile.RECORDSIZE))
        self._flush()

    def _file(self, file: int, shown: str) -> None:
        status = os.fstat(file)
        entry = _header(status, shown)
        earlier = self._seen.setdefault((status.st_dev, status.st_ino), shown) if status.st_nlink > 1 else shown
        if earlier != shown:
            entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, earlier, 0
            self._add(entry)
            return
        capability = tree.capability_of(file)
        if capability:
            entry.pax_headers = {_CAPABILITY: capability.decode("utf-8", "surrogateescape")}
        self._add(entry)
        if entry.size < _BUFFER:
            data = os.read(file, entry.size)
            self._put(data)
            sent = len(data)
        else:
            self._flush()
            sent = filedata.move(file, self._stream, entry.size)
            self._written += sent
        if sent < entry.size:
            raise KernelError(f"{shown} cannot be read to its end", "it shrank meanwhile?")
        self._put(bytes(-sent % tarfile.BLOCKSIZE))
        self.bytes += sent

    def _add(self, entry: tarfile.TarInfo) -> None:
        self._put(entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _put(self, data: bytes) -> None:
        self._waiting += data
        self._written += len(data)
        if len(self._waiting) >= _BUFFER:
            self._flush()

    def _flush(self) -> None:
        filedata.write(self._stream, bytes(self._waiting))
        self._waiting.clear()


def _header(status: os.stat_result, shown: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(shown)
    entry.mode = stat.S_IMODE(status.st_mode)
    entry.uid, entry.gid, entry.mtime = status.st_uid, status.st_gid, int(status.st_mtime)
    entry.type = _KINDS.get(stat.S_IFMT(status.st_mode), tarfile.REGTYPE)
    if entry.isreg():
        entry.size = status.st_size
    if entry.isdev():
        entry.devmajor, entry.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return entry


def unpack(stream: int, root: str, path: str) -> int:
    """Put the files of a stream below the directory ``path`` of a root file system; how many bytes they hold.

    It may be packed by gzip, bzip2 or xz. What is there with the same name is replaced, directories are joined, and a
    link on the way is followed as the container would. ConfigError for what is no archive or has a name that leads out
    of the directory, or a number that no file has; ConflictError where a directory and something else have the same
    name, and for what is too deep; KernelError.
    """
    source = opened(stream)
    if source is None:
        return 0
    into = _Into(root, path)
    try:
        tar = tarfile.TarFile(fileobj=source, encoding="utf-8", errors="surrogateescape")  # type: ignore[arg-type]
        while (entry := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # or it would know all that there was
            with tree.named(entry.name):
                into.put(entry, tar, source)
        into.finish()
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:  # tarfile lets some of them through
        raise damaged(error) from error
    finally:
        into.close()
    return into.bytes


def parts(name: str) -> list[str]:
    """The components of an entry's name. ConfigError where it leads out of its directory, ConflictError if too deep."""
    found = posixpath.normpath(name).split("/") if name else []
    if ".." in found:
        raise ConfigError(f"the archive's entry '{name}' leads out of its directory", "it is not unpacked")
    found = [part for part in found if part not in ("", ".")]
    tree.check_depth(found[:-1])
    return found


class _Into:
    """The directory that entries are put into. ``bytes`` counts what their files held."""

    def __init__(self, root: str, path: str) -> None:
        self.bytes = 0
        self._root, self._path = root, path
        self._late: list[tuple[list[str], tree.About]] = []
        self._open: tuple[list[str], int] = ([], rootdir.open_directory(root, path))

    def close(self) -> None:
        """The directory that is open."""
        os.close(self._open[1])

    def put(self, entry: tarfile.TarInfo, tar: tarfile.TarFile, source: Forward) -> None:
        """One entry; the stream stands at its data."""
        where = parts(entry.name)
        about = _about(entry)  # before anything is made or taken away
        if not where:
            if entry.isdir():
                return  # the directory itself keeps its mode and owner
            raise ConflictError("the archive has a file in the place of the directory that it is put into")
        if entry.isdir():
            tree.make_directory(self._directory(where[:-1]), where[-1])
            self._late.append((where, about))
            return
        parent, name = self._directory(where[:-1]), where[-1]
        if entry.islnk():
            self._link(parts(entry.linkname), parent, name)
            return
        tree.make_room(parent, name)
        if entry.isreg():
            with kept_open(os.open(name, tree.NEW_FILE, 0o600, dir_fd=parent)) as made:
                self._file(entry, tar, source, made)
                tree.finish(made, about)
        elif entry.issym():
            tree.make_link(entry.linkname, parent, name, about)
        else:
            tree.make_node(parent, name, about)

    def finish(self) -> None:
        """Modes and times of directories, when nothing changes them any more."""
        for where, about in reversed(self._late):
            with suppress(OSError, KernelError):  # it is there no more
                tree.finish(self._directory(where), about)

    def _directory(self, where: list[str]) -> int:
        """The directory of that name, made where it is missing: a link is followed, one that leads nowhere is not."""
        if where != self._open[0]:
            opened = self._found(where)
            os.close(self._open[1])
            self._open = (where, opened)
        return self._open[1]

    def _found(self, where: list[str]) -> int:
        try:
            return rootdir.open_directory(self._root, "/".join([self._path, *where]))
        except KernelError as error:
            if error.errno == errno.ENOTDIR:
                raise ConflictError(f"{'/'.join(where)} leads through something that is no directory") from None
            if error.errno != errno.ENOENT or not where:
                raise
        with kept_open(self._found(where[:-1])) as above:
            try:
                os.mkdir(where[-1], 0o755, dir_fd=above)
            except FileExistsError:
                raise ConflictError(f"{'/'.join(where)} is a link that leads nowhere") from None
            return os.open(where[-1], tree.DIRECTORY, dir_fd=above)

    def _link(self, other: list[str], parent: int, name: str) -> None:
        with kept_open(rootdir.open_directory(self._root, "/".join([self._path, *other[:-1]]))) as directory:
            first = os.stat(other[-1] if other else ".", dir_fd=directory, follow_symlinks=False)
            with suppress(FileNotFoundError):
                if os.path.samestat(first, os.stat(name, dir_fd=parent, follow_symlinks=False)):
                    return  # GNU tar writes a link to itself for a file that it is given twice
            tree.make_room(parent, name)
            os.link(other[-1] if other else ".", name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)

    def _file(self, entry: tarfile.TarInfo, tar: tarfile.TarFile, source: Forward, made: int) -> None:
        if entry.issparse():
            _unpack_sparse(tar, entry, made)
        else:
            source.into(made, entry.size)
        self.bytes += entry.size


def _unpack_sparse(tar: tarfile.TarFile, entry: tarfile.TarInfo, made: int) -> None:
    """GNU tar's form of files with holes: ``tarfile`` reads zeros for them, which become holes again."""
    data = tar.extractfile(entry)
    while data and (block := data.read(_BUFFER)):
        if block.count(0) == len(block):
            os.lseek(made, len(block), os.SEEK_CUR)
        else:
            filedata.write(made, block)
    os.ftruncate(made, entry.size)


def _about(entry: tarfile.TarInfo) -> tree.About:
    """What is said of it. ConfigError for what no file has: pax's headers are texts of any content (pax(1))."""
    numbers = [entry.uid, entry.gid, *((entry.devmajor, entry.devminor) if entry.isdev() else ())]
    # Not a number is not less than anything; -1, and so the last of 32 bits, is chown(2)'s word for "leave it".
    sound = all(0 <= number < _NO_ID for number in numbers) and abs(entry.mtime) < _NO_TIME and entry.size >= 0
    if not sound or "\0" in f"{entry.name}{entry.linkname}":
        shown = entry.name.replace("\0", "\\0")
        raise ConfigError(f"the archive's entry '{shown}' has a name, an owner or a time that no file has")
    kind = next((kind for kind, word in _KINDS.items() if word == entry.type), stat.S_IFREG)
    device = os.makedev(entry.devmajor, entry.devminor) if entry.isdev() else 0
    capability = entry.pax_headers.get(_CAPABILITY, "").encode("utf-8", "surrogateescape")
    time = max(0, int(entry.mtime * 1_000_000_000))
    return tree.About(kind | entry.mode & 0o7777, (entry.uid, entry.gid), (time, time), device, capability)
