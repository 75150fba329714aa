"""What a container sees and what it does not, asked of the kernel from outside."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import labkit, output
from programs import LABKIT

from labkit.runtime.oci import defaults


@pytest.fixture
def sleeper() -> int:
    """The host's pid of a container's first process."""
    labkit("run", "-d", "--name", "sleeper", "busybox", "sleep", "1000")
    (known,) = json.loads(labkit("inspect", "sleeper").stdout)
    return int(known["state"]["pid"])


@pytest.mark.parametrize("kind", ["pid", "mnt", "uts", "ipc", "net", "cgroup"])
def test_it_has_a_namespace_of_its_own(sleeper: int, kind: str) -> None:
    assert os.readlink(f"/proc/{sleeper}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


def test_it_is_pid_1_there_and_an_ordinary_process_here(sleeper: int) -> None:
    (line,) = [line for line in Path(f"/proc/{sleeper}/status").read_text().splitlines() if line.startswith("NSpid")]
    assert line.split()[-2:] == [str(sleeper), "1"]


def test_no_mount_of_the_host_is_left(sleeper: int) -> None:
    points = [line.split(" ")[4] for line in Path(f"/proc/{sleeper}/mountinfo").read_text().splitlines()]
    allowed = ("/proc", "/dev", "/sys", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf")
    assert points[0] == "/"
    assert [point for point in points[1:] if not point.startswith(allowed)] == []


def test_devices_and_links(sleeper: int) -> None:
    root = f"/proc/{sleeper}/root"
    for path, major, minor in defaults.DEVICES:
        found = os.stat(root + path)
        assert stat.S_ISCHR(found.st_mode)
        assert (os.major(found.st_rdev), os.minor(found.st_rdev), found.st_mode & 0o777) == (major, minor, 0o666)
    for target, path in defaults.LINKS:
        assert os.readlink(root + path) == target


def test_capabilities_are_dockers(sleeper: int) -> None:
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{sleeper}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "00000000a80425fb"
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0


def test_kernel_settings_are_read_only_or_covered(sleeper: int) -> None:
    read_only = labkit("exec", "sleeper", "sh", "-c", "echo 1 > /proc/sys/kernel/sysrq", check=False)
    assert read_only.returncode != 0
    assert labkit("exec", "sleeper", "cat", "/proc/keys").stdout == ""
    assert labkit("exec", "sleeper", "sh", "-c", "mkdir /sys/fs/cgroup/escape", check=False).returncode != 0


def test_only_three_descriptors_reach_the_program() -> None:
    command = ["ls", "-l", "/proc/self/fd"]
    with open("/etc/hostname", encoding="utf-8") as secret:
        number = secret.fileno()
        os.set_inheritable(number, True)
        for words in (["run", "--rm", "--network", "none", "busybox"], ["exec", "box"]):
            if words[0] == "exec":
                labkit("run", "-d", "--network", "none", "--name", "box", "busybox", "sleep", "100")
            given = subprocess.run(
                [*LABKIT, *words, *command], pass_fds=[number], capture_output=True, text=True, check=True
            )
            # The fourth is the one by which ls reads the directory.
            assert len(given.stdout.splitlines()) - 1 <= 4, given.stdout
            assert "hostname" not in given.stdout


def test_exec_has_no_controlling_terminal_to_type_into(sleeper: int) -> None:
    session = labkit("exec", "sleeper", "sh", "-c", "cat /proc/$$/stat").stdout.rpartition(")")[2].split()
    assert session[4] == "0", "field 7 of stat(5), tty_nr"


def test_an_image_whose_dev_is_a_link_does_not_lead_out(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    labkit("run", "--network", "none", "--name", "maker", "busybox", "true")
    (known,) = json.loads(labkit("inspect", "maker").stdout)
    layer = Path(known["layers"][0])
    os.rename(layer / "dev", layer / "dev-before")
    os.symlink(victim, layer / "dev")
    try:
        said = labkit("run", "--rm", "--network", "none", "busybox", "echo", "hi", check=False)
    finally:
        os.unlink(layer / "dev")
        os.rename(layer / "dev-before", layer / "dev")
    assert list(victim.iterdir()) == [], said.stderr


def test_exec_joins_every_namespace_and_the_cgroup(sleeper: int) -> None:
    script = "for kind in pid mnt uts ipc net cgroup; do readlink /proc/self/ns/$kind; done"
    inside = labkit("exec", "sleeper", "sh", "-c", script).stdout.split()
    assert inside == [
        os.readlink(f"/proc/{sleeper}/ns/{kind}") for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup")
    ]
    assert labkit("exec", "sleeper", "cat", "/proc/self/cgroup").stdout.splitlines()[-1].endswith(":/")


def test_writing_leaves_the_image_untouched_and_containers_share_it(sleeper: int) -> None:
    labkit("exec", "sleeper", "sh", "-c", "echo changed > /etc/passwd; rm /etc/group")
    labkit("run", "-d", "--name", "other", "--network", "none", "busybox", "sleep", "1000")
    first, second = json.loads(labkit("inspect", "sleeper", "other").stdout)
    (layer,) = first["layers"]
    assert Path(first["upper"], "etc/passwd").read_text() == "changed\n"
    assert "root" in Path(layer, "etc/passwd").read_text()
    whiteout = os.stat(f"{first['upper']}/etc/group")
    assert stat.S_ISCHR(whiteout.st_mode)
    assert whiteout.st_rdev == 0
    assert not os.path.exists(f"{second['upper']}/etc/passwd")
    inodes = {output("stat", "-c", "%i", f"{known['rootfs']}/bin/busybox") for known in (first, second)}
    assert len(inodes) == 1


def test_pid_1_ignores_what_it_does_not_handle_and_takes_all_with_it(sleeper: int) -> None:
    labkit("exec", "sleeper", "sh", "-c", "kill -9 1; kill -TERM 1; sleep 500 > /dev/null 2>&1 &")
    (known,) = json.loads(labkit("inspect", "sleeper").stdout)
    assert known["state"]["status"] == "running"
    assert len(known["processes"]) == 2
    labkit("stop", "-t", "0", "sleeper")
    assert not [pid for pid in known["processes"] if os.path.exists(f"/proc/{pid}")]
