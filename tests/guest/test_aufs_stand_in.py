"""The stand-in for aufs, where the kernel has none and fuse-overlayfs is installed: as in the lab's machine."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import wait_for

from labkit.runtime.cli import mount_aufs
from labkit.runtime.kernel import mounts
from labkit.runtime.storage import aufs

HELPER = [sys.executable, "-c", "import sys; from labkit.runtime.cli.mount_aufs import main; sys.exit(main())", "none"]


def _absence() -> str:
    if sys.platform != "linux" or mounts.has_filesystem("aufs"):
        return "this kernel has aufs, so that nothing stands in for it"
    if not shutil.which(mount_aufs.PROGRAM):
        return f"{mount_aufs.PROGRAM} is not installed"
    return "" if os.path.exists("/dev/fuse") else "there is no /dev/fuse"


pytestmark = [pytest.mark.machine, pytest.mark.skipif(bool(_absence()), reason=_absence())]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The article's two directories."""
    for name, files in {"home": "eat sleep", "company": "code meeting", "mnt": ""}.items():
        (tmp_path / name).mkdir()
        for file in files.split():
            (tmp_path / name / file).write_text(f"{file}\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    mounts.detach_if_mounted(f"{tmp_path}/mnt")


def _mount(options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*HELPER, "mnt", "-o", options], capture_output=True, text=True, check=False, timeout=60)


def _kind(place: Path) -> list[str]:
    return [kind for point, kind in mounts.mount_points() if point == f"{place}/mnt"]


def _servers() -> str:
    return subprocess.run(["pgrep", "-x", "fuse-overlayfs"], capture_output=True, text=True, check=False).stdout


def test_the_articles_union(place: Path) -> None:
    done = _mount("rw,dirs=./home:./company")
    assert done.returncode == 0, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "no aufs in this kernel; fuse-overlayfs stands in" in done.stderr
    assert _kind(place) == ["fuse.fuse-overlayfs"]
    assert sorted(os.listdir("mnt")) == ["code", "eat", "meeting", "sleep"]
    Path("mnt/code").write_text("apple\n")
    assert (Path("company/code").read_text(), Path("home/code").read_text()) == ("code\n", "apple\n")
    os.unlink("mnt/meeting")
    assert sorted(os.listdir("mnt")) == ["code", "eat", "sleep"]
    assert Path("company/meeting").exists()
    status = os.lstat("home/meeting")
    assert (stat.S_ISCHR(status.st_mode), status.st_rdev) == (True, 0)


def test_umount_ends_it_and_leaves_only_a_hidden_name(place: Path) -> None:
    before = _servers()
    _mount("dirs=home:company")
    subprocess.run(["umount", "mnt"], check=True)
    assert _kind(place) == []
    assert wait_for(lambda: _servers() == before), "its process is still there"
    assert sorted(os.listdir("home")) == [mount_aufs.SCRATCH, "eat", "sleep"]
    assert sorted(os.listdir("company")) == ["code", "meeting"]
    assert _mount("dirs=company:home").returncode == 0
    assert sorted(os.listdir("mnt")) == ["code", "eat", "meeting", "sleep"], "the hidden name is hidden below, too"


def test_a_whiteout_in_aufss_form_counts(place: Path) -> None:
    aufs.whiteout(f"{place}/home/meeting")
    _mount("dirs=./home:./company")
    assert sorted(os.listdir("mnt")) == ["code", "eat", "sleep"]


def test_a_union_that_is_only_read(place: Path) -> None:
    assert _mount("br:home=ro:company=ro+wh").returncode == 0
    assert sorted(os.listdir("mnt")) == ["code", "eat", "meeting", "sleep"]
    with pytest.raises(OSError, match="Read-only"):
        Path("mnt/x").touch()
    assert sorted(os.listdir("home")) == ["eat", "sleep"]


@pytest.mark.parametrize(("options", "status"), [("dirs=home:none", 32), ("dirs=home:company,noxino", 1)])
def test_what_it_refuses_leaves_nothing(place: Path, options: str, status: int) -> None:
    done = _mount(options)
    assert done.returncode == status
    assert done.stderr.startswith("mount.aufs: ")
    assert len(done.stderr.splitlines()) == 2
    assert _kind(place) == []
    assert sorted(os.listdir("home")) == ["eat", "sleep"]


def test_a_mount_that_fuse_overlayfs_refuses_leaves_nothing(place: Path) -> None:
    (place / "mnt").rmdir()
    done = _mount("dirs=home:company")
    assert done.returncode == 32
    assert "fuse-overlayfs in its place failed: " in done.stderr
    assert sorted(os.listdir("home")) == ["eat", "sleep"]


@pytest.mark.skipif(not os.path.exists("/sbin/mount.aufs"), reason="no mount.aufs was deployed here")
def test_mount_calls_it_and_never_takes_it_for_the_kernels_own(place: Path) -> None:
    subprocess.run(["mount", "-t", "aufs", "-o", "dirs=./home:./company", "none", "./mnt"], check=True)
    assert _kind(place) == ["fuse.fuse-overlayfs"]
    subprocess.run(["umount", "mnt"], check=True)
    refused = subprocess.run(["mount", "-i", "-t", "aufs", "-o", "dirs=home:company", "none", "mnt"], check=False)
    assert refused.returncode != 0
    assert not mounts.has_filesystem("aufs")
