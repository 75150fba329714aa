"""The small verbs, on one container that runs."""

from __future__ import annotations

import json
import os

import pytest
from conftest import labkit

pytestmark = pytest.mark.anywhere


def test_port_and_diff() -> None:
    labkit("run", "-d", "--name", "small", "-p", "6399:80", "busybox", "sleep", "100")
    assert labkit("port", "small").stdout == "80/tcp -> 0.0.0.0:6399\n"
    assert labkit("port", "small", "80").stdout == "0.0.0.0:6399\n"
    assert labkit("port", "small", "81", check=False).returncode == 4
    script = "echo x > /new; mkdir /d; echo y > /d/f; rm /bin/vi; rm -r /tmp; mkdir /tmp; : > /tmp/t"
    labkit("exec", "small", "sh", "-c", script)
    running = labkit("diff", "small").stdout.splitlines()
    for line in ("A /new", "A /d", "A /d/f", "C /bin", "D /bin/vi", "A /tmp/t"):
        assert line in running, running
    labkit("stop", "-t", "0", "small")
    assert labkit("port", "small").stdout == ""
    assert [f"{row['kind']} {row['path']}" for row in json.loads(labkit("diff", "--json", "small").stdout)] == running


def test_explain() -> None:
    labkit("run", "-d", "--name", "told", "-p", "6399:80", "--pids-limit", "30", "busybox", "sleep", "100")
    (known,) = json.loads(labkit("inspect", "told").stdout)
    pid = known["state"]["pid"]
    found = json.loads(labkit("explain", "--json", "told").stdout)
    assert found["pid"] == pid
    commands = [(row["who"], row["command"]) for row in found["operations"]]
    assert ("host", f"ip netns add labkit-{known['id'][:12]}") in commands
    assert [row["undo"] for row in found["operations"] if row["command"].startswith("ip netns add")] == [
        f"ip netns delete labkit-{known['id'][:12]}"
    ]
    assert any(who == "init" and "pivot_root . ." in command for who, command in commands)
    own = {row["kind"] for row in found["namespaces"] if row["own"]}
    assert own == {"cgroup", "ipc", "mnt", "net", "pid", "uts"}
    for row in found["namespaces"]:
        assert os.readlink(f"/proc/{pid}/ns/{row['kind']}") == f"{row['kind']}:[{row['inode']}]"
    values = {os.path.basename(row["file"]): row["value"] for row in found["cgroup"]}
    assert values["pids.max"] == "30"
    assert values["cgroup.procs"] == str(pid)
    assert found["root"]["upper"] == known["upper"]
    assert found["root"]["lower"] == known["layers"]
    assert any(known["address"] in line for line in found["network"]["inside"])
    assert any("labkit0" in line for line in found["network"]["outside"])
    assert any("DNAT" in rule and "6399" in rule and rule.startswith("nat: [") for rule in found["rules"])
    assert found["process"]["pids"] == [pid, 1]
    assert "CAP_SYS_ADMIN" not in found["process"]["capabilities"]["CapBnd"]
    text = labkit("explain", "told").stdout
    assert f"ID={known['id']}\n" in text
    assert text.count(known["id"]) == 1
    labkit("update", "--pids-limit", "31", "told")
    assert '"value": "31"' in labkit("explain", "--json", "told").stdout
    labkit("stop", "-t", "0", "told")
    assert {row["when"] for row in json.loads(labkit("explain", "--json", "told").stdout)["operations"]} == {"create"}
    assert "It does not run" in labkit("explain", "told").stdout


def test_the_end_is_explained() -> None:
    labkit("run", "-d", "--name", "ended", "busybox", "sleep", "100")
    (known,) = json.loads(labkit("inspect", "ended").stdout)
    said = labkit("stop", "-t", "0", "--explain", "ended").stderr
    assert f"kill -KILL {known['state']['pid']}" in said
    assert f"shim             ip netns delete labkit-{known['id'][:12]}" in said
    said = labkit("rm", "--explain", "ended").stderr
    assert "ms  rm -r --one-file-system /var/lib/labkit/containers/$ID" in said
    assert "rm -f /var/lib/labkit/names/ended" in said
