"""What ``labkit cp`` reads from and writes to: docker's rules for its two paths, the same inside and outside.

docker removes ``.`` and ``..`` from a path as text, before any link is looked at. A source with ``/`` at its end must
be a directory, and a link to one is followed; with ``/.`` its contents are meant. A target's links are always followed,
the last one to a name that is not there yet, too.
"""

from __future__ import annotations

import os
import stat

from labkit.errors import ConflictError, KernelError, NotFoundError, UsageError
from labkit.runtime.engine.files import tree
from labkit.runtime.kernel import rootdir
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.kernel.rootdir import Place
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager
from labkit.runtime.std.dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """What is copied."""

    place: Place
    name: str
    """What it is called in a directory that takes it in; empty where that takes in its contents."""
    shown: str
    """What it is called in a tar stream."""
    words: str
    """For errors."""

    @contextmanager
    def opened(self) -> Iterator[int]:
        """It, if it is a directory."""
        if not self.place.name:
            yield self.place.directory
            return
        try:
            with tree.to_read(self.place.directory, self.place.name, tree.DIRECTORY) as opened:
                yield opened
        except tree.GoneError:
            raise NotFoundError(f"{self.words} is there no more", "somebody has just removed it") from None


def absolute(path: str) -> str:
    """A path of ours from the root on, its end as it is. UsageError for an empty one."""
    if not path:
        raise UsageError("one of the two paths is empty", "as labkit cp web:/etc/hosts .")
    return os.path.join(os.getcwd(), path)


def _ending(path: str) -> tuple[bool, bool]:
    """Whether it must be a directory, and whether the contents of one are meant."""
    last = os.path.basename(path)
    return last in ("", ".", ".."), last == "."


def _clean(path: str) -> str:
    return "/" + os.path.normpath(path).lstrip("/")


@contextmanager
def source(root: str, path: str, links: bool, prefix: str) -> Iterator[Source]:
    """What there is at ``path``, which is absolute; ``links``: at the end of a link. ``prefix`` is for errors.

    NotFoundError where there is nothing; UsageError for no directory with ``/`` at its end.
    """
    must_be_directory, contents = _ending(path)
    clean, words = _clean(path), f"{prefix}{path}"
    try:
        place = rootdir.end_of(root, clean, follow=links or must_be_directory)
    except KernelError as error:
        raise NotFoundError(f"there is no {words}: {os.strerror(error.errno)}") from None
    with place:
        if not place.kind:
            raise NotFoundError(f"there is no {words}")
        if must_be_directory and not place.is_directory:
            raise UsageError(f"{words} is no directory", "leave the / at its end out")
        name = "" if contents else os.path.basename(clean)
        shown = name or "."
        yield Source(place, name, place.name if links and not must_be_directory and place.name else shown, words)


@contextmanager
def target(root: str, path: str, copied: Source, prefix: str) -> Iterator[tuple[int, str]]:
    """Where what is copied goes: an open directory, and a name in it; without a name the directory takes in contents.

    NotFoundError where a directory is missing; ConflictError for what is in the way.
    """
    must_be_directory, contents = _ending(path)
    clean, words = _clean(path), f"{prefix}{path}"
    with _found(root, clean, prefix) as place:
        if place.is_directory:
            with _opened(place) as directory:
                _check_writable(directory, words)
                yield directory, copied.name
            return
        if place.kind:
            _check_replaceable(place, copied, words, must_be_directory)
        elif must_be_directory and (contents or not copied.place.is_directory):
            raise NotFoundError(f"there is no directory {words}", f"mkdir -p {clean}")
        _check_writable(place.directory, words)
        yield place.directory, place.name


def check_directory(root: str, path: str, prefix: str) -> None:
    """For the contents of a stream. NotFoundError and ConflictError where ``path`` is no directory to write in."""
    words = f"{prefix}{path}"
    with _found(root, _clean(path), prefix) as place:
        if not place.kind:
            raise NotFoundError(f"there is no directory {words}")
        if not place.is_directory:
            raise ConflictError(f"{words} is no directory", "a stream holds names, so it needs one")
        with _opened(place) as directory:
            _check_writable(directory, words)


def _found(root: str, path: str, prefix: str) -> Place:
    try:
        return rootdir.end_of(root, path)
    except KernelError as error:
        parent = os.path.dirname(path)
        raise NotFoundError(
            f"there is no directory {prefix}{parent} to copy to: {os.strerror(error.errno)}", f"mkdir -p {parent}"
        ) from None


@contextmanager
def _opened(place: Place) -> Iterator[int]:
    with tree.named(place.name or "."):  # a process in there may have put a link in its place
        opened = os.open(place.name or ".", tree.DIRECTORY, dir_fd=place.directory)
    with kept_open(opened):
        yield opened


def _check_replaceable(place: Place, copied: Source, words: str, must_be_directory: bool) -> None:
    if copied.place.is_directory:
        raise ConflictError(f"{words} is no directory, and {copied.words} is one")
    if must_be_directory:
        raise ConflictError(f"{words} is no directory", "leave the / at its end out")
    if stat.S_ISCHR(place.kind) or stat.S_ISBLK(place.kind):
        raise ConflictError(f"{words} is a device, and nothing is copied in its place", "name a file or a directory")


def _check_writable(directory: int, words: str) -> None:
    """A mount's own flag and its file system's alike (statvfs(3))."""
    if os.fstatvfs(directory).f_flag & os.ST_RDONLY:
        raise ConflictError(f"{words} lies on a file system that is read-only", "copy to one of its writable volumes")
