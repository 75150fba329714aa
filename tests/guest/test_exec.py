"""``labkit exec``: what its program has of the container, and that it does not depend on the command."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import labkit, on_a_terminal, processes, wait_for
from programs import LABKIT

pytestmark = pytest.mark.root

_START = ("run", "-d", "--network", "none")


@pytest.fixture
def box() -> Iterator[str]:
    """A container that does nothing, with a group and a variable of its own."""
    labkit(*_START, "--name", "box", "--group-add", "1234", "-e", "A=1", "busybox", "sleep", "100")
    yield "box"
    labkit("rm", "-f", "box")


def _inside(name: str) -> Path:
    pid = json.loads(labkit("inspect", name).stdout)[0]["State"]["Pid"]
    return Path(f"/proc/{pid}/root/tmp")


def _keepers() -> list[str]:
    return [line for line in processes() if line.startswith("labkit-shim-exec")]


def _drained(master: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        os.read(master, 1 << 20)
    return True


#: Traps show whether it heard of the signal; it writes more than a pipe holds, and to both of its outputs.
_COUNTS = """
for name in HUP INT TERM; do trap "echo $name >> /tmp/heard" $name; done
for number in 1 2 3; do head -c 100000 /dev/zero; echo lost >&2; echo $number > /tmp/number; sleep 0.2; done; exit 3
"""


@pytest.mark.parametrize("terminal", [False, True], ids=["pipes", "terminal"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_program_goes_on_when_the_command_is_killed(box: str, number: int, terminal: bool) -> None:
    """As with docker, and its end is seen all the same."""
    inside = _inside(box)
    master, slave = pty.openpty()
    options = ["-it"] if terminal else []
    words = [*LABKIT, "exec", *options, box, "sh", "-c", _COUNTS]
    command = subprocess.Popen(words, stdin=slave, stdout=slave if terminal else subprocess.PIPE, stderr=slave)
    os.set_blocking(master, False)
    assert wait_for(lambda: _drained(master) and (inside / "number").exists())
    command.send_signal(number)
    assert wait_for(lambda: _drained(master) and command.poll() is not None)
    status = command.returncode
    if command.stdout:
        command.stdout.close()
    os.close(master)
    os.close(slave)
    assert status in (-number, 128 + number)
    assert wait_for(lambda: (inside / "number").read_text() == "3\n")
    assert wait_for(lambda: _keepers() == [])
    assert not (inside / "heard").exists()
    ends = [
        json.loads(line) for line in labkit("events", "--since", "1m", "--until", "0s", "--json").stdout.splitlines()
    ]
    assert [event["exit_code"] for event in ends if event["action"] == "exec_die"][-1:] == [3]


def test_the_program_goes_on_when_nobody_reads_any_more(box: str) -> None:
    script = "echo first; until [ -e /tmp/closed ]; do sleep 0.05; done; echo second; echo done > /tmp/done"
    with subprocess.Popen([*LABKIT, "exec", box, "sh", "-c", script], stdout=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == b"first\n"
        command.stdout.close()
        (_inside(box) / "closed").touch()
        assert command.wait(20) == 141
    assert wait_for((_inside(box) / "done").exists)


def test_the_input_ends_with_the_command(box: str) -> None:
    with subprocess.Popen(
        [*LABKIT, "exec", "-i", box, "sh", "-c", "cat > /tmp/typed; echo ended > /tmp/ended"], stdin=subprocess.PIPE
    ) as command:
        assert command.stdin is not None
        command.stdin.write(b"some")
        command.stdin.flush()
        inside = _inside(box)
        assert wait_for(lambda: (inside / "typed").exists() and (inside / "typed").read_text() == "some")
        command.kill()
        assert wait_for((inside / "ended").exists)


def test_the_end_of_the_container_ends_it_and_its_keeper() -> None:
    labkit(*_START, "--name", "short", "busybox", "sleep", "100")
    labkit("exec", "-d", "short", "sleep", "100")
    with subprocess.Popen([*LABKIT, "exec", "short", "sleep", "100"]) as command:
        assert wait_for(lambda: len(_keepers()) == 2)
        labkit("rm", "-f", "short")
        assert command.wait(20) == 137
    assert wait_for(lambda: _keepers() == [])


def test_the_end_of_who_keeps_it_is_told_as_what_it_is(box: str) -> None:
    words = [*LABKIT, "exec", box, "sh", "-c", "touch /tmp/on; exec sleep 30"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as command:
        assert wait_for((_inside(box) / "on").exists)
        keeper = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
        os.kill(int(keeper[0]), signal.SIGKILL)
        _, said = command.communicate(timeout=20)
    assert "the process that kept the program died" in said
    assert "labkit top box" in said


def test_what_a_program_leaves_behind_keeps_nobody(box: str) -> None:
    assert labkit("exec", box, "sh", "-c", "sleep 60 & echo said").stdout == "said\n"


@pytest.mark.parametrize("verb", ["exec", "run"])
def test_much_goes_in_and_out_at_once(box: str, verb: str, tmp_path: Path) -> None:
    """More than both pipes hold: whoever waits with one of them waits for ever."""
    data = os.urandom(3_000_000)
    (tmp_path / "in").write_bytes(data)
    target = [box] if verb == "exec" else ["--rm", "--network", "none", "busybox"]
    with open(tmp_path / "in", "rb") as given:
        done = subprocess.run(
            [*LABKIT, verb, "-i", *target, "cat"], stdin=given, capture_output=True, timeout=60, check=True
        )
    assert done.stdout == data


def test_a_detached_program_that_is_none_is_told(box: str) -> None:
    refused = labkit("exec", "-d", box, "nowhere", check=False)
    assert (refused.returncode, "executable file not found" in refused.stderr) == (127, True)


def test_a_file_that_takes_the_output_stays_ours(box: str, tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as taken:
        subprocess.run([*LABKIT, "exec", "-u", "1000", box, "id", "-u"], stdout=taken, timeout=60, check=True)
    assert ((tmp_path / "out").read_text(), (tmp_path / "out").stat().st_uid) == ("1000\n", os.getuid())


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("", "uid=0(root) gid=0(root) groups=0(root),1234"),
        ("1000", "uid=1000 gid=0(root) groups=0(root),1234"),
        ("1000:5", "uid=1000 gid=5(tty) groups=5(tty),1234"),
        ("daemon", "uid=1(daemon) gid=1(daemon) groups=1(daemon),1234"),
        ("0", "uid=0(root) gid=0(root) groups=0(root),1234"),
    ],
)
def test_the_groups_are_the_containers_whoever_the_user_is(box: str, user: str, shown: str) -> None:
    assert labkit("exec", *(["-u", user] if user else []), box, "id").stdout.strip() == shown


def _variables(*words: str) -> dict[str, str]:
    lines = labkit("exec", *words, "env").stdout.splitlines()
    return dict(line.strip().partition("=")[::2] for line in lines)


def test_variables_are_the_containers_and_then_those_given(box: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A", raising=False)
    assert _variables(box)["A"] == "1"
    assert _variables("-e", "A=2", "-e", "A=3", box)["A"] == "3"
    assert "A" not in _variables("-e", "A", box), "a name that we have no value of takes the variable away"
    assert _variables("-u", "daemon", box)["HOME"] == "/usr/sbin"
    assert _variables("-u", "daemon", "-e", "HOME=/x", box)["HOME"] == "/x"
    assert "TERM" not in _variables(box)


def test_term_says_whether_there_is_a_terminal_and_what_was_set_stays_set() -> None:
    labkit(*_START, "-t", "--name", "tty", "busybox", "sleep", "100")
    labkit(*_START, "-t", "--name", "set", "-e", "TERM=vt100", "-e", "HOME=/h", "busybox", "sleep", "100")
    assert "TERM" not in _variables("tty")
    assert _variables("-t", "tty")["TERM"] == "xterm"
    assert _variables("-t", "-e", "TERM=vt220", "tty")["TERM"] == "vt220"
    assert _variables("-t", "set")["TERM"] == "vt100"
    assert _variables("-u", "daemon", "set")["HOME"] == "/h"


def test_limits_and_no_new_privileges_hold_for_it_too() -> None:
    limits = ["--ulimit", "nofile=100:200", "--oom-score-adj", "300", "--security-opt", "no-new-privileges"]
    labkit(*_START, "--name", "low", *limits, "busybox", "sleep", "100")
    script = "ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj; grep -o 'NoNewPrivs.*' /proc/self/status"
    for flags in ([], ["--privileged"]):
        assert labkit("exec", *flags, "low", "sh", "-c", script).stdout.split() == [
            "100",
            "200",
            "300",
            "NoNewPrivs:",
            "1",
        ]


@pytest.mark.skipif(not shutil.which("runc"), reason="runc is not installed here")
def test_by_another_runtime_it_goes_on_too() -> None:
    labkit(*_START, "--runtime", "runc", "--name", "foreign", "busybox", "sleep", "100")
    assert "/dev/pts/" in on_a_terminal([*LABKIT, "exec", "-it", "foreign", "tty"])
    assert labkit("exec", "foreign", "sh", "-c", "exit 9", check=False).returncode == 9
    inside = _inside("foreign")
    with subprocess.Popen([*LABKIT, "exec", "foreign", "sh", "-c", _COUNTS], stdout=subprocess.PIPE) as command:
        assert wait_for((inside / "number").exists)
        command.kill()
    assert wait_for(lambda: (inside / "number").read_text() == "3\n")
    assert wait_for(lambda: _keepers() == [])


def test_what_goes_to_one_place_keeps_its_order(box: str) -> None:
    """Two pipes would be read one after the other."""
    script = "for n in 1 2 3 4 5 6 7 8; do echo $n; echo -$n >&2; done"
    words = [*LABKIT, "exec", box, "sh", "-c", script]
    said = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=True)
    assert said.stdout.split() == [word for n in range(1, 9) for word in (str(n), f"-{n}")]
