"""Unpacking a layer (OCI image specification, "Image Layer Filesystem Changeset").

A layer is a tar file from anywhere, so that every member's name and every link on its way is looked at before it is
written. ``.wh.NAME`` members say that NAME is gone; how a union mount is told so is the storage driver's business.

So a layer can have several *forms*, each a directory of its own. ``fs`` is overlay's, with devices and an attribute as
marks. Where a layer hides anything, ``aufs`` stands beside it: the same files once more, as hard links, with aufs's
marks. A layer that hides nothing, as most do, is the same in every form, and has the first alone.
"""

from __future__ import annotations

import os
import shutil
import tarfile

from labkit.errors import ConfigError
from labkit.runtime import storage
from labkit.runtime.images.imagestore import FIRST_FORM
from labkit.runtime.kernel.rootdir import resolve
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.std.types import ModuleType
from labkit.runtime.std.typing import BinaryIO

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"

#: With this begin the names that aufs keeps for itself at the top of a branch; an old Docker on aufs may have packed
#: them. They are no content, but the files of one are needed until the end: hard links may lead to them.
_AUFS_OWN = ".wh..wh."
_AUFS_LINKS = ".wh..wh.plnk"


@dataclass(frozen=True)
class Marks:
    """What a layer hides of the layers below, as paths relative to it."""

    whiteouts: list[str] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)
    """Directories of which nothing shows through."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.whiteouts or self.opaque)


def unpack(stream: BinaryIO, layer: str) -> None:
    """Unpack an uncompressed tar into the new directory ``layer``, in all the forms that it needs.

    ConfigError for a member that would leave it.
    """
    directory = os.path.join(layer, FIRST_FORM)
    os.makedirs(directory)
    marks = Marks()
    times: list[tuple[str, float]] = []
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            _member(archive, member, directory, marks)
            if member.isdir() and not os.path.normpath(member.name).startswith(_AUFS_OWN):
                times.append((member.name, member.mtime))
    _remove(os.path.join(directory, _AUFS_LINKS))
    drivers = map(storage.driver, storage.DRIVERS)
    forms = {driver.LAYER_FORM: driver for driver in drivers if marks or driver.LAYER_FORM == FIRST_FORM}
    for form in forms.keys() - {FIRST_FORM}:
        copy_by_links(directory, os.path.join(layer, form))
    for form, driver in forms.items():
        hide(marks, os.path.join(layer, form), driver)
        # A directory's time changes with each entry, hence at the end, the deepest first.
        for name, time in reversed(times):
            os.utime(resolve(os.path.join(layer, form), name), (time, time))


def hide(marks: Marks, directory: str, driver: ModuleType) -> None:
    """Put the marks into one form of a layer, in the words of its storage driver.

    A whiteout is about the layers below, never about its own: where a file of that name is in the layer, it covers
    what is below anyway, and a directory becomes opaque.
    """
    for path in dict.fromkeys(marks.whiteouts):
        parent, name = os.path.split(path)
        place = os.path.join(_made(directory, parent), name)
        if os.path.isdir(place) and not os.path.islink(place):
            driver.make_opaque(place)
        elif not os.path.lexists(place):
            driver.whiteout(place)
    for path in dict.fromkeys(marks.opaque):
        driver.make_opaque(_made(directory, path))


def _made(directory: str, path: str) -> str:
    """A directory of the layer, made where no member has named it."""
    place = resolve(directory, path)
    os.makedirs(place, exist_ok=True)
    return place


def copy_by_links(source: str, target: str) -> None:
    """A second tree of the same files (``cp --archive --link``): new directories, and hard links to all else."""
    os.mkdir(target)
    for name in os.listdir(source):
        here, there = os.path.join(source, name), os.path.join(target, name)
        if os.path.isdir(here) and not os.path.islink(here):
            copy_by_links(here, there)
        else:
            os.link(here, there, follow_symlinks=False)
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: str, marks: Marks) -> None:
    if ".." in member.name.split("/") or member.name.startswith("/"):
        raise ConfigError(
            f"the layer's member '{member.name}' would lie outside of it", "this layer is damaged or malicious"
        )
    place, base = os.path.split(os.path.normpath(member.name))
    if base == _OPAQUE:
        marks.opaque.append(place)
    elif (place or base).startswith(_AUFS_OWN):
        if place == _AUFS_LINKS:
            _write(archive, member, os.path.join(_made(directory, place), base), directory)
    elif base.startswith(_WHITEOUT) and base[len(_WHITEOUT) :] not in ("", ".", ".."):
        marks.whiteouts.append(os.path.join(place, base[len(_WHITEOUT) :]))
    else:
        parent = _made(directory, place)
        _write(archive, member, os.path.join(parent, base) if base != "." else directory, directory)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: str, directory: str) -> None:
    if not (member.isdir() and os.path.isdir(target) and not os.path.islink(target)):
        _remove(target)
    if member.isdir():
        os.makedirs(target, exist_ok=True)
    elif member.issym():
        os.symlink(member.linkname, target)
    elif member.islnk():
        # The last part is not followed: a hard link may lead to a symbolic one.
        other = os.path.join(resolve(directory, os.path.dirname(member.linkname)), os.path.basename(member.linkname))
        os.link(other, target, follow_symlinks=False)
        return  # the other name has the mode and the owner already
    elif member.isreg():
        source = archive.extractfile(member)
        assert source is not None
        with open(target, "wb") as file:
            shutil.copyfileobj(source, file)
    elif member.ischr() or member.isblk() or member.isfifo():
        kind = {tarfile.CHRTYPE: 0o020000, tarfile.BLKTYPE: 0o060000}.get(member.type, 0o010000)
        os.mknod(target, kind | member.mode, os.makedev(member.devmajor, member.devminor))
    else:
        raise ConfigError(f"the layer's member '{member.name}' is of an unknown kind ({member.type!r})")
    os.chown(target, member.uid, member.gid, follow_symlinks=False)
    if not member.issym():
        os.chmod(target, member.mode)
        os.utime(target, (member.mtime, member.mtime))


def _remove(target: str) -> None:
    with suppress(FileNotFoundError):
        if os.path.isdir(target) and not os.path.islink(target):
            shutil.rmtree(target)
        else:
            os.unlink(target)
