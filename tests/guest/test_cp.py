"""Files out of containers and into them."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from conftest import labkit
from programs import LABKIT


def inside(script: str) -> str:
    return labkit("exec", "copied", "sh", "-c", script).stdout


@pytest.fixture
def container() -> None:
    labkit("run", "-d", "--name", "copied", "busybox", "sleep", "100")


@pytest.mark.usefixtures("container")
def test_out_as_cp_does(tmp_path: Path) -> None:
    inside("mkdir -p /d/e; echo one > /d/f; ln /d/f /d/g; ln -s f /d/s; chown 5:6 /d/f; chmod 4750 /d/f; mkfifo /d/p")
    labkit("cp", "copied:/d/f", str(tmp_path))
    assert (tmp_path / "f").read_text() == "one\n"
    assert (tmp_path / "f").stat().st_uid == 0
    labkit("cp", "-a", "copied:/d", f"{tmp_path}/new")
    status = (tmp_path / "new/f").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777, status.st_nlink) == (5, 6, 0o4750, 2)
    assert os.readlink(tmp_path / "new/s") == "f"
    assert (tmp_path / "new/p").is_fifo()
    labkit("cp", "copied:/d", str(tmp_path))
    labkit("cp", "copied:/d/.", f"{tmp_path}/d/e")
    assert sorted(os.listdir(tmp_path / "d/e")) == ["e", "f", "g", "p", "s"]
    labkit("cp", "copied:/d/s", f"{tmp_path}/link")
    labkit("cp", "-L", "copied:/d/s", f"{tmp_path}/file")
    assert os.path.islink(tmp_path / "link")
    assert (tmp_path / "file").read_text() == "one\n"
    stream = subprocess.run([*LABKIT, "cp", "copied:/d", "-"], capture_output=True, check=True, timeout=60).stdout
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        assert sorted(tar.getnames()) == ["d", "d/e", "d/f", "d/g", "d/p", "d/s"]
    assert labkit("cp", "copied:/none", str(tmp_path), check=False).returncode == 4
    assert labkit("cp", "copied:/d", f"{tmp_path}/f", check=False).returncode == 5
    assert labkit("cp", "copied:/d/f", f"{tmp_path}/x/", check=False).returncode == 4
    assert labkit("cp", "a", "b", check=False).returncode == 2


@pytest.mark.usefixtures("container")
def test_in_and_no_way_out(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/page").write_text("hello")
    os.chown(tmp_path / "site/page", 7, 8)
    labkit("cp", f"{tmp_path}/site", "copied:/srv")
    labkit("cp", f"{tmp_path}/site", "copied:/srv")
    labkit("cp", "-a", f"{tmp_path}/site/.", "copied:/srv/site")
    assert inside("cat /srv/page /srv/site/page; stat -c %u:%g /srv/page /srv/site/page") == "hellohello0:0\n7:8\n"
    assert "cp -r" in labkit("cp", "--explain", f"{tmp_path}/site/page", "copied:/page").stderr
    outside = tmp_path / "outside"
    outside.mkdir()
    inside(f"ln -s {outside} /trap; ln -s / /root-link; mkdir /t; ln -s {outside}/new /t/page")
    assert labkit("cp", f"{tmp_path}/site/page", "copied:/trap", check=False).returncode in (0, 4)
    labkit("cp", f"{tmp_path}/site/page", "copied:/root-link/etc/page")
    labkit("cp", f"{tmp_path}/site/page", "copied:/t")
    assert inside("cat /etc/page /t/page") == "hellohello"
    assert os.listdir(outside) == []
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("ok", "../../../../evil"):
            tar.addfile(tarfile.TarInfo(name))
    words = [*LABKIT, "cp", "-", "copied:/t"]
    done = subprocess.run(words, input=archive.getvalue(), capture_output=True, check=False, timeout=60)
    assert done.returncode == 3, done.stderr
    assert inside("ls /t").split() == ["ok", "page"]
    assert subprocess.run(words, input=b"no tar", capture_output=True, check=False, timeout=60).returncode == 3


@pytest.mark.usefixtures("container")
def test_one_that_has_ended(tmp_path: Path) -> None:
    inside("echo kept > /kept")
    labkit("stop", "-t", "0", "copied")
    labkit("cp", "copied:/kept", str(tmp_path))
    assert (tmp_path / "kept").read_text() == "kept\n"
    labkit("cp", str(tmp_path / "kept"), "copied:/etc/new")
    assert "/run/labkit/containers" not in Path("/proc/self/mountinfo").read_text()
    labkit("start", "copied")
    assert inside("cat /etc/new") == "kept\n"
