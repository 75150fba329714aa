"""A container's life by labkit-oci's commands: states, what is refused in which, and what a killed command leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import wait_for
from runtime import Runtime


def test_from_created_to_deleted(oci: Runtime) -> None:
    oci.bundle.config["annotations"] = {"org.example.key": "value"}
    oci.runs("echo it runs; exec sleep 1000")
    oci.make("--pid-file", str(oci.bundle.directory / "pid"))
    state = oci.state()
    pid = int((oci.bundle.directory / "pid").read_text())
    assert (state["status"], state["pid"], state["id"]) == ("created", pid, oci.id)
    assert (state["ociVersion"], state["annotations"]) == ("1.2.0", {"org.example.key": "value"})
    assert (state["bundle"], state["rootfs"]) == (str(oci.bundle.directory), str(oci.bundle.rootfs))
    assert "it runs" not in oci.output()
    oci("start", oci.id)
    assert oci.status() == "running"
    assert wait_for(lambda: oci.output() == "it runs\n")
    assert oci.refusal("delete", oci.id) == f"cannot delete container {oci.id} that is not stopped: running"
    assert oci.refusal("start", oci.id) == "cannot start an already running container"
    oci("kill", oci.id, "KILL")
    assert wait_for(lambda: oci.status() == "stopped")
    assert oci.state()["pid"] == 0
    assert oci.refusal("kill", oci.id) == "container not running"
    oci("kill", "--all", oci.id, "KILL")  # all that are left, which are none
    assert oci.refusal("start", oci.id) == "cannot start a container that has stopped"
    oci("delete", oci.id)
    assert oci.refusal("state", oci.id) == "container does not exist"
    assert os.listdir(oci.root) == []


def test_an_id_is_taken_once_and_the_first_container_is_unharmed(oci: Runtime) -> None:
    oci.runs("sleep 1000")
    oci.make()
    before = oci.state()
    assert "already exists" in oci.refusal("create", "--bundle", str(oci.bundle.directory), oci.id)
    assert oci.state() == before


def test_what_changes_in_the_bundle_after_create_means_nothing(oci: Runtime) -> None:
    oci.runs("echo first")
    oci.make()
    oci.process["args"] = ["echo", "second"]
    oci.write()
    oci("start", oci.id)
    assert wait_for(lambda: oci.output() == "first\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_a_created_container_can_be_killed(oci: Runtime, number: int) -> None:
    oci.make()
    oci("kill", oci.id, str(number))
    assert wait_for(lambda: oci.status() == "stopped")
    oci("delete", oci.id)


def test_a_created_container_can_be_deleted(oci: Runtime) -> None:
    oci.make()
    pid = oci.state()["pid"]
    oci("delete", oci.id)
    assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("exec /bin/false", 1)])
def test_run_ends_as_its_program_does_and_leaves_nothing(oci: Runtime, script: str, status: int) -> None:
    oci.runs(script)
    oci.write()
    done = oci.attempt("run", "--bundle", str(oci.bundle.directory), oci.id)
    assert (done.returncode, os.listdir(oci.root)) == (status, [])


def test_run_passes_signals_on(oci: Runtime) -> None:
    oci.runs("trap 'exit 33' TERM; echo ready; while :; do sleep 0.1; done")
    oci.write()
    command = [*oci.command, "run", "--bundle", str(oci.bundle.directory), oci.id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.terminate()
        assert running.wait(30) == 33
    assert os.listdir(oci.root) == []


def test_run_detached_and_kept(oci: Runtime) -> None:
    oci.runs("sleep 1000")
    oci.make("--detach", command="run")
    assert oci.status() == "running"
    (entry,) = json.loads(oci("list", "--format", "json"))
    assert (entry["id"], entry["status"], entry["owner"]) == (oci.id, "running", "root")
    assert oci("list", "--quiet") == f"{oci.id}\n"
    heading, row = oci("list").splitlines()
    assert heading.split() == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert row.split()[:3] == [oci.id, str(entry["pid"]), "running"]


def test_pause_and_resume(oci: Runtime) -> None:
    oci.runs("while :; do echo x; sleep 0.05; done")
    oci.make("--detach", command="run")
    assert wait_for(lambda: "x" in oci.output())
    oci("pause", oci.id)
    assert oci.status() == "paused"
    frozen = oci.output()
    time.sleep(0.3)
    assert oci.output() == frozen
    assert oci.refusal("start", oci.id) == "cannot start a container in the paused state"
    assert oci.attempt("exec", oci.id, "true").returncode == 255
    oci("resume", oci.id)
    assert wait_for(lambda: oci.output() != frozen)
    assert oci.refusal("resume", oci.id) == "container not paused"


def test_several_are_deleted_by_a_regular_expression(oci: Runtime) -> None:
    first = oci.id
    for number in range(2):
        oci.id = f"{first}-{number}"
        oci.bundle.config["linux"]["cgroupsPath"] = f"/labkit/{oci.id}"
        oci.runs("sleep 1000")
        oci.make("--detach", command="run")
    refused = oci.attempt("delete", "--regex", f"^{first}-[0-9]$")
    assert (refused.returncode, refused.stderr.count("that is not stopped: running")) == (1, 2)
    oci("delete", "--regex", "no such")
    assert oci.refusal("delete", "--regex", "[") == "invalid regular expression: ["
    oci("delete", "--force", "--regex", "1$")
    assert oci("list", "--quiet").split() == [f"{first}-0"]
    for broken in ("broken", "other"):
        (oci.root / broken).mkdir()
        (oci.root / broken / "state.json").write_text("{")
    oci("delete", "--force", "--regex", f"{first}|broken")
    assert os.listdir(oci.root) == ["other"]


def test_a_paused_container_is_killed_and_deleted(oci: Runtime) -> None:
    oci.runs("sleep 1000")
    oci.make("--detach", command="run")
    oci("pause", oci.id)
    oci("kill", oci.id, "KILL")
    assert wait_for(lambda: oci.status() == "stopped")
    oci("delete", oci.id)


def test_limits_are_changed_and_shown(oci: Runtime) -> None:
    oci.runs("while :; do sleep 0.1; done")
    oci.bundle.config["linux"]["resources"]["pids"] = {"limit": 50}
    oci.make("--detach", command="run")
    oci("update", "--pids-limit", "33", oci.id)
    data = json.loads(oci("events", "--stats", oci.id))
    assert (data["type"], data["id"]) == ("stats", oci.id)
    assert data["data"]["pids"]["limit"] == 33
    assert data["data"]["cpu"]["usage"]["total"] > 0
    assert "invalid value for pids-limit" in oci.refusal("update", "--pids-limit", "many", oci.id)
    pids = json.loads(oci("ps", "--format", "json", oci.id))
    assert oci.state()["pid"] in pids
    assert str(pids[0]) in oci("ps", oci.id, "-eo", "pid,args")


def test_limits_are_changed_under_the_names_that_they_have(oci: Runtime) -> None:
    """As Go's decoder they are read in any capitals: beside a second ``linux`` the first would not count any more."""
    config = oci.bundle.config
    config["Linux"] = linux = config.pop("linux")
    linux["Resources"] = {**linux.pop("resources"), "pids": {"limit": 50}}
    linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO"}],
    }
    oci.runs("sleep 1000")
    oci.make("--detach", command="run")
    oci("update", "--memory", "64m", oci.id)
    written = json.loads((oci.root / oci.id / "config.json").read_text())
    assert "linux" not in written
    assert written["Linux"]["Resources"]["pids"] == {"limit": 50}
    assert written["Linux"]["Resources"]["memory"] == {"limit": 64 << 20}
    assert "resources" not in written["Linux"]
    assert "Operation not permitted" in oci.attempt("exec", oci.id, "mkdir", "/tmp/made").stderr


