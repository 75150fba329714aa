"""kill -9 of labkit-oci and of its first process at every operation: ``delete --force`` takes all of it back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import picture, wait_for
from runtime import Runtime

KILLER = Path(__file__).parent / "oci_dies_after.py"
MANY = 300

pytestmark = pytest.mark.timeout(1500)


def _die(oci: Runtime, who: str, count: int, *words: str) -> int:
    command = [sys.executable, str(KILLER), who, str(count), "--root", str(oci.root), "--debug", *words]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(command, timeout=60, check=False, **streams).returncode


def _limit(oci: Runtime) -> None:
    oci.bundle.config["linux"]["resources"] |= {"pids": {"limit": 30}, "cpu": {"shares": 512}}
    oci.runs("sleep 100")
    oci.write()


@pytest.mark.parametrize("command", ["create", "run"])
@pytest.mark.parametrize("who", ["command", "init"])
def test_a_start_that_is_cut_short(oci: Runtime, who: str, command: str, stride: int) -> None:
    _limit(oci)
    before = picture()
    words = [command, *(["--detach"] if command == "run" else []), "--bundle", str(oci.bundle.directory), oci.id]
    walked = 0
    for count in range(1, MANY, stride):
        status = _die(oci, who, count, *words)
        oci.attempt("delete", "--force", oci.id)
        assert not (oci.root / oci.id).exists(), count
        assert wait_for(lambda: picture() == before), f"{who} was killed after operation {count}"
        if status == 0:
            break
        walked += 1
    else:
        pytest.fail("the walk did not come to its end")
    assert walked >= 2


@pytest.mark.parametrize("command", ["start", "delete", "kill", "pause", "exec"])
def test_other_commands_that_are_cut_short(oci: Runtime, command: str) -> None:
    """Killed at any of its operations, or right at its beginning, the container can still be deleted."""
    _limit(oci)
    before = picture()
    more = {"kill": ["KILL"], "exec": ["true"]}.get(command, [])
    for count in range(1, MANY):
        oci.make()
        if command in ("kill", "pause", "exec"):
            oci("start", oci.id)
        force = ["--force"] if command == "delete" else []
        status = _die(oci, "init" if command == "start" else "command", count, command, *force, oci.id, *more)
        oci.attempt("delete", "--force", oci.id)
        assert not (oci.root / oci.id).exists(), count
        assert wait_for(lambda: picture() == before), f"{command} was killed after operation {count}"
        if status >= 0:
            break
    else:
        pytest.fail("the walk did not come to its end")


def _limits(oci: Runtime) -> list[str]:
    """What the kernel has: two files that version 1 and version 2 call by different names."""
    found = []
    for place, _, names in os.walk("/sys/fs/cgroup"):
        if place.endswith(oci.bundle.config["linux"]["cgroupsPath"]):
            found += [
                Path(place, name).read_text() for name in ("cpu.shares", "cpu.weight", "pids.max") if name in names
            ]
    return found


def test_after_a_killed_update_the_next_one_begins_where_that_one_began(oci: Runtime) -> None:
    _limit(oci)
    before = picture()
    oci.make()
    limits = _limits(oci)
    assert len(limits) >= 2
    for count in range(1, MANY):
        status = _die(oci, "command", count, "update", "--pids-limit", "40", "--cpu-share", "256", oci.id)
        if status == 0:
            break
        oci("update", "--pids-limit", "30", oci.id)
        assert _limits(oci) == limits, f"killed after operation {count}"
    assert count > 1, "too few operations to be true"
    assert _limits(oci) != limits
    oci("delete", "--force", oci.id)
    assert wait_for(lambda: picture() == before)
