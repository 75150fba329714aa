"""kill -9 at every moment of a start, then ``labkit gc``: nothing is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import labkit, output, picture, processes, wait_for

KILLER = Path(__file__).parent / "dies_after.py"
START = ["run", "-d", "-p", "6390:6379", "-v", "/kept", "--name", "victim", "redis"]
#: More operations than a start has; the walk must come to its end before.
MANY = 300


def _start_and_die(who: str, count: int) -> int:
    command = [sys.executable, str(KILLER), who, str(count), *START]
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode


def _nobody_is_at_work() -> bool:
    """The shim of a killed command ends by itself; it is not gc's business to wait for it."""
    return not processes()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("who", ["command", "shim", "init"])
def test_kill_9_after_each_operation_leaves_nothing(who: str, stride: int) -> None:
    before = picture()
    walked = 0
    for count in range(1, MANY, stride):
        status = _start_and_die(who, count)
        if status == 0:
            break
        walked += 1
        assert wait_for(_nobody_is_at_work), f"{who} killed after operation {count}: {processes()}"
        labkit("gc", "-q")
        assert picture() == before, f"{who} was killed after operation {count}"
    else:
        pytest.fail("the walk did not come to its end")
    assert walked >= max(3, 15 // stride), "too few operations to be true"
    labkit("stop", "-t", "0", "victim")  # the last start was a whole one
    labkit("rm", "-v", "victim")


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("who", ["command", "shim", "init"])
def test_kill_9_in_the_start_of_a_container_that_is_there_leaves_it_as_it_was(who: str, stride: int) -> None:
    nothing = picture()
    labkit("create", "-p", "6390:6379", "--name", "victim", "busybox", "true")
    labkit("start", "-a", "victim")
    before = picture()
    walked = 0
    # Its operations are those of a first start, which dies after each of them above: fewer will do.
    for count in range(1, MANY, max(stride, 3)):
        command = [sys.executable, str(KILLER), who, str(count), "start", "-a", "victim"]
        status = subprocess.run(command, capture_output=True, timeout=60, check=False).returncode
        assert wait_for(_nobody_is_at_work), f"{who} killed after operation {count}: {processes()}"
        labkit("gc", "-q")
        assert picture() == before, f"{who} was killed after operation {count}"
        if status == 0:
            break
        walked += 1
    else:
        pytest.fail("the walk did not come to its end")
    assert walked >= (1 if stride > 1 else 3), "too few operations to be true"
    labkit("rm", "-v", "victim")
    assert picture() == nothing


@pytest.mark.timeout(900)
@pytest.mark.parametrize("who", ["remover", "stopper"])
def test_kill_9_while_it_is_taken_back_leaves_nothing(who: str, stride: int) -> None:
    """The command in ``rm``, the shim while it ends a --rm container: before each thing that is undone."""
    before = picture()
    walked = 0
    for count in range(1, MANY, stride):
        start = [word for word in START if word != "-d"]
        if who == "remover":
            labkit("run", "--network", "none", "--name", "victim", "busybox", "true")
            command = [sys.executable, str(KILLER), who, str(count), "rm", "victim"]
        else:
            command = [
                sys.executable,
                str(KILLER),
                who,
                str(count),
                *start[:1],
                "--rm",
                *start[1:-1],
                "busybox",
                "true",
            ]
        status = subprocess.run(command, capture_output=True, timeout=60, check=False).returncode
        assert wait_for(_nobody_is_at_work), processes()
        labkit("gc", "-q")
        assert picture() == before, f"{who} was killed before undo {count}"
        if status == 0:
            break
        walked += 1
    else:
        pytest.fail("the walk did not come to its end")
    assert walked >= (1 if stride > 1 else 3), "too few steps to be true"


def test_a_killed_shim_takes_its_container_with_it_at_the_next_command() -> None:
    before = picture()
    labkit("run", "-d", "-p", "6390:6379", "--name", "orphan", "redis")
    shims = [line for line in output("ps", "-eo", "pid,stat,comm").splitlines() if "labkit-shim" in line]
    (shim,) = [line.split()[0] for line in shims if line.split()[1][0] != "Z"]
    subprocess.run(["kill", "-9", shim], check=True)
    (line,) = labkit("ps", "-a").stdout.splitlines()[1:]
    assert "Exited (137)" in line
    labkit("rm", "orphan")
    assert picture() == before
