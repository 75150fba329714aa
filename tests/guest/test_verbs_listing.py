"""ps, inspect and logs: what is chosen, and how it is shown."""

from __future__ import annotations

import json
import time

from conftest import labkit


def names(*words: str) -> list[str]:
    return labkit("ps", "--format", "{{.Names}}", *words).stdout.split()


def test_ps() -> None:
    labkit("run", "-d", "--name", "web", "-p", "6399:80", "busybox", "sleep", "100")
    labkit("run", "--name", "failed", "busybox", "sh", "-c", "echo 0123456789 > /file; exit 3", check=False)
    labkit("create", "--name", "unborn", "--network", "none", "busybox", "true")
    assert names() == ["web"]
    assert names("-a") == ["web", "failed", "unborn"]
    assert names("-l") == ["unborn"]
    assert names("-n", "2") == ["failed", "unborn"]
    for wanted, found in {
        "status=exited": ["failed"],
        "exited=3": ["failed"],
        "exited=0": [],
        "name=e": ["web", "failed"],
        "ancestor=busybox": ["web", "failed", "unborn"],
        "ancestor=redis": [],
        "network=none": ["unborn"],
        "network=labkit0": ["web", "failed"],
        "publish=6399": ["web"],
        "publish=80": [],
        "before=failed": ["web"],
        "since=web": ["failed", "unborn"],
    }.items():
        assert names("-a", "-f", wanted) == found, wanted
    assert names("-f", "status=exited", "-f", "status=created") == ["failed", "unborn"]
    assert names("-f", "status=exited", "-f", "name=web") == []
    assert labkit("ps", "-f", "since=nobody", check=False).returncode == 4
    whole = labkit("ps", "-q", "--no-trunc").stdout.strip()
    assert len(whole) == 64
    assert names("-f", f"id={whole[:5]}") == ["web"]
    assert labkit("ps", "-a", "-s").stdout.splitlines()[0].endswith("SIZE")
    assert labkit("ps", "--format", r"table {{.ID}}\t{{.Ports}}").stdout.splitlines()[1] == (
        f"{whole[:12]}   0.0.0.0:6399->80/tcp"
    )
    for wrong in (["-f", "x=y"], ["-f", "status=odd"], ["-f", "name"], ["--format", "{{.None}}"], ["-n", "x"]):
        assert labkit("ps", *wrong, check=False).returncode == 2, wrong


def test_inspect() -> None:
    labkit("run", "-d", "--name", "looked", "--pids-limit", "20", "busybox", "sleep", "100")
    (known,) = json.loads(labkit("inspect", "looked").stdout)
    words = "{{.State.Status}} {{.State.Pid}} {{.NetworkSettings.IPAddress}} {{.HostConfig.PidsLimit}} {{.name}}"
    said = labkit("inspect", "-f", words, "looked").stdout
    assert said == f"running {known['state']['pid']} {known['address']} 20 looked\n"
    assert labkit("inspect", "--type", "image", "looked", check=False).returncode == 4
    assert labkit("inspect", "--type", "container", "busybox", check=False).returncode == 4
    assert labkit("inspect", "--type", "image", "--format", "{{.reference}}", "busybox").stdout.startswith("busybox")
    # By its name, its id, and the beginning of its id.
    for word in (known["id"], known["id"][:12], known["id"][:4]):
        assert labkit("inspect", "-f", "{{.Name}}", word).stdout == "/looked\n"
    for word in ("x/../looked", "..", "", known["id"][:1]):
        assert labkit("inspect", "--type", "container", word, check=False).returncode == 4


def test_logs() -> None:
    began = time.time()
    labkit("run", "--name", "wrote", "busybox", "sh", "-c", "echo one; sleep 1; echo two")
    first, second = labkit("logs", "-t", "wrote").stdout.splitlines()
    assert first.endswith("Z one")
    assert second > first
    assert labkit("logs", "--since", second.split()[0], "wrote").stdout == "two\n"
    assert labkit("logs", "--until", first.split()[0][:-4] + "Z", "wrote").stdout in ("", "one\n")
    assert labkit("logs", "--until", f"{began - 5}", "wrote").stdout == ""
    assert labkit("logs", "--since", "10m", "--tail", "1", "wrote").stdout == "two\n"
    assert labkit("logs", "--tail", "all", "wrote").stdout == "one\ntwo\n"
    assert labkit("logs", "--since", "never", "wrote", check=False).returncode == 2
    assert labkit("logs", "--tail", "-1", "wrote", check=False).returncode == 2
