"""``labkit cp``: between a container's root file system and ours, or a tar stream.

A running container is looked at through /proc/PID/root, with all that is mounted in it. Of one that does not run the
layers are mounted for the time of the copy, in its run's journal, so that a death leaves nothing that gc cannot see.
"""

from __future__ import annotations

import os
import stat
import threading
import time

from labkit import log
from labkit.basics import contextmanager, suppress
from labkit.engine import lease, plan, record, tree
from labkit.engine.record import Container
from labkit.errors import ConflictError, KernelError, LabkitError, NotFoundError, UsageError
from labkit.images import store
from labkit.kernel import rootdir
from labkit.quoting import join
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Callable, Iterator
    from typing import IO


@contextmanager
def root_of(container: Container) -> Iterator[str]:
    """The container's root file system, as long as this lasts. ConflictError where another command is at work on it."""
    state = container.state()
    if state.status in ("running", "paused"):
        yield f"/proc/{state.pid}/root"
        return
    taken = lease.take(container.id)
    if taken is None:
        raise ConflictError(f"another command is at work on {container.name}", "try again in a moment")
    try:
        record.undo_run(container.id)  # what a dead shim has left
        record.run_journal(container.id).run(plan.root_filesystem(container, store.find(container.image)))
        yield container.rootfs
    finally:
        with suppress(LabkitError):  # what cannot be undone stays in its journal, and gc tries it again
            record.undo_run(container.id)
        taken.release()


def out_of(container: Container, source: str, target: str, stream: IO[bytes] | None, links: bool, keep: bool) -> int:
    """Copy out: to the path ``target``, or as a tar to ``stream``. Returns the bytes of the files.

    ``links``: a link at the end of ``source`` is followed. ``keep``: users and groups stay what they are.
    """
    with root_of(container) as root, _told(container, root, source, target, keep, out=True):
        inside = "/" + source.lstrip("/")
        kind, name = _look(root, inside, links)
        if stream:
            return _pack(root, inside, links, stream, name or "")
        directory, shown = _place_outside(target, stat.S_ISDIR(kind), source, name)
        opened = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            owner = _its_own if keep else None
            return _through(lambda end: _pack(root, inside, links, end, shown), opened, owner)
        finally:
            os.close(opened)


def into(container: Container, source: str, target: str, stream: IO[bytes] | None, links: bool, keep: bool) -> int:
    """Copy in: from the path ``source``, or a tar's contents from ``stream`` into the directory ``target``."""
    with root_of(container) as root, _told(container, root, source, target, keep, out=False):
        inside = "/" + target.lstrip("/")
        if stream:
            opened = _directory(root, inside, f"{container.name}:{target}")
            try:
                return tree.unpack(stream, opened, _its_own)
            finally:
                os.close(opened)
        outside = os.path.abspath(source) + ("/." if source.endswith(("/", "/.")) else "")
        kind, name = _look("/", outside, links)
        opened, shown = _place_inside(root, inside, stat.S_ISDIR(kind), source, name, container)
        try:
            return _through(lambda end: _pack("/", outside, links, end, shown), opened, _its_own if keep else _roots)
        finally:
            os.close(opened)


def _its_own(entry: tarfile.TarInfo) -> tuple[int, int]:
    return entry.uid, entry.gid


def _roots(_: tarfile.TarInfo) -> tuple[int, int]:
    return 0, 0


@contextmanager
def _told(container: Container, root: str, source: str, target: str, keep: bool, out: bool) -> Iterator[None]:
    """For --explain: the copy as cp(1) says it, and how long it took."""
    began = time.monotonic()
    yield
    inside = f"{root}/{(source if out else target).lstrip('/')}"
    ends = [inside, target] if out else [source, inside]
    command = join(["cp", "-a" if keep else "-r", *ends])
    log.emit("operation", where="host", command=command, seconds=time.monotonic() - began)