def test_without_a_pid_namespace_everybody_is_killed(oci: Runtime) -> None:
    oci.bundle.without("pid")
    oci.runs("sleep 1234 & exec sleep 1000")
    oci.make("--detach", command="run")
    assert wait_for(lambda: len(json.loads(oci("ps", "--format", "json", oci.id))) == 2)
    pids = json.loads(oci("ps", "--format", "json", oci.id))
    oci("delete", "--force", oci.id)
    assert wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))


def test_what_is_refused_has_no_end_for_its_hooks(oci: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has the group of another container, whose processes it might even end."""
    oci.runs("sleep 1000")
    oci.make("--detach", command="run")
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"touch {oci.bundle.directory}/hooked"]}
    oci.bundle.config["hooks"] = {"poststop": [hook]}
    oci.write()
    monkeypatch.setenv("NOTIFY_SOCKET", "/no/such")
    done = oci.attempt("--debug", "create", "--bundle", str(oci.bundle.directory), "second")
    assert (done.returncode, "container's cgroup is not empty" in done.stderr) == (1, True)
    assert len(done.stderr.splitlines()) == 3, f"the command, a sentence and its hint; but:\n{done.stderr}"
    assert not (oci.bundle.directory / "hooked").exists()
    assert os.listdir(oci.root) == [oci.id]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"process": {"args": ["/nowhere"], "cwd": "/"}}, 'exec: "/nowhere": stat /nowhere: no such file or directory'),
        ({"process": {"args": ["nowhere"], "cwd": "/"}}, 'exec: "nowhere": executable file not found in $PATH'),
        ({"process": {"args": ["true"], "cwd": "/proc/self/fd/0"}}, "is not followed"),
        ({"mounts": [{"destination": "/x", "type": "nothing", "source": "x"}]}, "mount"),
        ({"linux": {"intelRdt": {"closID": "x"}}}, "labkit does not support linux.intelRdt"),
    ],
)
def test_what_cannot_be_created_leaves_nothing(oci: Runtime, change: dict[str, object], sentence: str) -> None:
    oci.bundle.config.update(change)
    oci.write()
    assert sentence in oci.refusal("create", "--bundle", str(oci.bundle.directory), oci.id)
    assert not oci.root.exists() or os.listdir(oci.root) == []


def test_only_the_descriptors_that_are_asked_for_reach_the_program(oci: Runtime) -> None:
    for name in (3, 4, 5):
        descriptor = os.open("/etc/passwd", os.O_RDONLY)
        os.dup2(descriptor, name + 40, inheritable=True)
        os.close(descriptor)
    oci.runs("ls /proc/self/fd")
    oci.write()
    script = f"exec 3</etc/passwd 4</etc/passwd 5</etc/passwd; exec {' '.join(oci.command)} run --preserve-fds 2 "
    done = subprocess.run(
        ["bash", "-c", f"{script} --bundle {oci.bundle.directory} {oci.id}"],
        capture_output=True,
        text=True,
        timeout=60,
        pass_fds=(43, 44, 45),
        check=True,
    )
    for name in (43, 44, 45):
        os.close(name)
    # ls itself has the directory open, as the first number that is free.
    assert done.stdout.split() == ["0", "1", "2", "3", "4", "5"]
    assert "unable to stat preserved-fd" in oci.refusal("create", "--preserve-fds", "9", oci.id)


def test_a_session_keyring_of_its_own(oci: Runtime) -> None:
    if not os.path.exists("/proc/keys"):
        pytest.skip("this kernel has no keys (CONFIG_KEYS)")
    oci.bundle.config["linux"]["maskedPaths"] = []
    oci.runs("cat /proc/keys")
    oci.write()
    assert f"_ses.{oci.id}" in oci("run", "--bundle", str(oci.bundle.directory), oci.id)
    # Another name: the kernel collects a keyring that nobody has any more in its own time (security/keys/gc.c),
    # so that the first container's is still listed now and then.
    other = f"{oci.id}-other"
    assert f"_ses.{other}" not in oci("run", "--no-new-keyring", "--bundle", str(oci.bundle.directory), other)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05, 0.1, 0.2, 0.4])
def test_a_killed_create_leaves_what_delete_takes_away(oci: Runtime, delay: float) -> None:
    oci.runs("sleep 1000")
    oci.write()
    command = [*oci.command, "create", "--bundle", str(oci.bundle.directory), oci.id]
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as creating:  # type: ignore[call-overload]
        wait_for((oci.root / oci.id).exists, 30)
        time.sleep(delay)
        creating.kill()
    time.sleep(0.2)
    oci("delete", "--force", oci.id)
    assert os.listdir(oci.root) == []


def test_containers_side_by_side(oci: Runtime, tmp_path: Path) -> None:
    """Eight at once, from create to delete, on a root that does not exist yet."""
    script = f"""
set -e
labkit() {{ {" ".join(oci.command)} "$@"; }}
labkit create --bundle {oci.bundle.directory} "$1" < /dev/null > {tmp_path}/"$1".txt 2>&1
labkit start "$1"; labkit kill "$1" KILL || true
until labkit delete "$1" 2>/dev/null; do sleep 0.05; done
"""
    oci.runs("sleep 1000")
    oci.bundle.config["linux"]["cgroupsPath"] = ""
    oci.write()
    started = [subprocess.Popen(["bash", "-c", script, "sh", f"{oci.id}-{number}"]) for number in range(8)]
    assert [process.wait(120) for process in started] == [0] * 8
    assert os.listdir(oci.root) == []
