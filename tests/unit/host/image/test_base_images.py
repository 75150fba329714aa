"""The base images, made from this system's own busybox and redis where it has them."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from labkit.host.image.resources import make_base_images as script

needs_programs = pytest.mark.skipif(
    sys.platform != "linux" or not all(shutil.which(name) for name in ("busybox", "redis-server", "redis-cli")),
    reason="needs Linux with busybox-static, redis-server and redis-tools installed",
)


def read_layout(archive: bytes) -> tuple[dict[str, Any], dict[str, Any], list[bytes]]:
    """The index's only entry, the configuration and the layers of an archive; every digest and size is verified."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}  # type: ignore[union-attr]

    def blob(descriptor: dict[str, Any]) -> bytes:
        algorithm, _, hexadecimal = descriptor["digest"].partition(":")
        contents = files[f"blobs/{algorithm}/{hexadecimal}"]
        assert hashlib.sha256(contents).hexdigest() == hexadecimal
        assert len(contents) == descriptor["size"]
        return contents

    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(blob(entry))
    return entry, json.loads(blob(manifest["config"])), [blob(layer) for layer in manifest["layers"]]


def members(layer: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        return {member.name: member for member in tar}


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    return script.make_images()


@needs_programs
def test_busybox_has_one_layer_with_a_shell(images: dict[str, bytes]) -> None:
    entry, config, (layer,) = read_layout(images["busybox"])
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "busybox:latest"
    assert config["config"]["Cmd"] == ["sh"]
    assert config["rootfs"]["diff_ids"] == ["sha256:" + hashlib.sha256(layer).hexdigest()]
    found = members(layer)
    assert found["bin/sh"].linkname == "busybox"
    assert found["bin/busybox"].mode == 0o755
    assert found["tmp"].mode == 0o1777
    assert found["proc"].isdir()
    assert len(found) > 200, "the applets' links are missing"
    assert all((member.uid, member.gid, member.mtime) == (0, 0, 0) for member in found.values())
    assert not any(name.startswith(("/", "..")) for name in found)


@needs_programs
def test_redis_shares_the_first_layer(images: dict[str, bytes]) -> None:
    _, _, (busybox,) = read_layout(images["busybox"])
    entry, config, layers = read_layout(images["redis"])
    assert entry["annotations"]["org.opencontainers.image.ref.name"] == "redis:latest"
    assert layers[0] == busybox
    assert config["config"]["Cmd"] == ["redis-server", "--protected-mode", "no", "--save", ""]
    assert config["config"]["ExposedPorts"] == {"6379/tcp": {}}
    added = members(layers[1])
    assert {"usr/bin/redis-server", "usr/bin/redis-cli", "usr/bin/redis-benchmark", "data"} <= set(added)
    assert any("ld-linux" in name for name in added), "the loader is missing"
    assert not set(added) & set(members(busybox)), "a directory of the layer below is repeated"


@needs_programs
def test_same_programs_same_bytes(images: dict[str, bytes]) -> None:
    assert script.make_images() == images


@needs_programs
def test_command_writes_whole_files_only(tmp_path: Path) -> None:
    assert script.main([str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["busybox.tar", "redis.tar"]


def test_missing_program_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: None)
    assert script.main([str(tmp_path / "out")]) == 1
    assert "busybox-static" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def elf(*segment_types: int) -> bytes:
    """A 64-bit ELF header followed by one program header (56 bytes) per type."""
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    header[32:40] = (64).to_bytes(8, "little")
    header[54:56] = (56).to_bytes(2, "little")
    header[56:58] = len(segment_types).to_bytes(2, "little")
    return bytes(header) + b"".join(kind.to_bytes(4, "little") + bytes(52) for kind in segment_types)


def test_static_program_is_told_by_its_headers() -> None:
    assert script.is_static(elf(1, 1, 4))
    assert not script.is_static(elf(6, 3, 1))
    with pytest.raises(script.CannotMakeImagesError, match="ELF"):
        script.is_static(b"#!/bin/sh\n")
