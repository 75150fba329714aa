"""Images in a tar file that holds an OCI image layout (OCI image specification, "Image Layout").

index.json names manifests, a manifest names a configuration and layers; all are blobs under the name of their SHA-256,
which is computed anew before anything is believed.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from labkit.errors import ConfigError, NotFoundError
from labkit.images import layers, reference, store

_NAME = "org.opencontainers.image.ref.name"


def load(path: str) -> list[store.Image]:
    """Load every named image of the archive; a layer that is there already is not unpacked again.

    NotFoundError where there is no such file, ConfigError where it is no image or is damaged; what was there before
    stays.
    """
    try:
        with tarfile.open(path) as archive:
            members = {member.name.lstrip("./"): member for member in archive if member.isreg()}
            index = _document(_Blobs(archive, members, path).open("index.json"), f"{path}: index.json")
            blobs = _Blobs(archive, members, path)
            named = [entry for entry in index.get("manifests", []) if entry.get("annotations", {}).get(_NAME)]
            if not named:
                raise ConfigError(f"{path} names no image", f"its index.json has no annotation {_NAME}")
            return [_load_one(blobs, entry) for entry in named]
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except (tarfile.TarError, OSError) as error:
        raise ConfigError(f"{path} cannot be read as an image archive: {error}") from error


class _Blobs:
    """The archive's blobs by digest."""

    def __init__(self, archive: tarfile.TarFile, members: dict[str, tarfile.TarInfo], path: str) -> None:
        self.archive = archive
        self.members = members
        self.path = path

    def open(self, name: str) -> IO[bytes]:
        member = self.members.get(name)
        stream = self.archive.extractfile(member) if member else None
        if stream is None:
            raise ConfigError(f"{self.path} has no {name}", "it must be a tar file with an OCI image layout in it")
        return stream

    def by_digest(self, digest: str) -> IO[bytes]:
        """The blob, proved to be what its name says."""
        algorithm, _, expected = digest.partition(":")
        if algorithm != "sha256":
            raise ConfigError(f"{self.path}: the digest {digest} is not SHA-256")
        stream = self.open(f"blobs/sha256/{expected}")
        computed = hashlib.sha256()
        while chunk := stream.read(1 << 20):
            computed.update(chunk)
        if computed.hexdigest() != expected:
            raise ConfigError(
                f"{self.path} is damaged: the blob {digest} has another SHA-256", "copy or build it again"
            )
        stream.seek(0)
        return stream


def _document(stream: IO[bytes], name: str) -> dict[str, Any]:
    try:
        document = json.load(stream)
    except ValueError as error:
        raise ConfigError(f"{name} is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{name} must be an object")
    return document


def _load_one(blobs: _Blobs, entry: dict[str, Any]) -> store.Image:
    name = reference.parse(entry["annotations"][_NAME])
    manifest = _document(blobs.by_digest(entry["digest"]), f"{blobs.path}: manifest of {name}")
    config_digest: str = manifest["config"]["digest"]
    config = _document(blobs.by_digest(config_digest), f"{blobs.path}: configuration of {name}")
    diff_ids = [str(digest).partition(":")[2] for digest in config["rootfs"]["diff_ids"]]
    for layer, diff_id in zip(manifest["layers"], diff_ids):
        if not store.has_layer(diff_id):
            _unpack(blobs, layer, diff_id)
    image = store.Image(
        reference=name,
        id=config_digest.partition(":")[2],
        layers=diff_ids,
        config=config.get("config", {}),
        created=config.get("created", ""),
        size=sum(int(Path(store.LAYERS, layer, "size").read_text(encoding="ascii")) for layer in diff_ids),
    )
    store.save(image)
    return image


class _Counted:
    """A stream that knows the length of what went through it, and with ``prove`` its SHA-256."""

    def __init__(self, stream: IO[bytes], prove: bool) -> None:
        self.stream = stream
        self.prove = prove
        self.sha256 = hashlib.sha256()
        self.length = 0

    def read(self, size: int = -1) -> bytes:
        chunk = self.stream.read(size)
        if self.prove:
            self.sha256.update(chunk)
        self.length += len(chunk)
        return chunk


def _unpack(blobs: _Blobs, layer: dict[str, Any], diff_id: str) -> None:
    """Unpack beside, prove the diff id, then rename: a layer is there whole, or not at all."""
    stream = blobs.by_digest(layer["digest"])
    packed = layer["mediaType"].endswith("+gzip")
    if not packed and layer["digest"] != f"sha256:{diff_id}":
        raise ConfigError(f"{blobs.path} is damaged: a layer's diff id should be {diff_id}", "copy or build it again")
    counted = _Counted(cast(IO[bytes], gzip.GzipFile(fileobj=stream)) if packed else stream, prove=packed)
    beside = f"{store.LAYERS}/.{diff_id}.{os.getpid()}"
    try:
        layers.unpack(cast(BinaryIO, counted), f"{beside}/fs")
        while counted.read(1 << 20):  # tar ends before its padding does
            pass
        if packed and counted.sha256.hexdigest() != diff_id:
            raise ConfigError(
                f"{blobs.path} is damaged: a layer's diff id should be {diff_id}", "copy or build it again"
            )
        Path(beside, "size").write_text(str(counted.length), encoding="ascii")
        _move_into_place(beside, diff_id)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _move_into_place(beside: str, diff_id: str) -> None:
    try:
        os.rename(beside, f"{store.LAYERS}/{diff_id}")
    except OSError:
        if not store.has_layer(diff_id):  # another process was quicker with the same layer: as good
            raise
