from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.host.proof import testhost
from labkit.host.proof.testhost import TestHost

WHY_NOT = testhost.why_not()
with_a_test_host = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

MOUNTINFO = """\
24 1 8:1 / / rw - ext4 /dev/sda1 rw
31 24 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
34 32 0:29 /x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
"""


def test_the_control_group_trees_are_found() -> None:
    assert list(testhost.hierarchies(MOUNTINFO)) == [
        ("cgroup", Path("/sys/fs/cgroup/cpu")),
        ("cgroup2", Path("/sys/fs/cgroup/unified")),
    ]


def in_test_host(script: str) -> subprocess.CompletedProcess[str]:
    with TestHost() as host:
        return subprocess.run(host.command(["sh", "-c", script]), capture_output=True, text=True, check=False)


@with_a_test_host
def test_its_network_and_its_directories_are_empty() -> None:
    done = in_test_host("ip -o link; ls -A /var/lib/labkit /run/netns | grep -v :; touch /var/lib/labkit/x; exit 5")
    assert done.returncode == 5, done.stderr
    (link,) = done.stdout.split("\n", 1)[0:1]
    assert "LOOPBACK,UP" in link
    assert done.stdout.count("link/") == 1
    assert not Path("/var/lib/labkit/x").exists()


@with_a_test_host
def test_its_processes_die_with_it_and_orphans_are_reaped() -> None:
    done = in_test_host("echo pid=$$; sleep 987 & (true &); sleep 0.3; ps -eo stat= | grep -c Z")
    assert "pid=1\n" not in done.stdout, "the tests must not be process 1, which would have to reap orphans"
    assert done.stdout.splitlines()[-1] == "0"
    assert "sleep 987" not in subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout


@with_a_test_host
def test_its_control_groups_are_its_own() -> None:
    place = next(place for _, place in testhost.hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8")))
    before = {path.name for path in place.iterdir() if path.is_dir()}
    done = in_test_host(f"cat /proc/self/cgroup; mkdir {place}/mine; ls -d {place}/*/")
    assert done.returncode == 0, done.stderr
    groups = {line.partition("::" if "::" in line else ":/")[2] for line in done.stdout.splitlines() if ":" in line}
    assert groups <= {"", "/", "/tests"}
    assert f"{place}/mine/" in done.stdout
    assert not [name for name in before if f"{place}/{name}/" in done.stdout.splitlines() and name != testhost.LEAF]
    assert not [path for path in place.iterdir() if path.name in ("mine", f"{testhost.GROUP}{os.getpid()}")]


@with_a_test_host
def test_its_mount_points_are_made_and_removed_again(tmp_path: Path) -> None:
    there, new, used = tmp_path / "there", tmp_path / "a/new one", tmp_path / "used"
    there.mkdir()
    with TestHost([str(there), str(new), str(used)]) as host:
        done = subprocess.run(host.command(["touch", str(new / "x")]), check=False)
        assert done.returncode == 0
        assert not (new / "x").exists()
        (used / "by-someone").touch()
    assert there.is_dir()
    assert not new.exists()
    assert (used / "by-someone").exists()


def test_groups_of_a_run_that_was_killed_are_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for name in (f"{ended.pid}/labkit/ID", f"{os.getpid()}", "notes"):
        (tmp_path / f"{testhost.GROUP}{name}").mkdir(parents=True)
    if sys.platform != "linux":
        pytest.skip("who is alive is read from /proc")
    testhost.remove_left_behind(tmp_path)
    assert {path.name.removeprefix(testhost.GROUP) for path in tmp_path.iterdir()} == {str(os.getpid()), "notes"}


def test_a_group_that_cannot_be_removed_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    testhost.remove_group(tmp_path, patience=0.1)
    assert (tmp_path / "file").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_without_the_programs_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert testhost.why_not() == "the program unshare is not installed"


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_where_unshare_is_refused_the_reason_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(testhost, "hierarchies", lambda _text: iter(()))
    monkeypatch.setattr(testhost, "is_chroot", lambda: False)
    monkeypatch.setattr(testhost.shutil, "which", lambda name: f"/bin/{name}")
    stand_in = tmp_path / "unshare"
    stand_in.write_text("#!/bin/sh\necho 'unshare failed: Operation not permitted' >&2; exit 1\n", encoding="utf-8")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(testhost.TestHost.__init__, "__defaults__", ((str(tmp_path / "own"),),))
    assert testhost.why_not() == "unshare does not work here: unshare failed: Operation not permitted"


@with_a_test_host
def test_a_chroot_is_seen(tmp_path: Path) -> None:
    """The same Python, in a chroot into a file system in memory, in which the whole system is bound."""
    look = "from labkit.host.proof import testhost; print(testhost.is_chroot())"
    root = tmp_path / "root"
    root.mkdir()
    program = f"""
        mount -t tmpfs root {root}
        for entry in /*; do
            if [ -L "$entry" ]; then cp -a "$entry" "{root}$entry"
            elif [ -d "$entry" ]; then mkdir "{root}$entry"; mount --rbind "$entry" "{root}$entry"; fi
        done
        exec chroot {root} {sys.executable} -c '{look}'
    """
    with TestHost() as host:
        done = subprocess.run(
            host.command(["sh", "-euc", program]),
            env={**os.environ, "PYTHONPATH": str(Path(testhost.__file__).parents[3])},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout == "True\n", done.stderr
    assert not testhost.is_chroot()


def test_elsewhere_the_reason_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "this is darwin" in str(testhost.why_not())
