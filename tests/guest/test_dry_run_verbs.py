"""The scripts of exec, stop and rm do what the commands do, by bash alone."""

from __future__ import annotations

import json
import subprocess

import pytest
from conftest import labkit, picture, wait_for

#: What a process can tell of itself, from inside.
ASK = (
    "grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status; ls -l /proc/self/ns | sed 's/.*-> //'; "
    "cat /proc/self/cgroup; env | sort; pwd; ls /; cat"
)


def bash(script: str, text: str = "") -> str:
    """Run a script; what it wrote."""
    done = subprocess.run(
        ["bash", "-c", script, "script"], input=text, text=True, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr + script
    return done.stdout


def _kept() -> dict[str, list[str]]:
    """The machine, but for the bookkeeping that the next command puts in order."""
    return {name: found for name, found in picture().items() if name not in ("files", "forwarding")}


def test_exec() -> None:
    labkit("run", "-d", "--name", "entered", "busybox", "sleep", "100")
    words = ["-i", "-e", "A=1 'x'", "-w", "/tmp", "entered", "sh", "-c", ASK]
    expected = labkit("exec", *words, text="typed\n").stdout
    assert "typed" in expected
    assert "CapBnd" in expected
    script = labkit("exec", "--dry-run", *words).stdout
    assert bash(script, "typed\n") == expected
    without_input = labkit("exec", "--dry-run", "entered", "cat").stdout
    assert bash(without_input, "typed\n") == ""


@pytest.mark.parametrize("force", [False, True])
def test_stop_and_rm(force: bool) -> None:
    labkit("run", "-d", "--name", "other", "busybox", "sleep", "100")  # so that the network stays
    before = _kept()
    labkit(
        *["run", "-d", "--name", "stopped", "-p", "6398:80", "--restart", "always", "--pids-limit", "20", "busybox"],
        *["sh", "-c", "trap 'exit 3' TERM; sleep 1000 & wait"],
    )
    assert wait_for(lambda: "sleep 1000" in labkit("top", "stopped").stdout), "all that a picture will have of it"
    here = picture()
    for words in (["stop", "--dry-run", "stopped"], ["rm", "-f", "--dry-run", "stopped"]):
        script = labkit(*words).stdout
    assert picture() == here, "a dry run changed something"
    bash(script if force else labkit("stop", "--dry-run", "stopped").stdout)
    assert wait_for(lambda: _kept() == before)
    known = {row["name"]: row["state"]["status"] for row in json.loads(labkit("ps", "-a", "--json").stdout)}
    assert known == {"other": "running"} if force else {"other": "running", "stopped": "exited"}
    if not force:
        bash(labkit("rm", "--dry-run", "stopped").stdout)
        assert labkit("ps", "-aq").stdout.count("\n") == 1


def test_rm_refuses_what_runs() -> None:
    labkit("run", "-d", "--name", "busy", "busybox", "sleep", "100")
    assert labkit("rm", "--dry-run", "busy", check=False).returncode == 5
    labkit("pause", "busy")
    bash(labkit("stop", "-t", "1", "--dry-run", "busy").stdout)
    assert "Exited (137)" in labkit("ps", "-a").stdout
