"""An image of busybox and a few layers on top, for what layers do to one another."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from conftest import labkit

NAME = "layered"
RECORD = f"/var/lib/labkit/images/{NAME}%3Alatest.json"


def tar(*names: str) -> bytes:
    """A layer: directories where a name ends with a slash, else files that hold their own name and layer."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name in names:
            member = tarfile.TarInfo(name.rstrip("/"))
            data = b"" if name.endswith("/") or ".wh." in name else f"{name} of {len(names)}\n".encode()
            member.type, member.mode, member.size = (
                (tarfile.DIRTYPE, 0o755, 0) if name.endswith("/") else (tarfile.REGTYPE, 0o644, len(data))
            )
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


@contextlib.contextmanager
def loaded(directory: Path, *layers: bytes, **config: object) -> Iterator[str]:
    """The image's name, while it is loaded. ``layers`` are tars, the lowest first; busybox is below all of them.

    ``config`` is what the image says of its containers (image-spec, config.md, "config").
    """
    below = json.loads(Path("/var/lib/labkit/images/busybox%3Alatest.json").read_text())["layers"]
    blobs = {hashlib.sha256(layer).hexdigest(): layer for layer in layers}
    ids = [*below, *(hashlib.sha256(layer).hexdigest() for layer in layers)]

    def keep(document: object) -> str:
        blob = json.dumps(document).encode()
        digest = hashlib.sha256(blob).hexdigest()
        blobs[digest] = blob
        return f"sha256:{digest}"

    config = {"Cmd": ["/bin/sh"], **config}
    description = keep({"rootfs": {"diff_ids": [f"sha256:{each}" for each in ids]}, "config": config})
    kind = "application/vnd.oci.image.layer.v1.tar"
    manifest = keep(
        {"config": {"digest": description}, "layers": [{"digest": f"sha256:{each}", "mediaType": kind} for each in ids]}
    )
    annotation = {"org.opencontainers.image.ref.name": NAME}
    index = json.dumps({"manifests": [{"digest": manifest, "annotations": annotation}]}).encode()
    path = directory / "layered.tar"
    with tarfile.open(path, "w") as archive:
        for name, blob in [("index.json", index), *((f"blobs/sha256/{name}", blob) for name, blob in blobs.items())]:
            member = tarfile.TarInfo(name)
            member.size = len(blob)
            archive.addfile(member, io.BytesIO(blob))
    labkit("load", "-q", "-i", str(path))
    try:
        yield NAME
    finally:
        os.unlink(RECORD)
