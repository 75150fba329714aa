"""Unpacking a layer (OCI image specification, "Image Layer Filesystem Changeset").

A layer is a tar file from anywhere, so that every member's name and every link on its way is looked at before it is
written. ``.wh.NAME`` members say that NAME is gone; how a union mount is told so is the storage driver's business.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tarfile
from pathlib import Path
from typing import BinaryIO

from labkit.errors import ConfigError
from labkit.kernel.inroot import resolve
from labkit.storage import overlay

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"


def unpack(stream: BinaryIO, directory: str) -> None:
    """Unpack an uncompressed tar into a new directory. ConfigError for a member that would leave it."""
    os.makedirs(directory)
    times: list[tuple[str, float]] = []
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            _member(archive, member, directory)
            if member.isdir():
                times.append((member.name, member.mtime))
    # A directory's time changes with each entry, hence at the end, the deepest first.
    for name, time in reversed(times):
        os.utime(resolve(directory, name), (time, time))


def _member(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: str) -> None:
    if ".." in member.name.split("/") or member.name.startswith("/"):
        raise ConfigError(
            f"the layer's member '{member.name}' would lie outside of it", "this layer is damaged or malicious"
        )
    parent = resolve(directory, os.path.dirname(member.name))
    base = os.path.basename(member.name.rstrip("/"))
    target = os.path.join(parent, base) if base not in ("", ".") else directory
    os.makedirs(parent, exist_ok=True)
    if base == _OPAQUE:
        overlay.make_opaque(parent)
    elif base.startswith(_WHITEOUT):
        overlay.whiteout(os.path.join(parent, base[len(_WHITEOUT) :]))
    else:
        _write(archive, member, target, directory)


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
    with contextlib.suppress(FileNotFoundError):
        if os.path.isdir(target) and not os.path.islink(target):
            shutil.rmtree(target)
        else:
            Path(target).unlink()
