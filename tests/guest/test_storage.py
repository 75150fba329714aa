"""What holds for every storage driver: the same image has the same contents on each that this kernel has."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import labkit, picture
from layered import loaded, tar

from labkit.errors import KernelError
from labkit.runtime.kernel import mounts
from labkit.runtime.operations.files import MakeTree
from labkit.runtime.storage import DRIVERS, aufs

LISTING = "cd /srv && find . | sort && cat $(find . -type f | sort)"


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if not mounts.has_filesystem(name):
        pytest.skip(f"this kernel has no {name} (/proc/filesystems, after modprobe)")
    return name


def _run(driver: str, image: str, script: str) -> str:
    words = ("run", "--rm", "--network", "none", "--storage-driver", driver, image, "sh", "-c", script)
    return labkit(*words).stdout


def test_layers_hide_what_lies_below_them(tmp_path: Path, driver: str) -> None:
    layers = (
        tar("srv/", "srv/a", "srv/b", "srv/d/", "srv/d/x", "srv/d/y", "srv/e/", "srv/e/x", "srv/f"),
        tar("srv/.wh.a", "srv/d/.wh..wh..opq", "srv/d/z", "srv/.wh.e"),
        tar("srv/c", "srv/.wh.f", "srv/f"),
    )
    with loaded(tmp_path, *layers) as image:
        assert _run(driver, image, LISTING).splitlines() == [
            ".", "./b", "./c", "./d", "./d/z", "./f",
            "srv/b of 9", "srv/c of 3", "srv/d/z of 4", "srv/f of 3",
        ]  # fmt: skip


def test_a_layer_that_stands_twice_in_an_image(tmp_path: Path, driver: str) -> None:
    one, other = tar("srv/", "srv/a"), tar("srv/a", "srv/b", "srv/c")
    with loaded(tmp_path, one, other, one) as image:
        assert _run(driver, image, LISTING).splitlines()[-3:] == ["srv/a of 2", "srv/b of 3", "srv/c of 3"]


def test_a_container_changes_its_own_layer_alone(tmp_path: Path, driver: str) -> None:
    with loaded(tmp_path, tar("srv/", "srv/a", "srv/b", "srv/d/", "srv/d/x"), tar("srv/c")) as image:
        script = f"cd /srv; echo new > a; rm b c; rm -r d; mkdir d; touch d/y; chmod 700 /srv; {LISTING}"
        assert _run(driver, image, script).splitlines() == [".", "./a", "./d", "./d/y", "new"]
        assert _run(driver, image, "cat /srv/a /srv/b; ls /srv/d").splitlines() == ["srv/a of 5", "srv/b of 5", "x"]


def test_the_driver_is_remembered_and_a_dry_run_mounts_with_it(driver: str) -> None:
    labkit("run", "--network", "none", "--storage-driver", driver, "--name", "kept", "busybox", "true")
    (known,) = json.loads(labkit("inspect", "kept").stdout)
    assert known["storage_driver"] == driver
    labkit("rm", "kept")
    script = labkit("run", "--dry-run", "--storage-driver", driver, "busybox", "true").stdout
    (line,) = [line for line in script.splitlines() if f"mount -i -t {driver}" in line or f"mount -t {driver}" in line]
    assert "/upper" in line


def test_an_unknown_driver_and_one_that_is_not_here() -> None:
    before = picture()
    unknown = labkit("run", "--storage-driver", "btrfs", "busybox", "true", check=False)
    assert (unknown.returncode, unknown.stderr.splitlines()) == (
        125,
        ["labkit: there is no storage driver 'btrfs'", f"hint: one of {', '.join(DRIVERS)}"],
    )
    for name in DRIVERS:
        if not mounts.has_filesystem(name):
            missing = labkit("run", "--storage-driver", name, "busybox", "true", check=False)
            assert missing.returncode == 125
            assert missing.stderr.startswith(f"labkit: this kernel has no {name}\nhint: leave --storage-driver out")
            assert picture() == before


def test_aufs_is_not_mounted_on_overlay(tmp_path: Path) -> None:
    for name in ("l", "u", "w", "m"):
        (tmp_path / name).mkdir()
    words = f"lowerdir={tmp_path}/l,upperdir={tmp_path}/u,workdir={tmp_path}/w"
    subprocess.run(["mount", "-t", "overlay", "-o", words, "none", f"{tmp_path}/m"], check=True)
    try:
        with pytest.raises(KernelError, match=f"aufs cannot stand on overlay.*{tmp_path}/m/upper lies on one"):
            aufs.operations(f"{tmp_path}/root", [f"{tmp_path}/l"], f"{tmp_path}/m/upper", f"{tmp_path}/w")
    finally:
        subprocess.run(["umount", f"{tmp_path}/m"], check=True)
    assert not os.path.exists(f"{tmp_path}/root")


@pytest.mark.parametrize("what", ["files alone", "directories", "below", "below many"])
def test_what_is_mounted_is_not_removed(tmp_path: Path, what: str) -> None:
    """The same file system at a second place, which has the same device number."""
    source, tree = tmp_path / "source", tmp_path / "tree"
    for number in range(40 if what == "below many" else 0):
        (tree / str(number)).mkdir(parents=True)
    for place in (source, tree, *([source / "directory"] if what == "directories" else [])):
        place.mkdir(exist_ok=True)
    (source / "file").touch()
    point = tree / "below" if what.startswith("below") else tree
    point.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", str(source), str(point)], check=True)
    try:
        with pytest.raises(KernelError, match="is a mount point"):
            MakeTree(str(tree)).undo()
        assert (source / "file").exists()
    finally:
        subprocess.run(["umount", str(point)], check=True)
    MakeTree(str(tree)).undo()
    assert not tree.exists()
