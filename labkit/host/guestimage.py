"""The guest image: built once for a kernel, found again by the hash of what it is made from, verified before use.

``cache_dir()/images/KEY/`` holds ``disk.qcow2``, ``vmlinuz``, ``initrd``, the client's private key, the guest's public
host key and ``image.json``, which has size and SHA-256 of each. A build works in a sibling directory that gets its
final name by one rename when everything is in it: an image is there whole or not at all.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from labkit import log
from labkit.errors import BuildError, InfrastructureError
from labkit.host import paths
from labkit.host.config import KernelConfig
from labkit.host.image import inputs

MANIFEST = "image.json"
BASE_IMAGES = ("busybox.tar", "redis.tar")
"""The containers' images, which the guest has, too: for the runtime's tests on this computer."""
FILES = ("disk.qcow2", "vmlinuz", "initrd", "facts.json", "client_key", "host_key.pub", *BASE_IMAGES)

SPACE_NEEDED = 500_000_000
"""Bytes of an image in the cache, generously."""

_PARTIAL = ".partial"


@dataclass(frozen=True)
class GuestImage:
    """A whole image."""

    directory: Path
    disk: Path
    """A compressed qcow2, never written to: machines put an overlay on it."""
    kernel: Path
    initrd: Path
    client_key: Path
    """The private key that root's ``authorized_keys`` in the guest knows."""
    host_key: str
    """The guest's public key, ``ssh-ed25519 AAAA…``."""
    key_hash: str
    """The hash of what it was made from, the directory's name."""
    disk_digest: str
    """SHA-256 of the disk. A second build from the same inputs has another: other keys, perhaps newer packages."""
    kernel_release: str


def images_dir() -> Path:
    """Where all images are."""
    return paths.cache_dir() / "images"


def key_for(kernel: KernelConfig) -> str:
    """The key of the image that this checkout wants now."""
    return inputs.gather(kernel).key


def find(key: str) -> GuestImage | None:
    """The image of that key if it is there and whole, else None. Changes nothing but remembered file times."""
    directory = images_dir() / key
    manifest = _read_manifest(directory / MANIFEST)
    if manifest is None or not _is_whole(directory, manifest):
        return None
    facts = json.loads((directory / "facts.json").read_text(encoding="utf-8"))
    return GuestImage(
        directory=directory,
        disk=directory / "disk.qcow2",
        kernel=directory / "vmlinuz",
        initrd=directory / "initrd",
        client_key=directory / "client_key",
        host_key=(directory / "host_key.pub").read_text(encoding="utf-8").strip(),
        key_hash=key,
        disk_digest=manifest["files"]["disk.qcow2"]["sha256"],
        kernel_release=facts["kernel_release"],
    )


def ensure(kernel: KernelConfig) -> GuestImage:
    """The image for ``kernel``, built if it is not in the cache or not whole.

    Raises BuildError (no space, no network, mmdebstrap's own failure), MissingToolError (mmdebstrap, not on Linux …);
    what was begun is deleted then, and by the next call where that was not possible.
    """
    wanted = inputs.gather(kernel)
    image = find(wanted.key)
    if image is not None:
        return image
    directory = images_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"Cannot make the directory {directory}: {error.strerror}"
        raise BuildError(reason, "LABKIT_CACHE chooses another.") from error
    with _build_lock(directory / f"{wanted.key}.lock"):
        image = find(wanted.key)  # another process may have built it while we waited
        if image is None:
            _delete_what_is_not_whole(directory, wanted.key)
            _build(wanted, directory)
            image = find(wanted.key)
    if image is None:
        raise InfrastructureError("The guest image changed right after it was built.", "Is the disk all right?")
    return image


def _build(wanted: inputs.Inputs, directory: Path) -> None:
    """Build in a sibling directory, write the manifest, rename."""
    from labkit.host.image.build import build  # needed once in a while only, and `invoke up` shall start quickly

    free = shutil.disk_usage(directory).free
    if free < SPACE_NEEDED:
        raise BuildError(
            f"The guest image needs {SPACE_NEEDED / 1e6:.0f} MB in {directory}, and {free / 1e6:.0f} MB are free.",
            "Free some space, or choose a directory on another disk with LABKIT_CACHE.",
        )
    partial = Path(tempfile.mkdtemp(prefix=f"{wanted.key}-", suffix=_PARTIAL, dir=directory))
    try:
        build(wanted, partial, directory / f"{wanted.key}.log")
        files = {name: _describe(partial / name) for name in FILES}
        (partial / MANIFEST).write_text(json.dumps({"key": wanted.key, "files": files}, indent=1), encoding="utf-8")
        partial.rename(directory / wanted.key)
    except OSError as error:
        raise BuildError(f"The guest image could not be written: {error}", "Is the disk full?") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def _build_lock(path: Path) -> Iterator[None]:
    """One build of an image at a time; who waits says so."""
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0.2)
    except filelock.Timeout:
        with log.step("Waiting for another labkit that builds the guest image"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _delete_what_is_not_whole(directory: Path, key: str) -> None:
    """Remains of interrupted builds of this image (we hold its lock, so nobody works on them), and a corrupt image."""
    for remains in [*directory.glob(f"{key}-*{_PARTIAL}"), directory / key]:
        if remains.exists():
            log.emit("image-discarded", path=str(remains))
            shutil.rmtree(remains, ignore_errors=True)
    if (directory / key).exists():
        raise BuildError(f"The corrupt guest image {directory / key} cannot be deleted.", "Delete it by hand.")


def _read_manifest(path: Path) -> dict[str, Any] | None:
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and set(manifest.get("files", {})) == set(FILES) else None


def _is_whole(directory: Path, manifest: dict[str, Any]) -> bool:
    """Every file has the size and the contents that were recorded.

    Reading all of the disk takes 0.4 s, so a file that was not touched since it was last read is taken as read.
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
            if _digest(directory / name) != recorded["sha256"]:
                return False
            recorded["mtime_ns"] = found.st_mtime_ns
            touched = True
    if touched:  # a copied image: the next look is quick again
        _replace(directory / MANIFEST, json.dumps(manifest, indent=1))
    return True


def _replace(path: Path, text: str) -> None:
    """Write a file at once. Where the cache is read-only (a shared one) nothing is remembered."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)


def _describe(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {"size": found.st_size, "sha256": _digest(path), "mtime_ns": found.st_mtime_ns}


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
