"""A container's life beyond one run: created, started again, restarted by its policy, attached to, given a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import labkit, wait_for
from programs import LABKIT

pytestmark = pytest.mark.root

HERE = ("--network", "none")


def state(name: str) -> dict[str, object]:
    return dict(json.loads(labkit("inspect", name).stdout)[0]["state"])


def test_what_was_created_is_started_again_with_its_files() -> None:
    made = labkit("create", *HERE, "--name", "job", "busybox", "sh", "-c", "echo line >> /file; cat /file; exit 3")
    assert re.fullmatch(r"[0-9a-f]{64}\n", made.stdout)
    assert state("job")["status"] == "created"
    assert "Created" in labkit("ps", "-a").stdout
    labkit("gc")
    assert labkit("start", "-a", "job", check=False).stdout == "line\n"
    again = labkit("start", "-a", "job", check=False)
    assert (again.stdout, again.returncode) == ("line\nline\n", 3)
    assert state("job")["exit_code"] == 3
    assert labkit("wait", "job").stdout == "3\n"
    assert labkit("logs", "job").stdout == "line\nline\nline\n"
    refused = labkit("kill", "job", check=False)
    assert refused.returncode != 0
    assert refused.stderr.startswith("labkit: the container job is not running")


def test_a_start_that_fails_leaves_the_container_as_it_was() -> None:
    labkit("create", *HERE, "--name", "none", "busybox", "/no/such/program")
    failed = labkit("start", "none", check=False)
    assert failed.returncode == 127, failed.stderr
    assert state("none")["status"] in ("created", "exited")
    assert labkit("start", "none", check=False).returncode == 127
    labkit("rm", "none")


def test_kill_wait_and_restart() -> None:
    labkit(
        "run", "-d", *HERE, "--name", "box", "busybox", "sh", "-c", "trap 'exit 5' USR1; while :; do sleep 0.1; done"
    )
    running = labkit("start", "box", check=False)
    assert "the container box is running" in running.stderr
    with subprocess.Popen([*LABKIT, "wait", "box"], stdout=subprocess.PIPE, text=True) as waiting:
        assert wait_for(lambda: "attach" in os.listdir(f"/run/labkit/containers/{_id('box')}"))
        time.sleep(0.3)
        labkit("kill", "-s", "USR1", "box")
        assert waiting.communicate(timeout=20)[0] == "5\n"
    labkit("restart", "-t", "0", "box")
    first = state("box")["pid"]
    labkit("restart", "-t", "0", "box")
    assert state("box")["pid"] not in (first, 0)
    for words in (["kill", "-s", "NONSENSE", "box"], ["restart", "-t", "-1", "box"], ["attach", "nobody"]):
        assert len(labkit(*words, check=False).stderr.splitlines()) == 2


def _id(name: str) -> str:
    return str(json.loads(labkit("inspect", name).stdout)[0]["id"])


def test_a_restart_policy_starts_it_again_until_somebody_stops_it() -> None:
    labkit("run", "-d", *HERE, "--restart", "always", "--name", "ever", "busybox", "sh", "-c", "echo up; sleep 0.1")
    assert wait_for(lambda: labkit("logs", "ever").stdout.count("up\n") >= 3)
    assert state("ever")["restarts"] != 0
    labkit("stop", "-t", "0", "ever")
    assert state("ever")["status"] == "exited"
    seen = labkit("logs", "ever").stdout
    time.sleep(1)
    assert labkit("logs", "ever").stdout == seen
    labkit("start", "ever")
    assert wait_for(lambda: labkit("logs", "ever").stdout.count("up\n") > seen.count("up\n") + 1)
    labkit("rm", "-f", "ever")


def test_on_failure_counts() -> None:
    labkit(
        "run", "-d", *HERE, "--restart", "on-failure:2", "--name", "thrice", "busybox", "sh", "-c", "echo go; exit 4"
    )
    assert wait_for(lambda: state("thrice")["status"] == "exited")
    assert (state("thrice")["restarts"], state("thrice")["exit_code"]) == (2, 4)
    assert labkit("logs", "thrice").stdout == "go\n" * 3
    for policy in ("sometimes", "on-failure:x", "always:3"):
        assert labkit("run", "--restart", policy, "busybox", check=False).returncode == 125


def _shim_of(name: str) -> int:
    return next(
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and b"labkit-shim" in _command_line(entry) and name.encode() in _command_line(entry)
    )


def test_what_became_of_it_is_its_shims_to_say() -> None:
    labkit("run", "-d", *HERE, "--name", "told", "busybox", "sleep", "100")
    shim, pid = _shim_of("told"), state("told")["pid"]
    os.kill(shim, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        assert wait_for(lambda: Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z"))
        assert state("told")["status"] == "running"
    finally:
        os.kill(shim, signal.SIGCONT)
    assert wait_for(lambda: state("told")["status"] == "exited")
    assert state("told")["exit_code"] == 137
    labkit("rm", "told")


def test_after_the_shim_was_killed_gc_brings_it_back() -> None:
    labkit("run", "-d", *HERE, "--restart", "unless-stopped", "--name", "back", "busybox", "sleep", "100")
    first = state("back")["pid"]
    os.kill(_shim_of("back"), 9)
    labkit("gc")
    assert state("back")["status"] == "running"
    assert state("back")["pid"] != first
    labkit("stop", "-t", "0", "back")
    labkit("gc")
    assert state("back")["status"] == "exited"


def _command_line(entry: Path) -> bytes:
    try:
        return (entry / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Typist:
    """labkit on a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen([*LABKIT, *words], stdin=slave, stdout=slave, stderr=slave, close_fds=True)
        os.close(slave)
        self.said = ""

    def read(self, until: Callable[[str], object], seconds: float = 20) -> str:
        deadline = time.monotonic() + seconds
        while not until(self.said) and time.monotonic() < deadline:
            if select.select([self.master], [], [], 0.2)[0]:
                try:
                    self.said += os.read(self.master, 4096).decode(errors="replace")
                except OSError:
                    break
        assert until(self.said), self.said
        return self.said

    def type(self, text: str) -> None:
        """Once labkit reads key by key: what is typed before is flushed away (tcsetattr(3), TCSAFLUSH)."""
        assert wait_for(lambda: not termios.tcgetattr(self.master)[3] & termios.ECHO)
        os.write(self.master, text.encode())

    def end(self) -> int:
        status = self.process.wait(20)
        os.close(self.master)
        return status


