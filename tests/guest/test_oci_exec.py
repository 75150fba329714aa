"""A second process beside a container's first one: where it is, who it is, and what it is not given."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import wait_for
from runtime import Runtime

from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import here


@pytest.fixture
def running(oci: Runtime) -> Runtime:
    """A container that sleeps."""
    oci.runs("sleep 1000")
    oci.process["env"].append("FROM=config")
    oci.make("--detach", command="run")
    return oci


def test_it_is_in_the_containers_namespaces_and_group(running: Runtime) -> None:
    first = running.state()["pid"]
    pid_file = running.bundle.directory / "exec.pid"
    words = [*running.command, "exec", "--detach", "--pid-file", str(pid_file), running.id, "sleep", "500"]
    quiet = subprocess.DEVNULL  # a pipe would stay open as long as it runs
    subprocess.run(words, stdin=quiet, stdout=quiet, timeout=60, check=True)
    second = int(pid_file.read_text())
    for kind in ("pid", "mnt", "uts", "ipc", "net", "cgroup"):
        assert os.readlink(f"/proc/{second}/ns/{kind}") == os.readlink(f"/proc/{first}/ns/{kind}")
    assert Path(f"/proc/{second}/cgroup").read_text() == Path(f"/proc/{first}/cgroup").read_text()
    assert second in json.loads(running("ps", "--format", "json", running.id))


@pytest.mark.parametrize("status", [0, 1, 42, 255])
def test_its_exit_status_is_ours(running: Runtime, status: int) -> None:
    assert running.attempt("exec", running.id, "sh", "-c", f"exit {status}").returncode == status


def test_the_command_line_changes_the_containers_process(running: Runtime) -> None:
    words = ["--cwd", "/tmp", "--env", "NEW=1", "--user", "12:34", "--additional-gids", "56"]
    said = running("exec", *words, running.id, "sh", "-c", "pwd; echo $NEW $FROM; id -u; id -g; id -G")
    assert said.split("\n")[:4] == ["/tmp", "1 config", "12", "34"]
    assert set(said.split("\n")[4].split()) == {"34", "56"}


def test_a_process_file_is_taken_as_it_is(running: Runtime, tmp_path: Path) -> None:
    file = tmp_path / "process.json"
    file.write_text(
        json.dumps(
            {
                "args": ["sh", "-c", "grep -E 'CapEff|NoNewPrivs' /proc/self/status; ulimit -n; umask"],
                "env": ["PATH=/bin"],
                "cwd": "/",
                "user": {"uid": 0, "gid": 0, "umask": 0o77},
                "noNewPrivileges": True,
                "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}],
            }
        )
    )
    lines = running("exec", "--process", str(file), running.id).split()
    assert lines == ["CapEff:", "0" * 16, "NoNewPrivs:", "1", "77", "0077"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere"], 'exec failed: exec: "nowhere": executable file not found in $PATH'),
        (["/etc"], "exec failed: exec: "),
        ([], "process args cannot be empty"),
    ],
)
def test_what_cannot_be_executed_is_255_and_a_sentence(running: Runtime, words: list[str], sentence: str) -> None:
    done = running.attempt("--log-format", "json", "exec", running.id, *words)
    assert done.returncode == 255
    assert sentence in json.loads(done.stderr.splitlines()[0])["msg"]


def test_where_there_is_no_proc_the_log_still_tells_of_each_step(oci: Runtime) -> None:
    oci.bundle.config["mounts"] = []
    oci.bundle.config["linux"].update(maskedPaths=[], readonlyPaths=[])
    oci.runs("sleep 1000")
    oci.make("--detach", command="run")
    done = oci.attempt("--debug", "exec", oci.id, "echo", "reached")
    assert done.stdout == "reached\n", done.stderr
    path = oci.bundle.config["linux"]["cgroupsPath"]
    assert all(f"echo $$ > {place}/" in done.stderr for place in group.directories(path, here())), done.stderr


def test_a_group_below_the_containers_own(running: Runtime) -> None:
    path = running.bundle.config["linux"]["cgroupsPath"]
    for place in group.directories(path, here()):
        Path(place, "below").mkdir()
        for name in ("cpuset.cpus", "cpuset.mems"):  # v1's takes no process while they are empty
            if Path(place, name).exists() and here().v1:
                Path(place, "below", name).write_text(Path(place, name).read_text())
    lines = running("exec", "--cgroup", "below", running.id, "cat", "/proc/1/cgroup", "/proc/self/cgroup").splitlines()
    assert all(line.endswith("/below") for line in lines[len(lines) // 2 :]), lines
    done = [running.attempt("exec", "--cgroup", word, running.id, "true") for word in ("..", "nowhere", "nothing:/")]
    assert [one.returncode for one in done] == [255, 255, 255]
    for one, sentence in zip(done, ("bad sub cgroup path", "no such file or directory", "unknown controller nothing")):
        assert sentence in one.stderr


@pytest.mark.skipif("memory" not in here().v1, reason="this machine's memory controller is v2's")
def test_a_group_in_the_tree_of_one_controller(running: Runtime) -> None:
    path = running.bundle.config["linux"]["cgroupsPath"]
    Path(here().v1["memory"] + path, "below").mkdir()
    lines = running("exec", "--cgroup", "memory:below", running.id, "cat", "/proc/self/cgroup").splitlines()
    assert [line.split(":")[1] for line in lines if line.endswith("/below")] == ["memory"]


def test_a_stopped_container_takes_none(running: Runtime) -> None:
    running("kill", running.id, "9")
    assert wait_for(lambda: running.status() == "stopped")
    done = running.attempt("exec", running.id, "true")
    assert (done.returncode, "cannot exec in a stopped container" in done.stderr) == (255, True)


def test_no_descriptor_of_the_hosts_is_left_to_it(running: Runtime) -> None:
    script = f"exec 3</etc/passwd 7</; {' '.join(running.command)} exec {running.id} ls /proc/self/fd"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0", "1", "2", "3"]  # the last is the directory that ls reads


def test_nobody_in_the_container_sees_who_joins(running: Runtime) -> None:
    """A watcher inside looks for a process whose program is not one of the container's. (The last 143 bytes before it
    lie in memory: kernel/trampoline.py.)
    """
    look = "for p in /proc/[0-9]*; do readlink $p/exe; done"
    watch = f"until test -e /stop; do {look}; done | grep -v -e busybox -e memfd:labkit"
    command = [*running.command, "exec", running.id, "sh", "-c", watch]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as watcher:
        for _ in range(5):
            running("exec", running.id, "true")
        (running.bundle.rootfs / "stop").touch()
        seen, _ = watcher.communicate(timeout=60)
    assert seen == ""
