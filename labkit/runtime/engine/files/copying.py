"""``labkit cp``: between a container's root file system and ours, or a tar stream.

A running container is looked at through /proc/PID/root, with all that is mounted in it. Of one that does not run the
layers and its volumes are mounted for the time of the copy, in its run's journal, so that a death leaves nothing that
gc cannot see.
"""

from __future__ import annotations

import os
import time

from labkit import log
from labkit.errors import ConflictError, LabkitError
from labkit.runtime.engine.config import filesystems, steps
from labkit.runtime.engine.files import copyplaces, tree
from labkit.runtime.engine.record import lease, record
from labkit.runtime.engine.record.record import Container
from labkit.runtime.images import imagestore
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.shlex import join


@contextmanager
def root_of(container: Container) -> Iterator[str]:
    """The container's root file system, as long as this lasts. ConflictError where another command is at work on it."""
    state = container.state()
    if state.runs:
        yield f"/proc/{state.pid}/root"
        return
    taken = lease.take(container.id)
    if taken is None:
        raise ConflictError(f"another command is at work on {container.name}", "try again in a moment")
    try:
        record.undo_run(container.id)  # what a dead shim has left
        journal = record.run_journal(container.id)
        journal.run(steps.root_filesystem(container, imagestore.find(container.image)))
        journal.run(filesystems.seen_from_outside(container))
        yield container.rootfs
    finally:
        with suppress(LabkitError):  # what cannot be undone stays in its journal, and gc tries it again
            record.undo_run(container.id)
        taken.release()


def out_of(container: Container, source: str, target: str, stream: int | None, links: bool, keep: bool) -> int:
    """Copy out: to the path ``target``, or as a tar to the descriptor ``stream``. Returns the bytes of the files.

    ``links``: a link at the end of ``source`` is followed. ``keep``: users and groups stay what they are.
    """
    inside, prefix = os.path.join("/", source), f"{container.name}:"
    with (
        root_of(container) as root,
        _told(container, root, source, target, keep, out=True),
        copyplaces.source(root, inside, links, prefix) as found,
    ):
        if stream is not None:
            return _pack(found, stream)
        with copyplaces.target("/", copyplaces.absolute(target), found, "") as place:
            return _copy(found, place, keep)


def into(container: Container, source: str, target: str, stream: int | None, links: bool) -> int:
    """Copy in: from the path ``source``, or a tar's contents from ``stream`` into the directory ``target``.

    Users and groups have in there the numbers that they have here.
    """
    inside, prefix = os.path.join("/", target), f"{container.name}:"
    with root_of(container) as root, _told(container, root, source, target, keep=True, out=False):
        if stream is not None:
            from labkit.runtime.engine.files import tarstream  # local, as below: most copies need no archive

            copyplaces.check_directory(root, inside, prefix)
            return tarstream.unpack(stream, root, os.path.normpath(inside))
        outside = copyplaces.absolute(source)
        with copyplaces.source("/", outside, links, "") as found, copyplaces.target(root, inside, found, prefix) as to:
            return _copy(found, to, keep=True)


def _pack(found: copyplaces.Source, stream: int) -> int:
    from labkit.runtime.engine.files import tarstream

    packer = tarstream.Packer(stream)
    if found.place.is_directory:
        with found.opened() as opened:
            packer.directory(opened, found.shown)
    else:
        packer.entry(found.place.directory, found.place.name, found.shown)
    packer.close()
    return packer.bytes


def _copy(found: copyplaces.Source, target: tuple[int, str], keep: bool) -> int:
    copier = tree.Copier(keep)
    if found.place.is_directory:
        with found.opened() as opened:
            copier.directory(opened, *target)
    else:
        copier.entry(found.place.directory, found.place.name, *target)
    return copier.bytes


@contextmanager
def _told(container: Container, root: str, source: str, target: str, keep: bool, out: bool) -> Iterator[None]:
    """For --explain: the copy as cp(1) says it, and how long it took."""
    began = time.monotonic()
    yield
    inside = f"{root}/{(source if out else target).lstrip('/')}"
    ends = [inside, target] if out else [source, inside]
    command = join(["cp", "-a" if keep else "-r", *ends])
    log.emit("operation", where="host", command=command, seconds=time.monotonic() - began)