def test_a_terminal_in_the_foreground() -> None:
    typist = Typist("run", "--rm", "-it", *HERE, "busybox", "sh")
    typist.read(lambda said: "#" in said)
    typist.type("tty; stty size; echo a$((20+3))b\n")
    said = typist.read(lambda said: "a23b" in said)
    assert "/dev/pts/0" in said
    typist.type("exit 7\n")
    assert typist.end() == 7


def test_detach_and_attach_again() -> None:
    labkit("run", "-dit", *HERE, "--name", "shell", "busybox", "sh")
    typist = Typist("attach", "shell")
    typist.type("echo x$((1+1))y\n")
    typist.read(lambda said: "x2y" in said)
    typist.type("\x10\x11")
    assert typist.end() == 0
    assert state("shell")["status"] == "running"
    assert "x2y" in labkit("logs", "shell").stdout
    again = Typist("attach", "shell")
    again.type("exit 9\n")
    assert again.end() == 9
    assert state("shell")["exit_code"] == 9


def test_attach_without_a_terminal_passes_input_on_and_all_readers_hear() -> None:
    labkit("run", "-di", *HERE, "--name", "upper", "busybox", "tr", "a-z", "A-Z")
    with subprocess.Popen([*LABKIT, "attach", "--no-stdin", "upper"], stdout=subprocess.PIPE, text=True) as reader:
        time.sleep(0.5)
        # Its pipe is kept for the next one: an end of our input is none of the container's.
        with subprocess.Popen(
            [*LABKIT, "attach", "upper"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdin
            writer.stdin.write("hello\n")
            writer.stdin.flush()
            time.sleep(0.5)
            labkit("stop", "-t", "0", "upper")
            assert wait_for(lambda: writer.poll() is not None)
        assert reader.communicate(timeout=20)[0] in ("HELLO\n", "")
    assert state("upper")["status"] == "exited"


def test_exec_with_a_terminal_and_detached() -> None:
    labkit("run", "-d", *HERE, "--name", "box", "busybox", "sleep", "100")
    typist = Typist("exec", "-it", "box", "sh")
    typist.read(lambda said: "#" in said)
    typist.type("tty; echo q$((3*3))q; exit 6\n")
    assert "/dev/pts/" in typist.read(lambda said: "q9q" in said)
    assert typist.end() == 6
    labkit("exec", "-d", "box", "sh", "-c", "sleep 0.2; echo late > /late")
    assert wait_for(lambda: labkit("exec", "box", "cat", "/late", check=False).stdout == "late\n")


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_other_runtimes_make_the_same_container(runtime: str) -> None:
    if not shutil.which(runtime):
        pytest.skip(f"{runtime} is not installed")
    tried = labkit("run", "--rm", *HERE, "--runtime", runtime, "busybox", "true", check=False)
    if runtime == "crun" and "cgroups in hybrid mode not supported" in tried.stderr:
        pytest.skip(f"crun refuses this machine's groups: {tried.stderr.strip()}")
    done = labkit(
        "run", "--rm", "-i", *HERE, "--runtime", runtime, "busybox", "sh", "-c", "cat; exit 3", text="in\n", check=False
    )
    assert (done.stdout, done.returncode) == ("in\n", 3), done.stderr
    missing = labkit("run", "--rm", *HERE, "--runtime", runtime, "busybox", "/no/such", check=False)
    assert missing.returncode == 127, missing.stderr
    assert len(missing.stderr.splitlines()) == 1
    labkit("run", "-d", *HERE, "--runtime", runtime, "--memory", "64m", "--name", "other", "busybox", "sleep", "100")
    assert labkit("exec", "other", "echo", "beside").stdout == "beside\n"
    labkit("pause", "other")
    labkit("unpause", "other")
    typist = Typist("run", "--rm", "-it", *HERE, "--runtime", runtime, "busybox", "sh", "-c", "tty; exit 4")
    typist.read(lambda said: "/dev/pts/0" in said)
    assert typist.end() == 4
    labkit("stop", "-t", "0", "other")
    assert state("other")["exit_code"] == 137
