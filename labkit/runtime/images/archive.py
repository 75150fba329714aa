"""Images in a tar file that holds an OCI image layout (OCI image specification, "Image Layout").

index.json names manifests, a manifest names a configuration and layers; all are blobs under the name of their SHA-256,
which is computed anew before anything is believed.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import shutil
import tarfile
import zlib

from labkit.errors import ConfigError, KernelError, NotFoundError
from labkit.runtime.images import imagestore, layers
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager
from labkit.runtime.std.typing import IO, Any, BinaryIO, cast
from labkit.runtime.text import textfile, timestamps
from labkit.runtime.text.document import Reader

_NAME = "org.opencontainers.image.ref.name"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def load(path: str) -> list[imagestore.Image]:
    """Load every named image of the archive; a layer that is there already is not unpacked again.

    NotFoundError where there is no such file, ConfigError where it is no image or is damaged, KernelError where it
    cannot be written; what was there before stays.
    """
    if not os.path.isfile(path):
        raise NotFoundError(f"there is no file {path}", "an archive is made by 'docker save' or 'skopeo copy'")
    with _told_in_a_sentence(path), tarfile.open(path) as archive:
        blobs = _Blobs(archive, path)
        index = Reader.parse(blobs.open("index.json").read(), f"{path}: index.json")
        named = [entry for entry in index.children("manifests") if _name_of(entry)]
        if not named:
            raise ConfigError(f"{path} names no image", f"its index.json has no annotation {_NAME}")
        return [_load_one(blobs, _name_of(entry), entry.value("digest", str)) for entry in named]


@contextmanager
def _told_in_a_sentence(path: str) -> Iterator[None]:
    """What tarfile, zlib and the disk say of an archive can be many lines long, or none of the user's words."""
    try:
        yield
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError) as error:
        first_line = "it is no tar file" if isinstance(error, tarfile.ReadError) else str(error).partition("\n")[0]
        raise ConfigError(
            f"{path} cannot be read as an image archive: {first_line}", "a tar file with an OCI image layout is needed"
        ) from error
    except OSError as error:
        words = error.strerror or str(error)
        raise KernelError(f"{path} cannot be unpacked: {words}", "is the disk full?", error.errno or 0) from error


def _name_of(entry: Reader) -> str:
    return entry.child("annotations", optional=True).value(_NAME, str, "")


class _Blobs:
    """The archive's blobs by digest."""

    def __init__(self, archive: tarfile.TarFile, path: str) -> None:
        self.archive = archive
        self.members = {member.name.removeprefix("./"): member for member in archive if member.isreg()}
        self.path = path

    def open(self, name: str) -> IO[bytes]:
        member = self.members.get(name)
        stream = self.archive.extractfile(member) if member else None
        if stream is None:
            raise ConfigError(f"{self.path} has no {name}", "it must be a tar file with an OCI image layout in it")
        return stream

    def hex_of(self, digest: str) -> str:
        """The digest's hex digits, which become a path: so it is exactly that."""
        match = _DIGEST.fullmatch(digest)
        if not match:
            raise ConfigError(f"{self.path}: '{digest}' is no SHA-256 digest", "this archive is damaged or malicious")
        return match[1]

    def by_digest(self, digest: str) -> IO[bytes]:
        """The blob, proved to be what its name says."""
        expected = self.hex_of(digest)
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

    def document(self, digest: str, what: str) -> Reader:
        """A blob that is JSON."""
        return Reader.parse(self.by_digest(digest).read(), f"{self.path}: {what}")


def _load_one(blobs: _Blobs, text: str, digest: str) -> imagestore.Image:
    name = imagestore.full_name(text)
    manifest = blobs.document(digest, f"manifest of {name}")
    config_digest = manifest.child("config").value("digest", str)
    config = blobs.document(config_digest, f"configuration of {name}")
    diff_ids = [blobs.hex_of(diff_id) for diff_id in config.child("rootfs").strings("diff_ids")]
    packed_layers = manifest.children("layers")
    if len(packed_layers) != len(diff_ids):
        raise ConfigError(f"{blobs.path}: {name} has {len(packed_layers)} layers and {len(diff_ids)} diff ids")
    settings = _settings(config.child("config", optional=True))
    created = _created(config)
    for layer, diff_id in zip(packed_layers, diff_ids):
        if not imagestore.has_layer(diff_id):
            _unpack(blobs, layer, diff_id)
    image = imagestore.Image(
        reference=name,
        id=blobs.hex_of(config_digest),
        layers=diff_ids,
        config=settings,
        created=created,
        size=sum(int(textfile.read(f"{imagestore.LAYERS}/{layer}/size")) for layer in diff_ids),
    )
    imagestore.save(image)
    return image


def _created(config: Reader) -> str:
    """When it was made, as it is written; empty where nobody says."""
    created = config.value("created", str, "")
    try:
        if created:
            timestamps.seconds_of(created)
    except ValueError:
        where = config.where("created")
        raise ConfigError(f"{config.file}: {where} must be a date, as 2024-05-01T12:00:00Z") from None
    return created


def _settings(config: Reader) -> dict[str, Any]:
    """The configuration of what runs, those of its properties that are used here checked."""
    for name in ("Cmd", "Entrypoint", "Env"):
        config.strings(name)
    for name in ("ExposedPorts", "Labels", "Volumes"):
        config.child(name, optional=True)
    directory = config.value("WorkingDir", str, "")
    if directory and not directory.startswith("/"):
        raise ConfigError(f"{config.file}: {config.where('WorkingDir')} must be an absolute path")
    return config.object


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


def _unpack(blobs: _Blobs, layer: Reader, diff_id: str) -> None:
    """Unpack beside, prove the diff id, then rename: a layer is there whole, or not at all."""
    digest = layer.value("digest", str)
    packed = layer.value("mediaType", str).endswith("+gzip")
    damaged = ConfigError(f"{blobs.path} is damaged: a layer's diff id should be {diff_id}", "copy or build it again")
    if not packed and digest != f"sha256:{diff_id}":
        raise damaged
    stream = blobs.by_digest(digest)
    counted = _Counted(cast("IO[bytes]", gzip.GzipFile(fileobj=stream)) if packed else stream, prove=packed)
    beside = f"{imagestore.LAYERS}/.{diff_id}.{os.getpid()}"
    try:
        layers.unpack(cast(BinaryIO, counted), beside)
        while counted.read(1 << 20):  # tar ends before its padding does
            pass
        if packed and counted.sha256.hexdigest() != diff_id:
            raise damaged
        textfile.write(f"{beside}/size", str(counted.length))
        os.rename(beside, f"{imagestore.LAYERS}/{diff_id}")
    except OSError:
        if not imagestore.has_layer(diff_id):  # another process was quicker with the same layer: as good
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
