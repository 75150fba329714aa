"""Hooks: when and where each kind runs, what it is told, and what its failure means."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from conftest import wait_for
from runtime import Runtime

KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]


def hook(oci: Runtime, kind: str, script: str, timeout: int = 0) -> None:
    """One hook of that kind: a shell's script, with the name of the kind as ``$0``."""
    path = "/bin/sh" if kind == "startContainer" else "/bin/busybox"
    args = [kind, "-c", script] if kind == "startContainer" else ["sh", "-c", script, kind]
    if kind == "startContainer":
        args = ["sh", "-c", script, kind]
    entry = {"path": path, "args": args, "env": ["PATH=/bin:/usr/bin", "WHO=hook"]}
    oci.bundle.config.setdefault("hooks", {}).setdefault(kind, []).append(
        {**entry, **({"timeout": timeout} if timeout else {})}
    )


def test_all_six_in_their_order_with_the_state(oci: Runtime, tmp_path: Path) -> None:
    log = oci.bundle.rootfs / "log"
    log.touch()
    for kind in KINDS:
        place = "/log" if kind == "startContainer" else str(log)
        hook(oci, kind, f'read -r line; echo "$0 $WHO $line" >> {place}; readlink /proc/self/ns/mnt >> {place}')
    oci.runs("echo program >> /log")
    oci.make()
    assert [line.split()[0] for line in log.read_text().splitlines()[::2]] == KINDS[:3]
    inside = os.readlink(f"/proc/{oci.state()['pid']}/ns/mnt")
    pid = oci.state()["pid"]
    oci("start", oci.id)
    assert wait_for(lambda: "program" in log.read_text() and "poststart" in log.read_text())
    assert wait_for(lambda: oci.status() == "stopped")
    oci("delete", oci.id)
    lines = [line for line in log.read_text().splitlines() if line != "program"]
    told = {line.split()[0]: json.loads(line.split(" ", 2)[2]) for line in lines[::2]}
    spaces = {line.split()[0]: space for line, space in zip(lines[::2], lines[1::2])}
    assert list(told) == KINDS
    here = os.readlink("/proc/self/ns/mnt")
    assert spaces == {kind: inside if kind in ("createContainer", "startContainer") else here for kind in KINDS}
    assert [told[kind]["status"] for kind in KINDS] == [
        "creating",
        "creating",
        "creating",
        "created",
        "running",
        "stopped",
    ]
    for kind in KINDS:
        assert (told[kind]["id"], told[kind]["bundle"]) == (oci.id, str(oci.bundle.directory))
    assert told["createRuntime"]["pid"] == pid


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_a_failure_while_it_is_created_takes_it_back(oci: Runtime, kind: str, tmp_path: Path) -> None:
    hook(oci, kind, "echo broken hook >&2; exit 3")
    hook(oci, "poststop", f"echo stopped > {tmp_path}/poststop")
    oci.write()
    message = oci.refusal("create", "--bundle", str(oci.bundle.directory), oci.id)
    assert message == f"error running {kind} hook #0: exit status 3, output: broken hook"
    assert os.listdir(oci.root) == []
    assert (tmp_path / "poststop").read_text() == "stopped\n"


def test_a_failing_start_hook_keeps_the_program_from_running(oci: Runtime) -> None:
    hook(oci, "startContainer", "exit 1")
    oci.runs("echo program")
    oci.make()
    assert "startContainer hook #0: exit status 1" in oci.refusal("start", oci.id)
    assert wait_for(lambda: oci.status() == "stopped")
    assert oci.output() == ""


def test_a_failing_poststart_hook_stops_the_container(oci: Runtime) -> None:
    hook(oci, "poststart", "exit 1")
    oci.runs("sleep 1000")
    oci.make()
    assert "poststart hook #0: exit status 1" in oci.refusal("start", oci.id)
    assert oci.status() == "stopped"


def test_a_failing_poststop_hook_is_a_warning_and_the_next_one_runs(oci: Runtime, tmp_path: Path) -> None:
    hook(oci, "poststop", "exit 1")
    hook(oci, "poststop", f"echo second > {tmp_path}/second")
    oci.make()
    done = oci.attempt("delete", oci.id)
    assert (done.returncode, "level=warning" in done.stderr, "poststop hook #0" in done.stderr) == (0, True, True)
    assert (tmp_path / "second").read_text() == "second\n"
    assert os.listdir(oci.root) == []


def test_a_hook_that_hangs_is_ended_with_its_children(oci: Runtime) -> None:
    hook(oci, "createRuntime", "sleep 4321 & sleep 4321", timeout=1)
    oci.write()
    assert "it did not end within 1 s" in oci.refusal("create", "--bundle", str(oci.bundle.directory), oci.id)
    lines = [Path(f"/proc/{name}/cmdline") for name in os.listdir("/proc") if name.isdigit()]
    assert not any(b"4321" in line.read_bytes() for line in lines if line.exists())
