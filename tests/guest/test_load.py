"""Archives from anywhere: what is wrong is said in a sentence, and nothing is written outside of labkit's own place."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from conftest import labkit, picture


def _tar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return stream.getvalue()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _archive(
    path: Path,
    layer: bytes,
    config: Any = None,
    manifest: dict[str, Any] | None = None,
    index: Any = None,
) -> str:
    """An image ``odd`` of one layer; what is given replaces what would be right."""
    right = {"rootfs": {"diff_ids": [_digest(layer)]}, "config": {"Cmd": ["/x"]}}
    config_blob = json.dumps(right if config is None else config).encode()
    document = {
        "config": {"digest": _digest(config_blob)},
        "layers": [{"digest": _digest(layer), "mediaType": "application/vnd.oci.image.layer.v1.tar"}],
        **(manifest or {}),
    }
    manifest_blob = json.dumps(document).encode()
    entry = {"digest": _digest(manifest_blob), "annotations": {"org.opencontainers.image.ref.name": "odd"}}
    blobs = {f"blobs/sha256/{_digest(blob)[7:]}": blob for blob in (layer, config_blob, manifest_blob)}
    top = {"manifests": [entry]} if index is None else index
    path.write_bytes(_tar({**blobs, "index.json": json.dumps(top).encode()}))
    return str(path)


LAYER = _tar({"x": b"hello"})


def test_a_right_one_is_loaded_and_again_costs_nothing(tmp_path: Path) -> None:
    archive = _archive(tmp_path / "a.tar", LAYER)
    assert labkit("load", "-i", archive).stdout == "Loaded image: odd:latest\n"
    assert labkit("load", "-q", "-i", archive).stdout == ""
    assert "odd" in labkit("images").stdout
    _forget()


def _forget() -> None:
    os.unlink("/var/lib/labkit/images/odd%3Alatest.json")


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        ({"index": []}, "the document must be an object"),
        ({"index": {"manifests": ["x"]}}, "manifests[0] must be an object"),
        ({"index": {"manifests": [{"annotations": None}]}}, "names no image"),
        ({"index": {"manifests": [{"annotations": {"org.opencontainers.image.ref.name": 7}}]}}, "must be of type str"),
        ({"manifest": {"layers": []}}, "has 0 layers and 1 diff ids"),
        ({"manifest": {"config": None}}, "config must be an object"),
        ({"manifest": {"config": {"digest": "sha256:../../x"}}}, "is no SHA-256 digest"),
        ({"config": {}}, "rootfs must be an object"),
        ({"config": {"rootfs": {"diff_ids": ["sha256:/../../../tmp/x"]}}}, "is no SHA-256 digest"),
        ({"config": {"rootfs": {"diff_ids": [_digest(b"other")]}}}, "is damaged"),
        ({"config": {"rootfs": {"diff_ids": [_digest(LAYER)]}, "config": {"Env": "A=1"}}}, "must be of type list"),
        ({"config": {"rootfs": {"diff_ids": [_digest(LAYER)]}, "config": {"WorkingDir": "x"}}}, "an absolute path"),
        ({"config": {"rootfs": {"diff_ids": [_digest(LAYER)]}, "created": "long ago"}}, "created must be a date"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path, parts: dict[str, Any], sentence: str) -> None:
    before = picture()
    refused = labkit("load", "-i", _archive(tmp_path / "a.tar", LAYER, **parts), check=False)
    assert sentence in refused.stderr
    assert "Traceback" not in refused.stderr
    assert len(refused.stderr.splitlines()) <= 2
    assert refused.returncode == 3
    assert picture() == before
    assert not [name for name in os.listdir("/var/lib/labkit/layers") if name.startswith(".")]


@pytest.mark.parametrize("data", [b"", b"garbage" * 1000, _tar({"index.json": b"{"}), _tar({}), b"\x1f\x8b\x08\x00cut"])
def test_what_is_no_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    refused = labkit("load", "-i", str(tmp_path / "a.tar"), check=False)
    assert refused.returncode == 3
    assert len(refused.stderr.splitlines()) <= 2


def test_a_cut_archive(tmp_path: Path) -> None:
    whole = Path(_archive(tmp_path / "a.tar", LAYER)).read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: len(whole) // 3])
    assert labkit("load", "-i", str(tmp_path / "a.tar"), check=False).returncode == 3
    assert labkit("load", "-i", str(tmp_path / "b.tar"), check=False).returncode == 4


def test_a_layer_does_not_lead_out(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    layer = _tar({}, {"way": str(victim)})[:-10240] + _tar({"way/file": b"x"})
    archive = _archive(tmp_path / "a.tar", layer)
    if labkit("load", "-i", archive, check=False).returncode == 0:
        _forget()
    assert list(victim.iterdir()) == []
