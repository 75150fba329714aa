"""The small verbs, on one container that runs."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import subprocess

from conftest import labkit, wait_for
from programs import LABKIT

from labkit.runtime.network import definitions


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
    assert known["address"] in [address["address"] for address in found["network"]["inside"]["addresses"]]
    assert [link["bridge"] for link in found["network"]["outside"]["links"]] == ["labkit0"]
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


def test_top() -> None:
    labkit("run", "-d", "--name", "seen", "busybox", "sh", "-c", "sleep 100 & wait")
    assert wait_for(lambda: len(json.loads(labkit("top", "--json", "seen").stdout)) == 2)
    first, second = json.loads(labkit("top", "--json", "seen").stdout)
    assert (second["ppid"], second["command"]) == (first["pid"], "sleep 100")
    lines = labkit("top", "seen").stdout.splitlines()
    assert lines[0].split() == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    assert lines[2].split()[:3] == ["0", str(second["pid"]), str(first["pid"])]
    rows = labkit("top", "seen", "-eo", "pid,args").stdout.splitlines()
    assert sorted(int(row.split()[0]) for row in rows[1:]) == sorted([first["pid"], second["pid"]])
    assert labkit("top", "seen", "-eo", "args", check=False).returncode == 2
    labkit("stop", "-t", "0", "seen")
    assert labkit("top", "seen", check=False).returncode == 5


def test_rename() -> None:
    definitions.create("row")
    labkit("run", "-d", "--name", "old", "--network", "row", "busybox", "sleep", "100")
    labkit("run", "-d", "--name", "friend", "--network", "row", "busybox", "sleep", "100")
    assert labkit("rename", "old", "friend", check=False).returncode == 5
    assert labkit("rename", "old", "no/name", check=False).returncode == 2
    assert "ln -s" in labkit("rename", "--explain", "old", "new").stderr
    hosts = labkit("exec", "friend", "cat", "/etc/hosts").stdout
    assert "\tnew " in hosts
    assert "\told " not in hosts
    assert labkit("stop", "-t", "0", "old", check=False).returncode == 4
    labkit("run", "-d", "--name", "old", "busybox", "sleep", "100")
    labkit("stop", "-t", "0", "new")
    labkit("start", "new")
    labkit("rm", "-f", "new")
    assert sorted(os.listdir("/var/lib/labkit/names")) == ["friend", "old"]
    labkit("rm", "-f", "friend", "old")
    definitions.remove("row")


def test_stats_tell_of_the_network_and_go_on_at_a_terminal() -> None:
    labkit("run", "-d", "--name", "told", "busybox", "sleep", "100")
    labkit("exec", "told", "ping", "-c", "2", "10.77.0.1")
    (sample,) = json.loads(labkit("stats", "--json", "told").stdout)
    assert sample["network_sent_bytes"] >= 2 * 98, "two echo requests, each of 98 bytes with its Ethernet header"
    assert sample["network_received_bytes"] >= 2 * 98
    assert sample["disk_read_bytes"] >= 0
    master, slave = pty.openpty()
    watching = subprocess.Popen([*LABKIT, "stats", "told"], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    while seen.count(b"NET I/O") < 2:
        seen += os.read(master, 4096)
    labkit("rm", "-f", "told")
    with contextlib.suppress(OSError):  # EIO: nobody has the other end any more
        while os.read(master, 4096):
            pass
    os.close(master)
    assert watching.wait(20) == 0, "it ends with the last that was named"


def test_prune_info_and_version() -> None:
    labkit("run", "-d", "--name", "alive", "busybox", "sleep", "100")
    labkit("run", "--name", "dead", "busybox", "true")
    labkit("create", "--name", "unborn", "busybox", "true")
    info = json.loads(labkit("info", "--json").stdout)
    assert (info["containers"]["running"], info["containers"]["exited"], info["containers"]["created"]) == (1, 1, 1)
    assert "overlay" in info["storage_drivers"]
    assert "labkit0" in info["networks"]
    assert "pids" in info["cgroups"]["controllers"]
    assert "1 running, 1 created, 1 exited" in labkit("info").stdout
    assert labkit("version").stdout.startswith("labkit")
    assert labkit("prune", text="n\n", check=False).returncode == 1
    assert len(labkit("prune", text="y\n").stdout.split()) == 2
    assert labkit("prune", "-f").stdout == ""
    assert [row["name"] for row in json.loads(labkit("ps", "-a", "--json").stdout)] == ["alive"]
