"""The script of a dry run makes the same container, by bash alone."""

from __future__ import annotations

import json
import os
import subprocess
import time
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


def _take_back(before: dict[str, list[str]]) -> None:
    """What the script made, by the same tools: labkit knows nothing of it."""
    for name in set(picture()["namespaces"]) - set(before["namespaces"]):
        output("ip", "netns", "delete", name)
    # Also /run/netns, which "ip netns add" mounts on itself where it is no mount yet (ip-netns(8)).
    for point in reversed(picture()["mounts"]):
        if point not in before["mounts"]:
            output("umount", "-l", point)
    for table in ("raw", "nat", "filter"):
        for rule in output("iptables", "-t", table, "-S").splitlines():
            if rule.startswith("-A") and ("labkit0" in rule or "LABKIT" in rule):
                subprocess.run(["iptables", "-t", table, "-D", *rule.split()[1:]], check=True)
        if table != "raw":
            subprocess.run(["iptables", "-t", table, "-F", "LABKIT"], check=True)
            subprocess.run(["iptables", "-t", table, "-X", "LABKIT"], check=True)
    output("ip", "link", "delete", "labkit0")
    Path("/proc/sys/net/ipv4/ip_forward").write_text(before["forwarding"][0])
    for path in sorted(set(picture()["cgroups"]) - set(before["cgroups"]), reverse=True):
        for place, _, _ in os.walk(path, topdown=False):
            os.rmdir(place)
    subprocess.run(
        "rm -rf /run/labkit/networks /run/labkit/containers /var/lib/labkit/containers/* /var/lib/labkit/names/*",
        shell=True,
        check=True,
    )


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
        subprocess.run(["kill", "-9", str(_pid_of(script))], check=True)
        time.sleep(0.3)
        _take_back(before)


def test_a_dry_run_is_checked_like_a_run() -> None:
    assert labkit("run", "--dry-run", "-p", "x:1", "redis", check=False).returncode == 125
    assert labkit("run", "--dry-run", "no-such-image", check=False).returncode == 125


def test_the_script_is_valid_for_the_shell() -> None:
    script = labkit(*START).stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0
    assert script.startswith("#!/bin/bash\n# labkit ")
