"""What is built once and kept in the cache: found by the hash of what it is made from, verified before use.

``cache_dir()/KIND/KEY/`` holds the files and ``manifest.json``, which has size and SHA-256 of each. A build works in a
sibling directory that gets its final name by one rename when everything is in it: an artifact is there whole or not at
all.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import log
from labkit.errors import BuildError, InfrastructureError
from labkit.host.lab import paths, records

MANIFEST = "manifest.json"

_PARTIAL = ".partial"

Build = Callable[[Path, Path], None]
"""Makes the files of an artifact in a directory (the first argument), and writes its log to a file (the second)."""


@dataclass(frozen=True)
class Kind:
    """What the artifacts of one directory of the cache have in common."""

    title: str
    """What a person calls one: ``guest image``."""
    directory: str
    """Below ``paths.cache_dir()``."""
    files: tuple[str, ...]
    """Their names."""
    space: int
    """Bytes of one, generously."""

    @property
    def place(self) -> Path:
        """Where all of them are."""
        return paths.cache_dir() / self.directory


@dataclass(frozen=True)
class Artifact:
    """One that is whole."""

    directory: Path
    key: str
    digests: dict[str, str]
    """File -> SHA-256. A second build from the same inputs has others: other keys, perhaps newer packages."""


def find(kind: Kind, key: str) -> Artifact | None:
    """The artifact of that key if it is there and whole, else None. Changes nothing but remembered file times."""
    directory = kind.place / key
    manifest = records.read(directory / MANIFEST)
    if set(manifest.get("files", {})) != set(kind.files) or not _is_whole(directory, manifest):
        return None
    return Artifact(directory, key, {name: entry["sha256"] for name, entry in manifest["files"].items()})


def ensure(kind: Kind, key: str, build: Build) -> Artifact:
    """The artifact of that key, built if it is not in the cache or not whole.

    Raises BuildError where there is no space or what ``build`` raises; what was begun is deleted then, and by the next
    call where that was not possible.
    """
    found = find(kind, key)
    if found is not None:
        return found
    try:
        kind.place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"Cannot make the directory {kind.place}: {error.strerror}"
        raise BuildError(reason, "LABKIT_CACHE chooses another.") from error
    with records.locked(kind.place / f"{key}.lock", f"builds the {kind.title}"):
        found = find(kind, key)  # another process may have built it while we waited
        if found is None:
            _delete_what_is_not_whole(kind, key)
            _build(kind, key, build)
            found = find(kind, key)
    if found is None:
        raise InfrastructureError(f"The {kind.title} changed right after it was built.", "Is the disk all right?")
    return found


def _build(kind: Kind, key: str, build: Build) -> None:
    """Build in a sibling directory, write the manifest, rename."""
    paths.check_space(f"A {kind.title}", kind.space, kind.place, "LABKIT_CACHE", BuildError)
    partial = Path(tempfile.mkdtemp(prefix=f"{key}-", suffix=_PARTIAL, dir=kind.place))
    try:
        build(partial, kind.place / f"{key}.log")
        files = {name: _describe(partial / name) for name in kind.files}
        records.write(partial / MANIFEST, {"key": key, "files": files})
        partial.rename(kind.place / key)
    except OSError as error:
        raise BuildError(f"The {kind.title} could not be written: {error}", "Is the disk full?") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _delete_what_is_not_whole(kind: Kind, key: str) -> None:
    """Remains of interrupted builds of this artifact (we hold its lock, so nobody works on them), and a corrupt one."""
    for remains in [*kind.place.glob(f"{key}-*{_PARTIAL}"), kind.place / key]:
        if remains.exists():
            log.emit("artifact-discarded", path=str(remains))
            shutil.rmtree(remains, ignore_errors=True)
    if (kind.place / key).exists():
        raise BuildError(f"The corrupt {kind.title} {kind.place / key} cannot be deleted.", "Delete it by hand.")


def _is_whole(directory: Path, manifest: dict[str, Any]) -> bool:
    """Every file has the size and the contents that were recorded.

    Reading all of a disk takes 0.4 s, so a file that was not touched since it was last read is taken as read.
    """
    touched = False
    for name, recorded in manifest["files"].items():
        try:
            found = (directory / name).stat()
        except OSError:
            return False
        if found.st_size != recorded["size"]:
            return False
        if found.st_mtime_ns != recorded["mtime_ns"]:
            if digest(directory / name) != recorded["sha256"]:
                return False
            recorded["mtime_ns"] = found.st_mtime_ns
            touched = True
    if touched:  # a copied artifact: the next look is quick again
        with contextlib.suppress(OSError):  # Where the cache is read-only (a shared one) nothing is remembered.
            records.write(directory / MANIFEST, manifest)
    return True


def _describe(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {"size": found.st_size, "sha256": digest(path), "mtime_ns": found.st_mtime_ns}


def digest(path: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
