"""A test host: a piece of this Linux computer in which the guest's tests may do as they like, as root.

It is made of namespaces by unshare(1), and of what they do not cover:

- mounts: everything that is mounted there is gone with it, and ``/var/lib/labkit``, ``/run/labkit`` and the like
  are empty file systems in memory;
- network: the loopback device, and no other;
- processes: whatever a test leaves behind dies with the first process (pid_namespaces(7));
- control groups: the trees begin at a group made for it (cgroup_namespaces(7)), so that neither ``labkit gc`` nor a
  comparison of before and after sees the groups of anybody else.

What it shares with the computer is the kernel: its modules, its settings beyond the network, its clock.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

OWN_DIRECTORIES = ("/var/lib/labkit", "/run/labkit", "/run/labkit-seccomp", "/run/netns")
"""Where labkit and ``ip netns`` keep their state: a tmpfs each."""

GROUP = "labkit-tests-"
"""And the process id of the run, and a number in it: the name of its control group in every hierarchy."""

_numbers = itertools.count(1)

LEAF = "tests"
"""In the unified hierarchy a group with processes gives its children no controllers (cgroups(7), "no internal
processes"), so the tests' own processes are in a group beside those that they make."""

_ENTER_GROUPS = """
for place in {groups}; do echo $$ > "$place/cgroup.procs"; done
exec unshare --cgroup -- sh -euc "$@"
"""
_ENTER_LEAVES = """
for place in {leaves}; do echo $$ > "$place/cgroup.procs"; done
exec unshare --mount --net --propagation private --pid --fork --kill-child --mount-proc -- sh -euc "$@"
"""
_FURNISH = """
ip link set lo up
for directory in {directories}; do mount -t tmpfs -o mode=0700 labkit-tests "$directory"; done
for place in {groups}; do mount --bind "$place" "${{place%/*}}"; done
"$@"
exit $?
"""
# ("exit $?" keeps that shell: it is process 1 of the test host and reaps the orphans there, which pytest would not.)


def why_not() -> str | None:
    """What keeps this computer from giving a test host; None when it can. Tried, not guessed: user and capabilities
    tell too little in containers and under security modules.
    """
    if sys.platform != "linux":
        return f"the test host is made of Linux namespaces, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "only root can make the test host (run `sudo .venv/bin/invoke test --only guest`)"
    for program in ("unshare", "nsenter", "ip", "mount"):
        if shutil.which(program) is None:
            return f"the program {program} is not installed"
    if is_chroot():
        return "this system is a chroot, and whoever joins a mount namespace is outside of it (setns(2))"
    try:
        with TestHost() as host:
            tried = subprocess.run(host.command(["true"]), capture_output=True, text=True, timeout=60, check=False)
    except OSError as error:
        return f"its control groups cannot be made: {error}"
    return None if tried.returncode == 0 else f"unshare does not work here: {tried.stderr.strip()}"


def is_chroot() -> bool:
    """Whether our root directory is another than our mount namespace's, which one gets by joining that once more.

    There pivot_root(2) changes the chroot only, so that `labkit exec` lands in the computer's own root: a test
    that writes to a container's /etc/passwd would write to that one. It was tried, by mistake.
    """
    root = Path("/").stat()
    command = ["nsenter", "--mount=/proc/self/ns/mnt", "stat", "--format=%d:%i", "/"]
    seen = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return seen.returncode == 0 and seen.stdout.strip() != f"{root.st_dev}:{root.st_ino}"


class TestHost:
    """``with TestHost() as host: subprocess.run(host.command([…]))``; root on Linux only, OSError elsewhere."""

    __test__ = False  # (pytest takes a class of this name for tests)

    def __init__(self, directories: Sequence[str] = OWN_DIRECTORIES) -> None:
        self._directories = [Path(directory) for directory in directories]
        self._made: list[Path] = []
        self._groups: list[Path] = []
        self._leaves: list[Path] = []
        self._name = f"{GROUP}{os.getpid()}-{next(_numbers)}"

    def __enter__(self) -> TestHost:
        try:
            for directory in self._directories:
                if not directory.exists():
                    directory.mkdir(parents=True)
                    self._made.append(directory)
            for kind, place in hierarchies(Path("/proc/self/mountinfo").read_text(encoding="utf-8")):
                remove_left_behind(place)
                self._make_group(kind, place)
        except OSError:
            self.__exit__()
            raise
        return self

    def _make_group(self, kind: str, place: Path) -> None:
        group = place / self._name
        group.mkdir(exist_ok=True)
        self._groups.append(group)
        if kind == "cgroup2":
            (group / LEAF).mkdir(exist_ok=True)
            self._leaves.append(group / LEAF)
        # A new cpuset of v1 is empty and takes no process before it has processors and memory nodes (cpuset(7)).
        for name in ("cpuset.cpus", "cpuset.mems"):
            if kind == "cgroup" and (group / name).exists():
                (group / name).write_text((place / name).read_text(encoding="ascii"), encoding="ascii")

    def __exit__(self, *_: object) -> None:
        for group in self._groups:
            remove_group(group)
        # Where a directory is removed that is a mount point in another mount namespace, what is mounted there goes with
        # it (since Linux 3.18; rmdir(2) says EBUSY of one's own only): another test host may be at work.
        others = any(any(group.parent.glob(f"{GROUP}*")) for group in self._groups)
        for directory in self._made:
            if others and str(directory) in OWN_DIRECTORIES:
                continue
            # Someone else may use it by now (`ip netns add` on this very computer): then it stays.
            with contextlib.suppress(OSError):
                directory.rmdir()

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that runs ``command`` in the test host and ends with its exit status."""
        words = {
            "groups": " ".join(f"'{group}'" for group in self._groups),
            "leaves": " ".join(f"'{leaf}'" for leaf in self._leaves),
            "directories": " ".join(f"'{directory}'" for directory in self._directories),
        }
        scripts = [script.format(**words) for script in (_ENTER_GROUPS, _ENTER_LEAVES, _FURNISH)]
        # Each script finds the rest of the line, beginning with the next script, in its "$@".
        line = ["sh", "-euc"]
        for script in scripts:
            line += [script, "test-host"]
        return [*line, *command]


def hierarchies(mountinfo: str) -> Iterator[tuple[str, Path]]:
    """The control group trees of proc_pid_mountinfo(5): ``cgroup`` or ``cgroup2``, and where each is mounted."""
    seen = set()
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        kind, place = after.split(" ")[0], before.split(" ")[4]
        if kind in ("cgroup", "cgroup2") and place not in seen:
            seen.add(place)
            yield kind, Path(place)


def remove_left_behind(place: Path) -> None:
    """Groups of test hosts whose run is over, which was killed then."""
    for group in place.glob(f"{GROUP}*"):
        number = group.name.removeprefix(GROUP).partition("-")[0]
        if number.isdigit() and not Path(f"/proc/{number}").exists():
            remove_group(group)


def remove_group(group: Path, patience: float = 5.0) -> None:
    """Remove a control group and all below it. Its processes are dead, and the kernel may still be burying them."""
    until = time.monotonic() + patience
    while group.exists():
        for place, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                Path(place).rmdir()
        if time.monotonic() > until:
            return
        time.sleep(0.05)
