"""The cache of built things: found by their inputs, verified, built once, never half."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest

from labkit.errors import BuildError
from labkit.host.image import artifacts
from labkit.host.image.artifacts import Artifact, Kind

KIND = Kind("thing", "things", ("disk", "facts.json"), 1000)
KEY = "0123456789abcdef"


class Builder:
    """Makes the files after a moment, and remembers where."""

    def __init__(self) -> None:
        self.places: list[Path] = []

    def __call__(self, directory: Path, log_file: Path) -> None:
        self.places.append(directory)
        time.sleep(0.05)
        (directory / "disk").write_text("this is the disk\n", encoding="utf-8", newline="")
        (directory / "facts.json").write_text('{"a": 1}', encoding="utf-8")


@pytest.fixture
def builder() -> Builder:
    return Builder()


@pytest.fixture
def artifact(builder: Builder) -> Artifact:
    return artifacts.ensure(KIND, KEY, builder)


def test_it_is_built_once_and_found_again(builder: Builder) -> None:
    assert artifacts.find(KIND, KEY) is None
    made = artifacts.ensure(KIND, KEY, builder)
    assert made == artifacts.ensure(KIND, KEY, builder) == artifacts.find(KIND, KEY)
    assert len(builder.places) == 1
    assert not builder.places[0].exists(), "the partial directory got its final name"
    assert made.directory == KIND.place / KEY
    assert (made.directory / "facts.json").read_text() == '{"a": 1}'
    assert made.digests["disk"] == hashlib.sha256(b"this is the disk\n").hexdigest()


@pytest.mark.parametrize("name", KIND.files)
def test_a_damaged_one_is_built_again(artifact: Artifact, builder: Builder, name: str) -> None:
    path = artifact.directory / name
    changed = path.read_bytes()[::-1]
    path.write_bytes(changed)
    os.utime(path, ns=(1, 1))  # the file system's clock may be too coarse to show that it was touched
    assert artifacts.find(KIND, KEY) is None
    assert artifacts.ensure(KIND, KEY, builder).directory == artifact.directory
    assert len(builder.places) == 2
    assert path.read_bytes() != changed


@pytest.mark.parametrize("damage", ["missing", "shorter", "no manifest", "manifest is no JSON", "manifest is a list"])
def test_an_incomplete_one_is_not_found(artifact: Artifact, builder: Builder, damage: str) -> None:
    manifest = artifact.directory / artifacts.MANIFEST
    if damage == "missing":
        (artifact.directory / "disk").unlink()
    elif damage == "shorter":
        (artifact.directory / "disk").write_bytes(b"this")
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text("[]" if "list" in damage else "{", encoding="utf-8")
    assert artifacts.find(KIND, KEY) is None
    assert (artifacts.ensure(KIND, KEY, builder).directory / "disk").read_bytes() == b"this is the disk\n"


def test_a_copied_one_is_read_once(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a USB stick: the contents are right, the times are new."""
    for path in artifact.directory.iterdir():
        os.utime(path, ns=(1, 1))
    assert artifacts.find(KIND, KEY) == artifact
    monkeypatch.setattr(artifacts, "digest", lambda path: pytest.fail("it was read again"))
    assert artifacts.find(KIND, KEY) == artifact


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BuildError("no"), OSError(28, "No space left on device")])
def test_a_failed_build_leaves_nothing(builder: Builder, error: BaseException) -> None:
    def fails(directory: Path, log_file: Path) -> None:
        (directory / "disk").write_bytes(b"half")
        raise error

    with pytest.raises((KeyboardInterrupt, BuildError)):
        artifacts.ensure(KIND, KEY, fails)
    assert [path.name for path in KIND.place.iterdir() if path.is_dir()] == []
    assert (artifacts.ensure(KIND, KEY, builder).directory / "disk").exists()


def test_a_build_that_forgets_a_file_is_a_failure() -> None:
    with pytest.raises(BuildError, match="thing could not be written"):
        artifacts.ensure(KIND, KEY, lambda directory, log_file: None)
    assert artifacts.find(KIND, KEY) is None


def test_the_remains_of_a_killed_build_are_deleted(builder: Builder) -> None:
    remains = KIND.place / f"{KEY}-abcdefgh.partial"
    others = KIND.place / "fedcba9876543210-abcdefgh.partial"
    for directory in (remains, others):
        directory.mkdir(parents=True)
        (directory / "disk").write_bytes(b"half")
    artifacts.ensure(KIND, KEY, builder)
    assert not remains.exists()
    assert others.exists(), "that may be the build of another checkout, at work now"


def test_several_at_once_build_one(builder: Builder) -> None:
    found: list[Artifact] = []
    threads = [threading.Thread(target=lambda: found.append(artifacts.ensure(KIND, KEY, builder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(builder.places) == 1
    assert len(found) == 4


def test_no_space_is_said_before_anything_is_begun(builder: Builder) -> None:
    huge = Kind("thing", "things", KIND.files, shutil.disk_usage("/").total * 1000)
    with pytest.raises(BuildError, match=r"needs \d+ MB .* MB are free"):
        artifacts.ensure(huge, KEY, builder)
    assert builder.places == []


def test_the_manifest_names_every_file(artifact: Artifact) -> None:
    manifest = json.loads((artifact.directory / artifacts.MANIFEST).read_text(encoding="utf-8"))
    assert set(manifest["files"]) == set(KIND.files)
    assert manifest["key"] == KEY
