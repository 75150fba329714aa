"""Files out of containers and into them."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import labkit
from programs import LABKIT

from labkit.errors import LabkitError
from labkit.runtime.engine.files import copying
from labkit.runtime.engine.record import record


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
    assert inside("cat /srv/page /srv/site/page; stat -c %u:%g /srv/page /srv/site/page") == "hellohello7:8\n7:8\n"
    assert "cp -a" in labkit("cp", "--explain", f"{tmp_path}/site/page", "copied:/page").stderr
    assert "cp -r" in labkit("cp", "--explain", "copied:/page", f"{tmp_path}/page").stderr
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


#: setcap cap_net_raw=p, as security.capability holds it (capabilities(7)).
CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")


def furnish(place: Path) -> None:
    """A directory with all that a file can have."""
    place.mkdir(mode=0o755)
    (place / "f").write_text("x")
    os.chown(place / "f", 5, 6)
    os.setxattr(place / "f", "security.capability", CAPABILITY)
    (place / "d").mkdir()
    os.chown(place / "d", 7, 8)
    (place / "d").chmod(0o1750)
    (place / "l").symlink_to("f")
    os.chown(place / "l", 9, 10, follow_symlinks=False)
    os.mknod(place / "null", 0o020640, os.makedev(1, 3))
    os.link(place / "f", place / "d/g")
    with open(place / "holes", "wb") as file:
        file.seek(8 << 20)
        file.write(b"end")
        file.truncate(16 << 20)
    for name in ("f", "d", "l", "null", "holes"):
        os.utime(place / name, (10**9, 10**9 + 5), follow_symlinks=False)


def about(place: Path, mine: bool = False) -> dict[str, object]:
    """What ``furnish`` has made; ``mine``: users and groups of what is mine."""
    found: dict[str, object] = {}
    for name in ("f", "d", "l", "null", "holes"):
        status = os.lstat(place / name)
        owner = (0, 0) if mine else (status.st_uid, status.st_gid)
        found[name] = (owner, oct(status.st_mode), status.st_nlink, int(status.st_mtime), status.st_rdev)
    found["capability"] = os.getxattr(place / "f", "security.capability")
    found["same"] = (place / "f").samefile(place / "d/g")
    holes = os.stat(place / "holes")
    found["holes are holes"] = (holes.st_size, holes.st_blocks * 512 < 1 << 20)
    return found


@pytest.mark.usefixtures("container")
def test_what_a_file_has_goes_along(tmp_path: Path) -> None:
    """docker keeps the same, but holes; nothing that it copies out keeps its owner, with -a neither."""
    furnish(tmp_path / "new")
    labkit("cp", f"{tmp_path}/new", "copied:/in")
    pid = labkit("inspect", "-f", "{{.State.Pid}}", "copied").stdout.strip()
    inside = Path(f"/proc/{pid}/root")
    assert about(inside / "in") == about(tmp_path / "new")
    labkit("cp", "copied:/in", f"{tmp_path}/out")
    assert about(tmp_path / "out") == about(tmp_path / "new", mine=True)
    labkit("cp", "-a", "copied:/in", f"{tmp_path}/kept")
    assert about(tmp_path / "kept") == about(tmp_path / "new")
    packed = subprocess.run([*LABKIT, "cp", "copied:/in", "-"], capture_output=True, check=True, timeout=60).stdout
    (inside / "streamed").mkdir()
    subprocess.run([*LABKIT, "cp", "-", "copied:/streamed"], input=packed, check=True, timeout=60, capture_output=True)
    # A tar stream has zeros for holes.
    assert {**about(inside / "streamed/in"), "holes are holes": ""} == {**about(inside / "in"), "holes are holes": ""}


@pytest.mark.usefixtures("container")
def test_directories_that_are_joined(tmp_path: Path) -> None:
    """One that takes in contents stays as it is, and one of the same name below becomes as the source."""
    for place, mode in ((tmp_path / "from", 0o700), (tmp_path / "to", 0o711)):
        (place / "d").mkdir(parents=True)
        for directory in (place, place / "d"):
            directory.chmod(mode)
            os.chown(directory, mode, mode)
    labkit("cp", f"{tmp_path}/to", "copied:/to")
    labkit("cp", f"{tmp_path}/from/.", "copied:/to")
    assert inside("stat -c %u:%a /to /to/d").split() == ["457:711", "448:700"]
    labkit("cp", "copied:/to/.", f"{tmp_path}/to")
    assert [(os.stat(tmp_path / name).st_uid, (tmp_path / name).stat().st_mode & 0o777) for name in ("to", "to/d")] == [
        (0o711, 0o711),
        (0o711, 0o700),
    ]


@pytest.mark.parametrize("program", ["run", "create"])
def test_volumes_and_what_is_read_only(tmp_path: Path, program: str) -> None:
    """docker refuses both, running or not, and copies to a volume of a container whose root is read-only."""
    for name in ("f", "bound/there", "fixed/there"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    mounts = ["-v", "cp-test:/volume", "-v", f"{tmp_path}/bound:/bound", "-v", f"{tmp_path}/fixed:/fixed:ro"]
    options = ["-d"] if program == "run" else []
    labkit(program, *options, "--name", "copied", "--read-only", *mounts, "busybox", "sleep", "100")
    for target, status in (("/new", 5), ("/fixed/new", 5), ("/volume/new", 0), ("/bound/new", 0), ("/none/new", 4)):
        done = labkit("cp", f"{tmp_path}/f", f"copied:{target}", check=False)
        assert done.returncode == status, done.stderr
        assert ("read-only" in done.stderr) == (status == 5)
    assert labkit("cp", "-", "copied:/etc", text="", check=False).returncode == 5
    assert sorted(os.listdir(tmp_path / "bound")) == ["new", "there"]
    assert os.listdir(tmp_path / "fixed") == ["there"]
    for source in ("/volume/new", "/bound/there", "/fixed/there"):
        labkit("cp", f"copied:{source}", f"{tmp_path}/back")
        assert (tmp_path / "back").read_text() == "x"
    assert "/run/labkit/containers" not in Path("/proc/self/mountinfo").read_text() or program == "run"
    labkit("rm", "-f", "copied")
    labkit("volume", "rm", "cp-test")


@pytest.mark.usefixtures("container")
def test_what_is_mounted_in_one_that_runs(tmp_path: Path) -> None:
    labkit("cp", "copied:/proc/version", f"{tmp_path}/version")  # a file that says it is empty
    assert (tmp_path / "version").read_text() == Path("/proc/version").read_text()
    done = labkit("cp", f"{tmp_path}/version", "copied:/dev/null", check=False)
    assert (done.returncode, inside("test -c /dev/null && echo still")) == (5, "still\n"), done.stderr
    done = labkit("cp", f"{tmp_path}/version", "copied:/etc/hosts", check=False)
    assert (done.returncode, "mount point" in done.stderr) == (5, True)


def test_no_directory_is_copied_into_itself(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    labkit("run", "-d", "--name", "copied", "-v", f"{tmp_path}:/bound", "busybox", "sleep", "100")
    done = labkit("cp", "copied:/bound", f"{tmp_path}/d/new", check=False)
    assert (done.returncode, "into itself" in done.stderr) == (5, True), done.stderr


@pytest.mark.usefixtures("container")
def test_one_that_has_ended(tmp_path: Path) -> None:
    inside("echo kept > /kept")
    labkit("stop", "-t", "0", "copied")
    labkit("cp", "copied:/kept", str(tmp_path))
    assert (tmp_path / "kept").read_text() == "kept\n"
    labkit("cp", "copied:/etc/hosts", str(tmp_path))
    assert "localhost" in (tmp_path / "hosts").read_text()
    labkit("cp", str(tmp_path / "kept"), "copied:/etc/new")
    assert "/run/labkit/containers" not in Path("/proc/self/mountinfo").read_text()
    labkit("start", "copied")
    assert inside("cat /etc/new") == "kept\n"


@pytest.mark.usefixtures("container")
def test_nothing_that_a_process_inside_does_meanwhile_leads_out(tmp_path: Path) -> None:
    """The name of the new file becomes a link to a file out here, as fast as it is copied; its directory, too."""
    secret = tmp_path / "secret"
    secret.touch(0o600)
    (tmp_path / "f").write_text("x")
    (tmp_path / "f").chmod(0o777)
    inside("mkdir -p /d")
    pid = labkit("inspect", "-f", "{{.State.Pid}}", "copied").stdout.strip()
    directory, busy = Path(f"/proc/{pid}/root/d"), threading.Event()

    def swap() -> None:
        while not busy.is_set():
            with suppress(OSError):
                os.unlink(directory / "f")
            with suppress(OSError):
                os.symlink(secret, directory / "f")
            with suppress(OSError):
                os.rename(directory, f"{directory}2")
                os.symlink(tmp_path, directory)
            with suppress(OSError):
                os.unlink(directory)
                os.rename(f"{directory}2", directory)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        for _ in range(150):
            with suppress(LabkitError):
                copying.into(record.find("copied"), f"{tmp_path}/f", "/d/f", None, links=False)
    finally:
        busy.set()
        thread.join()
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("", 0o600)
    assert sorted(os.listdir(tmp_path)) == ["f", "secret"]
