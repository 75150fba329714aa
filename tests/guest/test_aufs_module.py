"""The driver on the real module. Debian's kernels have none, Ubuntu's up to 20.04 do: there these tests run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import labkit, picture, wait_for
from layered import loaded, tar
from test_killed import KILLER, MANY, _nobody_is_at_work

from labkit.errors import KernelError
from labkit.runtime.kernel import mounts
from labkit.runtime.operations import Operation
from labkit.runtime.storage import aufs

_NO_AUFS = "this kernel has no aufs (modprobe aufs, then /proc/filesystems)"
pytestmark = [
    pytest.mark.machine,
    pytest.mark.skipif(sys.platform != "linux" or not mounts.has_filesystem("aufs"), reason=_NO_AUFS),
]

START = ("run", "-d", "--network", "none", "--storage-driver", "aufs", "--name", "one")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of its own: the test's directory may lie on overlay, on which aufs cannot stand."""
    subprocess.run(["mount", "-t", "tmpfs", "none", str(tmp_path)], check=True)
    for name in ("upper", "work", "root"):
        (tmp_path / name).mkdir()
    yield tmp_path
    mounts.detach_if_mounted(f"{tmp_path}/root")
    subprocess.run(["umount", str(tmp_path)], check=True)


def _stack(place: Path, count: int) -> Operation:
    """The mount of ``count`` layers, each with a file of its own and one that all have."""
    for number in range(count):
        (place / f"l{number}").mkdir()
        (place / f"l{number}/own{number}").touch()
        (place / f"l{number}/all").write_text(str(number))
    lowers = [f"{place}/l{number}" for number in reversed(range(count))]
    _, mount = aufs.operations(f"{place}/root", lowers, f"{place}/upper", f"{place}/work")
    return mount


def _names(directory: str) -> list[str]:
    return sorted(name for name in os.listdir(directory) if name not in aufs.CONTROL_NAMES)


def test_a_container_stands_on_branches() -> None:
    labkit(*START, "busybox", "sleep", "100")
    (known,) = json.loads(labkit("inspect", "one").stdout)
    rootfs = f"/run/labkit/containers/{known['id']}/rootfs"
    assert [kind for point, kind in mounts.mount_points() if point == rootfs] == ["aufs"]
    assert "dirperm1" in mounts.super_options(rootfs).split(",")
    top, *below = aufs.mounted_branches(rootfs)
    assert top.partition("+")[0] == f"/var/lib/labkit/containers/{known['id']}/upper=rw"
    assert len(below) == 1
    assert below[0].endswith("/fs=ro+wh")
    root_mount = labkit("exec", "one", "sh", "-c", "grep ' / ' /proc/mounts").stdout
    assert root_mount.split()[2] == "aufs"
    labkit("rm", "-f", "one")


def test_deletions_are_whiteouts_in_its_form(tmp_path: Path) -> None:
    with loaded(tmp_path, tar("srv/", "srv/a", "srv/d/", "srv/d/x")) as image:
        labkit(*START, image, "sleep", "100")
        labkit("exec", "one", "sh", "-c", "cd /srv; rm a; rm -r d; mkdir d; touch d/y")
        (known,) = json.loads(labkit("inspect", "one").stdout)
        upper = f"/var/lib/labkit/containers/{known['id']}/upper"
        assert _names(f"{upper}/srv") == [".wh.a", "d"]
        assert _names(f"{upper}/srv/d") == [".wh..wh..opq", "y"]
        assert os.path.isfile(f"{upper}/srv/.wh.a")
        labkit("rm", "-f", "one")


def test_many_layers_are_appended_in_their_order(place: Path) -> None:
    mount = _stack(place, 126)
    assert "remount,append:" in mount.describe()
    mount.do()
    assert aufs.mounted_branches(f"{place}/root")[1:] == [f"{place}/l{n}=ro+wh" for n in reversed(range(126))]
    assert len(_names(f"{place}/root")) == 127
    assert (place / "root/all").read_text() == "125"
    mount.undo()
    mount.undo()
    assert _names(f"{place}/root") == []


def test_what_it_says_is_what_a_shell_does(place: Path) -> None:
    mount = _stack(place, 100)
    subprocess.run(["sh", "-ec", mount.describe()], check=True)
    assert len(_names(f"{place}/root")) == 101
    subprocess.run(["sh", "-ec", mount.describe_undo()], check=True)
    assert _names(f"{place}/root") == []


@pytest.mark.parametrize("missing", ["l0", "l79"])
def test_a_mount_that_fails_says_why_and_leaves_nothing(place: Path, missing: str) -> None:
    mount = _stack(place, 80)
    os.rename(place / missing, place / "away")
    before = sorted(mounts.mount_points())
    with pytest.raises(KernelError) as refused:
        mount.do()
    assert "lookup failed" in refused.value.message
    assert f"{place}/{missing}" in refused.value.message
    assert os.listdir(place / "upper") == []
    assert sorted(mounts.mount_points()) == before


def test_layers_within_one_another_are_refused_with_the_kernels_words(place: Path) -> None:
    (place / "l/inner").mkdir(parents=True)
    _, mount = aufs.operations(f"{place}/root", [f"{place}/l", f"{place}/l/inner"], f"{place}/upper", f"{place}/work")
    with pytest.raises(KernelError, match="is overlapped"):
        mount.do()


def test_a_whiteout_in_the_middle_counts(place: Path) -> None:
    for name in ("below", "middle"):
        (place / name).mkdir()
    for name in ("a", "b"):
        (place / "below" / name).touch()
    aufs.whiteout(f"{place}/middle/a")
    stack = aufs.branches([f"{place}/middle", f"{place}/below"], f"{place}/upper")
    aufs.MountAufs(f"{place}/root", stack).do()
    assert _names(f"{place}/root") == ["b"]


def test_a_file_with_attributes_is_copied_up_to_tmpfs(place: Path) -> None:
    lower = Path("/var/lib/labkit/.aufs-test")  # a file system that has such attributes, as ext4
    lower.mkdir()
    try:
        (lower / "file").write_text("old")
        os.setxattr(lower / "file", "user.note", b"x")
        _, mount = aufs.operations(f"{place}/root", [str(lower)], f"{place}/upper", f"{place}/work")
        mount.do()
        (place / "root/file").write_text("new")
        mount.undo()
        assert (lower / "file").read_text() == "old"
        assert (place / "upper/file").read_text() == "new"
    finally:
        (lower / "file").unlink()
        lower.rmdir()


def test_kill_9_leaves_nothing(in_emulation: bool) -> None:
    before = picture()
    for count in range(1, MANY, 7 if in_emulation else 2):
        died = subprocess.run([sys.executable, str(KILLER), "command", str(count), *START, "busybox", "sleep", "9"])
        if died.returncode == 0:
            break
        assert wait_for(_nobody_is_at_work)
        labkit("gc")
        assert picture() == before, f"killed after operation {count}"
    labkit("rm", "-f", "one")
