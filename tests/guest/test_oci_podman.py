"""podman runs its containers by labkit-oci: a real manager, its monitor (conmon), and what they ask of a runtime."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import Bundle
from clients import Client
from conftest import on_a_terminal, wait_for
from programs import LABKIT_OCI

#: Where raising a hard limit is not allowed podman's own wishes must be lowered (CAP_SYS_RESOURCE).
_LIMITS = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768"]
_NAMESPACE = "labkit-podman"


class Podman(Client):
    """podman with a storage of its own, in a network namespace of its own (its bridge and rules stay behind)."""

    def __init__(self, directory: Path) -> None:
        self.command = ["nsenter", f"--net=/run/netns/{_NAMESPACE}", "podman"]
        self.command += ["--root", f"{directory}/storage", "--runroot", f"{directory}/run", "--storage-driver", "vfs"]
        self.command += ["--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", *LABKIT_OCI]

    def run(self, *words: str, network: str = "none") -> str:
        """``podman run``: options, and the words of the program after ``--``."""
        place = words.index("--")
        options, program = words[:place], words[place + 1 :]
        return self("run", *_LIMITS, "--network", network, *options, "busybox", *program)


@pytest.fixture(scope="module")
def storage() -> Iterator[Podman]:
    """podman with one image. Skipped where it is missing, or cannot work here at all."""
    if not shutil.which("podman"):
        pytest.skip("podman is not installed here")
    directory = Path(tempfile.mkdtemp(prefix="podman-"))  # podman takes no path of more than 50 characters
    subprocess.run(["ip", "netns", "add", _NAMESPACE], check=True)
    podman = Podman(directory)
    try:
        told = podman.attempt("info")
        if told.returncode:
            pytest.skip(f"podman does not work here: {told.stderr.strip()}")
        subprocess.run(["ip", "-n", _NAMESPACE, "link", "set", "lo", "up"], check=True)
        rootfs = Bundle(directory / "image").rootfs
        for name, program in (("busybox", '["sh"]'), ("pause", '["sleep","1000"]')):
            podman.takes(rootfs, name, "--change", f"CMD={program}")
        yield podman
    finally:
        subprocess.run(["ip", "netns", "delete", _NAMESPACE], check=True)
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def podman(storage: Podman) -> Iterator[Podman]:
    """podman without containers, before and after."""
    yield storage
    storage.attempt("kill", "--all")  # rm alone waits ten seconds for each container of a pod
    storage("pod", "rm", "--all", "--force")
    storage("rm", "--all", "--force", "--time", "0")


def test_the_runtime_is_labkit(podman: Podman) -> None:
    told = json.loads(podman("info", "--format", "json"))["host"]["ociRuntime"]
    assert "labkit-oci version" in told["version"]


def test_run_gives_output_and_status(podman: Podman) -> None:
    assert podman.run("--rm", "--", "echo", "hello") == "hello\n"
    done = podman.attempt("run", "--rm", *_LIMITS, "--network", "none", "busybox", "sh", "-c", "exit 42")
    assert done.returncode == 42


@pytest.mark.parametrize(("program", "status"), [("/nowhere", 127), ("nowhere", 127), ("/etc", 126)])
def test_what_cannot_be_executed_has_podmans_own_status(podman: Podman, program: str, status: int) -> None:
    done = podman.attempt("run", "--rm", *_LIMITS, "--network", "none", "busybox", program)
    assert done.returncode == status, done.stderr


def test_a_container_in_the_background(podman: Podman) -> None:
    podman.run("-d", "--name", "one", "--", "sh", "-c", "echo started; exec sleep 1000")
    assert wait_for(lambda: podman("logs", "one") == "started\n")
    assert podman("exec", "one", "sh", "-c", "echo inside; hostname >/dev/null").strip() == "inside"
    assert podman.attempt("exec", "one", "sh", "-c", "exit 9").returncode == 9
    assert podman.attempt("exec", "one", "nowhere").returncode == 127
    podman("pause", "one")
    assert podman("inspect", "one", "--format", "{{.State.Status}}") == "paused\n"
    podman("unpause", "one")
    (stats,) = json.loads(podman("stats", "--no-stream", "--format", "json", "one"))
    assert stats["name"] == "one"
    assert stats["pids"] == "1"
    podman("kill", "one")
    podman("wait", "one")
    assert podman("inspect", "one", "--format", "{{.State.Status}} {{.State.ExitCode}}") == "exited 137\n"
    podman("start", "one")
    assert wait_for(lambda: podman("logs", "one") == "started\nstarted\n")
    podman("rm", "--force", "--time", "0", "one")


def test_terminals(podman: Podman) -> None:
    words = ["run", "--rm", "-it", *_LIMITS, "--network", "none", "busybox", "tty"]
    assert "/dev/pts/0" in on_a_terminal([*podman.command, *words])
    podman.run("-d", "--name", "one", "--", "sleep", "1000")
    assert "/dev/pts/0" in on_a_terminal([*podman.command, "exec", "-it", "one", "tty"])


def test_limits_and_rights(podman: Podman) -> None:
    options = ["--rm", "--user", "1000", "--cap-drop", "all", "--read-only", "--memory", "64m", "--pids-limit", "20"]
    script = (
        "id -u; grep CapEff /proc/self/status; touch /x 2>&1; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max"
    )
    lines = podman.run(*options, "--", "sh", "-c", f"({script}) 2>/dev/null; true").splitlines()
    assert lines[:3] == ["1000", "CapEff:\t0000000000000000", "touch: /x: Read-only file system"]
    assert "20" in lines[3:]


def test_a_volume(podman: Podman, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("from the host\n")
    assert podman.run("--rm", "-v", f"{tmp_path}:/data:ro", "--", "cat", "/data/file") == "from the host\n"
    podman.run("--rm", "-v", f"{tmp_path}:/data", "--", "sh", "-c", "echo back > /data/new")
    assert (tmp_path / "new").read_text() == "back\n"


def test_a_published_port(podman: Podman) -> None:
    page = "mkdir -p /w; echo page > /w/index.html; exec httpd -f -p 80 -h /w"
    podman.run("-d", "--name", "web", "-p", "127.0.0.1:8099:80", "--", "sh", "-c", page, network="podman")
    fetch = ["nsenter", f"--net=/run/netns/{_NAMESPACE}", "/bin/busybox", "wget", "-qO-", "http://127.0.0.1:8099/"]
    assert wait_for(lambda: subprocess.run(fetch, capture_output=True, check=False).stdout == b"page\n")


def test_a_pod_of_two_shares_its_namespaces(podman: Podman) -> None:
    podman("pod", "create", "--name", "pair", "--network", "none", "--infra-image", "pause")
    first = podman("create", "--pod", "pair", *_LIMITS, "busybox", "sleep", "1000").strip()
    second = podman("create", "--pod", "pair", *_LIMITS, "busybox", "sleep", "1000").strip()
    podman("start", first, second)
    pids = [podman("inspect", name, "--format", "{{.State.Pid}}").strip() for name in (first, second)]
    for kind in ("net", "ipc", "uts"):
        assert len({os.readlink(f"/proc/{pid}/ns/{kind}") for pid in pids}) == 1
    assert len({os.readlink(f"/proc/{pid}/ns/mnt") for pid in pids}) == 2
