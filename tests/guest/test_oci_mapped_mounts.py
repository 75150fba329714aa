"""Bind mounts with numbers of users of their own: what belongs to whom, on the disk and in the container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundles import Bundle
from conftest import output

LOOK = "stat -c '%u %g' /vol/file"


@pytest.fixture
def bundle(open_place: Path) -> Bundle:
    return Bundle(open_place / "bundle")


@pytest.fixture
def volume(open_place: Path) -> Path:
    """A directory with a file of user 1 and group 2, on a file system that can map numbers."""
    place = open_place / "volume"
    place.mkdir()
    (place / "file").touch()
    os.chown(place / "file", 1, 2)
    kind = output("stat", "-f", "-c", "%T", str(place)).strip()
    if kind not in ("ext2/ext3", "xfs", "btrfs"):
        pytest.skip(f"{place} is on {kind}: ext4, xfs and btrfs can map numbers since Linux 5.15")
    if tuple(int(word) for word in os.uname().release.split(".")[:2]) < (5, 15):
        pytest.skip("this kernel maps no numbers of ext4, xfs and btrfs alike (Linux 5.15)")
    return place


def mapped(bundle: Bundle, volume: Path, *options: str, first: int | None = None) -> None:
    """/vol is the volume; with ``first`` user 0 of the disk is that one in the mount, and so on."""
    bundle.mount("/vol", "", str(volume), *options)
    if first is not None:
        ranges: list[dict[str, Any]] = [{"containerID": 0, "hostID": first, "size": 100}]
        bundle.config["mounts"][-1].update(uidMappings=ranges, gidMappings=ranges)


def test_numbers_of_ones_own(bundle: Bundle, volume: Path) -> None:
    mapped(bundle, volume, "bind", "idmap", first=5000)
    # 0 is no number of the mount, so that root of the container can make nothing in it.
    assert bundle.run(f"{LOOK}; touch /vol/nobodys 2>/dev/null; echo $?").split() == ["5001", "5002", "1"]
    bundle.config["process"]["user"] = {"uid": 5007, "gid": 5008}
    os.chmod(volume, 0o777)
    bundle.run("touch /vol/made")
    made = (volume / "made").stat()
    assert (made.st_uid, made.st_gid) == (7, 8)


def test_in_a_user_namespace_a_volume_is_its_roots(bundle: Bundle, volume: Path) -> None:
    """Without mappings of its own it has the container's: nothing on the disk need be changed for the container."""
    os.chown(volume, 0, 0)
    bundle.in_user_namespace()
    mapped(bundle, volume, "rbind", "ridmap")
    assert bundle.run(f"{LOOK}; touch /vol/made").split() == ["1", "2"]
    assert (volume / "made").stat().st_uid == 0
    bundle.config["mounts"][-1]["options"] = ["rbind"]
    assert bundle.run(LOOK).split() == ["65534", "65534"], "or this test shows nothing"


@pytest.fixture
def below(volume: Path) -> Iterator[Path]:
    """A second directory of the same file system, mounted below the volume."""
    other = volume.parent / "other"
    other.mkdir()
    (other / "file").touch()
    os.chown(other / "file", 1, 2)
    (volume / "below").mkdir()
    output("mount", "--bind", str(other), str(volume / "below"))
    yield volume
    output("umount", str(volume / "below"))


@pytest.mark.parametrize(("word", "there"), [("idmap", "1 2"), ("ridmap", "5001 5002")])
def test_what_is_mounted_below_is_mapped_where_that_is_asked_for(
    bundle: Bundle, below: Path, word: str, there: str
) -> None:
    mapped(bundle, below, "rbind", word, "ro", first=5000)
    said = bundle.run(f"{LOOK}; stat -c '%u %g' /vol/below/file; touch /vol/x 2>&1 || true").split("\n")
    assert said[:2] == ["5001 5002", there]
    assert "Read-only" in said[2]


def test_one_volume_twice_with_different_numbers(bundle: Bundle, volume: Path) -> None:
    mapped(bundle, volume, "bind", "idmap", first=5000)
    mapped(bundle, volume, "bind", "idmap", first=6000)
    bundle.config["mounts"][-1]["destination"] = "/vol2"
    assert bundle.run(f"{LOOK}; stat -c '%u %g' /vol2/file").split() == ["5001", "5002", "6001", "6002"]


def test_a_file_system_that_cannot_is_refused_by_name(bundle: Bundle, volume: Path) -> None:
    mapped(bundle, Path("/sys"), "bind", "idmap", first=5000)
    assert "MOUNT_ATTR_IDMAP" in bundle.refusal()
