"""Hooks: when and where each kind runs, what it is told, and what its failure means."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import wait_for
from runtime import Runtime

KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]


def hook(oci: Runtime, kind: str, script: str, timeout: int = 0) -> None:
    """One hook of that kind: a shell's script, with the name of the kind as ``$0``."""
    entry = {"path": "/bin/sh", "args": ["sh", "-c", script, kind], "env": ["PATH=/bin:/usr/bin", "WHO=hook"]}
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
    assert message == f"error running {kind} hook #0: exit status 3, stdout: , stderr: broken hook"
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
    assert "hook ran past specified timeout of 1.0s" in oci.refusal(
        "create", "--bundle", str(oci.bundle.directory), oci.id
    )
    lines = [Path(f"/proc/{name}/cmdline") for name in os.listdir("/proc") if name.isdigit()]
    assert not any(b"4321" in line.read_bytes() for line in lines if line.exists())


MKDIR: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
}


@pytest.mark.parametrize("without_new_privileges", [True, False])
def test_a_hook_of_the_containers_own_is_held_by_all_that_holds_its_program(
    oci: Runtime, without_new_privileges: bool
) -> None:
    """The filter, the user, the capabilities, no_new_privs, and a limit that is too low for labkit itself."""
    report = "mkdir /tmp/new; id -u; grep -E 'Seccomp:|NoNewPrivs|Cap(Eff|Bnd)' /proc/self/status; ulimit -n"
    oci.process.update(
        noNewPrivileges=without_new_privileges,
        user={"uid": 1000, "gid": 1000},
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 12, "hard": 14}],
    )
    (oci.bundle.rootfs / "tmp").chmod(0o777)
    oci.bundle.config["linux"]["seccomp"] = MKDIR
    hook(oci, "startContainer", f"{{ {report}; }} > /tmp/hook 2>&1")
    oci.runs(report)
    oci.make(command="run")
    told = (oci.bundle.rootfs / "tmp/hook").read_text()
    assert told == oci.output()
    assert "mkdir: can't create directory" in told
    assert told.splitlines()[-2:] == ["Seccomp:\t2", "12"]


def test_a_hook_that_the_filter_kills(oci: Runtime) -> None:
    rule = {**MKDIR["syscalls"][0], "action": "SCMP_ACT_KILL_PROCESS"}
    oci.bundle.config["linux"]["seccomp"] = {**MKDIR, "syscalls": [rule]}
    oci.process["noNewPrivileges"] = True
    oci.bundle.config["hooks"] = {"startContainer": [{"path": "/bin/mkdir", "args": ["mkdir", "/tmp/new"]}]}
    oci.make()
    why = "signal: bad system call, stdout: , stderr: "
    assert oci.refusal("start", oci.id) == f"error running startContainer hook #0: {why}"


def test_a_hook_of_the_containers_own_has_its_variables_and_not_the_hosts(oci: Runtime, tmp_path: Path) -> None:
    for kind, place in (("startContainer", "/tmp/"), ("createContainer", f"{tmp_path}/"), ("prestart", f"{tmp_path}/")):
        script = f"PATH=/bin; env | grep -E '^(INSIDE|OUTSIDE)' > {place}{kind}"
        oci.bundle.config.setdefault("hooks", {})[kind] = [{"path": "/bin/sh", "args": ["sh", "-c", script]}]
    oci.process["env"] = ["PATH=/bin", "INSIDE=1"]
    oci.make(command="run", env={**os.environ, "OUTSIDE": "1"})
    assert (oci.bundle.rootfs / "tmp/startContainer").read_text() == "INSIDE=1\n"
    assert (tmp_path / "createContainer").read_text() == "INSIDE=1\n"
    assert (tmp_path / "prestart").read_text() == "OUTSIDE=1\n"


def test_a_hook_that_says_it_is_for_the_runtimes_own_program_never_gets_it(oci: Runtime) -> None:
    """A script with that first line would have the host's Python for its interpreter, as /proc/PID/exe."""
    script = oci.bundle.rootfs / "bin/script"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)
    oci.bundle.config["hooks"] = {"startContainer": [{"path": "/bin/script"}]}
    oci.make()
    assert oci.refusal("start", oci.id) == "error running startContainer hook #0: exit status 126, stdout: , stderr: "


def test_a_hook_that_is_not_there(oci: Runtime) -> None:
    oci.bundle.config["hooks"] = {"startContainer": [{"path": "/bin/none"}]}
    oci.make()
    missing = "exec /bin/none: no such file or directory"
    assert oci.refusal("start", oci.id) == f"error running startContainer hook #0: {missing}"


def test_where_hooks_begin(oci: Runtime, tmp_path: Path) -> None:
    for kind in KINDS:
        hook(oci, kind, "pwd -P > /tmp/place" if kind == "startContainer" else f"pwd -P > {tmp_path}/$0")
    oci.process["cwd"] = "/etc"
    oci.make(command="run", cwd="/usr")
    bundle = f"{oci.bundle.directory}\n"
    told = {kind: (tmp_path / kind).read_text() for kind in KINDS if kind != "startContainer"}
    assert told == {**dict.fromkeys(told, bundle), "createContainer": f"{oci.bundle.rootfs}\n"}
    assert (oci.bundle.rootfs / "tmp/place").read_text() == "/etc\n"


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_hooks_may_still_write_to_all_that_will_be_read_only(oci: Runtime, kind: str) -> None:
    """They bring devices and files: into the root file system, into its /dev, and to where a mask will lie."""
    oci.bundle.config["root"]["readonly"] = True
    oci.bundle.config["linux"]["maskedPaths"] = ["/masked"]
    oci.bundle.config["linux"]["readonlyPaths"] = ["/etc"]
    dev = next(mount for mount in oci.bundle.config["mounts"] if mount["destination"] == "/dev")
    dev["options"].append("ro")
    # createContainer hooks alone are in the container's mount namespace; the others enter it.
    pid = """$(grep -o '"pid":[0-9]*' | cut -d: -f2)"""
    enter = "" if kind == "createContainer" else f"nsenter -t {pid} -m "
    writing = f"cd {oci.bundle.rootfs} && touch file dev/file etc/file && mkdir masked && touch masked/file"
    hook(oci, kind, f"{enter}sh -c '{writing}'")
    oci.runs("ls -d /file /dev/file /etc/file; ls /masked; touch /file /dev/file /etc/file; true")
    oci.make(command="run")
    lines = oci.output().splitlines()
    assert lines[:3] == ["/dev/file", "/etc/file", "/file"]
    assert [line.rpartition(": ")[2] for line in lines[3:]] == ["Read-only file system"] * 3


def test_a_hook_can_be_interrupted(oci: Runtime, tmp_path: Path) -> None:
    """``run`` keeps signals back until there is somebody to pass them on to; what it starts meanwhile does not."""
    copying = {"path": "/bin/cp", "args": ["cp", "/proc/self/status", str(tmp_path)]}  # a shell might let them in again
    oci.bundle.config["hooks"] = {"poststart": [copying]}
    oci.make(command="run")
    assert "SigBlk:\t0000000000000000\n" in (tmp_path / "status").read_text()
