"""The script of a dry run makes the same container, by bash alone."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import ask_redis, labkit, output, picture, wait_for

START = ["run", "--dry-run", "-d", "-p", "6391:6379", "--pids-limit", "50", "--name", "scripted", "redis"]


def _pid_of(script: str) -> int:
    """The container's first process: the one in the cgroup that has pid 1 in its namespace."""
    container_id = next(word for word in script.split() if len(word) == 64 and word.isalnum())
    for path in Path("/sys/fs/cgroup").rglob(f"labkit/{container_id}/cgroup.procs"):
        for pid in path.read_text().split():
            status = Path(f"/proc/{pid}/status").read_text()
            if any(line.startswith("NSpid") and line.split()[-1] == "1" for line in status.splitlines()):
                return int(pid)
    pytest.fail("no process with pid 1 in the container's cgroup")


def _properties(pid: int) -> dict[str, object]:
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    mounts = [line.split(" ") for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
    kinds = ("pid", "mnt", "uts", "ipc", "net", "cgroup", "user")
    return {
        "own namespaces": [
            kind for kind in kinds if os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
        ],
        "capabilities": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")],
        "ids": (status["Uid"], status["Gid"], status["Groups"].strip()),
        "mounts": [(fields[4], fields[5], fields[fields.index("-") + 1]) for fields in mounts],
        "arguments": Path(f"/proc/{pid}/exe").resolve().name,
        "directory": os.readlink(f"/proc/{pid}/cwd"),
        "limit": next(path.read_text() for path in Path("/sys/fs/cgroup").rglob("labkit/*/pids.max")),
        "inside": sorted(os.listdir(f"/proc/{pid}/root/dev")),
    }


def test_the_script_makes_an_equivalent_container(tmp_path: Path) -> None:
    before = picture()
    labkit(*[word for word in START if word != "--dry-run"])
    (known,) = json.loads(labkit("inspect", "scripted").stdout)
    expected = _properties(known["state"]["pid"])
    labkit("rm", "-f", "scripted")
    assert wait_for(lambda: picture() == before)

    script = labkit(*START).stdout
    assert picture() == before, "a dry run changed something"
    path = tmp_path / "start.sh"
    path.write_text(script)
    done = subprocess.run(["bash", str(path)], capture_output=True, text=True, timeout=120, check=False)
    try:
        assert done.returncode == 0, done.stderr
        assert wait_for(lambda: "PONG" in ask_redis("127.0.0.1", 6391, "PING"))
        pid = _pid_of(script)
        assert _properties(pid) == expected
    finally:
        undone = subprocess.run(["bash", str(path), "undo"], capture_output=True, text=True, timeout=120, check=False)
        # "ip netns add" mounts /run/netns on itself where it is no mount yet (ip-netns(8)), and leaves it so.
        for point in reversed(picture()["mounts"]):
            if point not in before["mounts"]:
                assert point == "/run/netns", undone.stderr
                output("umount", point)
    assert wait_for(lambda: picture() == before), undone.stderr


def test_a_dry_run_is_checked_like_a_run() -> None:
    assert labkit("run", "--dry-run", "-p", "x:1", "redis", check=False).returncode == 125
    assert labkit("run", "--dry-run", "no-such-image", check=False).returncode == 125


def test_the_script_is_valid_for_the_shell() -> None:
    script = labkit(*START).stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert script.startswith("#!/bin/bash\n# labkit ")
