"""The script of a dry run makes the same container, by bash alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


#: labkit, but that its containers get no default route.
WITHOUT_A_ROUTE = """
import sys
from labkit.runtime.cli.main import main
from labkit.runtime.engine.net import networking
whole = networking.operations
networking.operations = lambda container: [
    done for done in whole(container) if type(done).__name__ != "AddDefaultRoute"
]
sys.exit(main())
"""


def test_what_is_taken_out_of_the_list_is_missing_in_the_script_and_in_the_start() -> None:
    """There is one list of operations, and both come from it."""
    words = ["-p", "6392:80", "--rm", "busybox", "ip", "route"]
    less = [sys.executable, "-c", WITHOUT_A_ROUTE, "run"]
    whole, without = labkit("run", "--dry-run", *words).stdout, output(*less, "--dry-run", *words)
    assert "route add default" in whole
    assert "route add default" not in without
    assert len(without.splitlines()) == len(whole.splitlines()) - 1
    assert "default via" in labkit("run", *words).stdout
    started = output(*less, *words)
    assert "10.77.0.0" in started
    assert "default via" not in started


def test_a_dry_run_is_checked_like_a_run() -> None:
    assert labkit("run", "--dry-run", "-p", "x:1", "redis", check=False).returncode == 125
    assert labkit("run", "--dry-run", "no-such-image", check=False).returncode == 125


def test_the_script_is_valid_for_the_shell() -> None:
    script = labkit(*START).stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert script.startswith("#!/bin/bash\n# labkit ")