def _look(root: str, path: str, links: bool) -> tuple[int, str]:
    """Kind (st_mode) of what is there, and its name, which is empty where its contents are meant (``/``, ``x/.``)."""
    name = os.path.basename(path)
    contents = name in ("", ".", "..")
    with _entry(root, path, links) as (directory, entry):
        status = os.stat(entry, dir_fd=directory, follow_symlinks=False) if entry else os.fstat(directory)
    if contents and not stat.S_ISDIR(status.st_mode):
        raise UsageError(f"{path} is no directory", "leave the / at its end out")
    return status.st_mode, os.path.basename(path.rstrip("/")) if not path.endswith("/.") else ""


@contextmanager
def _entry(root: str, path: str, links: bool) -> Iterator[tuple[int, str]]:
    """An open directory and a name in it; or what was found itself and no name, where its last link is followed."""
    parent, name = os.path.split(path)
    whole = links or name in ("", ".", "..")
    try:
        found = rootdir.find(root, path if whole else parent)
    except KernelError as error:
        raise NotFoundError(f"there is no {path}: {os.strerror(error.errno)}") from None
    try:
        if not whole and not _is_there(found, name):
            raise NotFoundError(f"there is no {path}")
        yield found, "" if whole else name
    finally:
        os.close(found)


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _pack(root: str, path: str, links: bool, stream: IO[bytes], shown: str) -> int:
    with _entry(root, path, links) as (found, name):
        packer = tree.Packer(stream)
        if name:
            packer.add(found, name, shown)
        else:
            flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
            packer.add_open(os.open(f"/proc/self/fd/{found}", flags), shown)  # a path alone (O_PATH) cannot be read
        packer.close()
        return packer.bytes


def _through(write: Callable[[IO[bytes]], int], directory: int, owner: tree.Owner | None) -> int:
    """What ``write`` writes is unpacked beside it; the first error of the two is raised."""
    reader, writer = os.pipe()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with open(writer, "wb") as end:
                write(end)
        except BrokenPipeError:
            pass  # the other side has failed
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        with open(reader, "rb") as end:
            count = tree.unpack(end, directory, owner)
    except LabkitError:
        thread.join()
        if failed:
            raise failed[0] from None
        raise
    thread.join()
    if failed:
        raise failed[0]
    return count


def _place_outside(target: str, is_directory: bool, source: str, name: str) -> tuple[str, str]:
    """The directory to unpack in, and the name to give; cp(1)'s rules, as docker has them."""
    if os.path.isdir(target):
        return target, name
    if os.path.exists(target) and is_directory:
        raise ConflictError(f"{target} is no directory, and {source} is one")
    parent, shown = os.path.split(target.rstrip("/") or "/")
    if not os.path.isdir(parent or "."):
        raise NotFoundError(f"there is no directory {parent}", f"mkdir -p {parent}")
    if target.endswith("/") and not is_directory:
        raise NotFoundError(f"there is no directory {target}", f"mkdir -p {target}")
    return parent or ".", shown


def _place_inside(
    root: str, target: str, is_directory: bool, source: str, name: str, container: Container
) -> tuple[int, str]:
    """The same in a container; the directory is open."""
    words = f"{container.name}:{target}"
    try:
        found = rootdir.find(root, target)
    except KernelError:
        found = -1
    if found >= 0:
        there = stat.S_ISDIR(os.fstat(found).st_mode)
        os.close(found)
        if there:
            return _directory(root, target, words), name
        if is_directory:
            raise ConflictError(f"{words} is no directory, and {source} is one")
    if target.endswith("/") and not is_directory:
        raise NotFoundError(f"there is no directory {words}")
    parent, shown = os.path.split(target.rstrip("/"))
    return _directory(root, parent or "/", f"{container.name}:{parent or '/'}"), shown


def _directory(root: str, path: str, words: str) -> int:
    try:
        found = rootdir.find(root, path)
    except KernelError as error:
        raise NotFoundError(f"there is no directory {words}: {os.strerror(error.errno)}") from None
    try:
        return os.open(f"/proc/self/fd/{found}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except NotADirectoryError:
        raise ConflictError(f"{words} is no directory") from None
    finally:
        os.close(found)
