"""labkit run and its neighbours, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import LABKIT, labkit, wait_for

QUICK = ("run", "--rm", "--network", "none")


def test_output_and_status_are_the_programs_own() -> None:
    result = labkit(*QUICK, "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (result.stdout, result.stderr, result.returncode) == ("out\n", "err\n", 7)


def test_a_killed_program_has_128_and_the_signals_number() -> None:
    # Pid 1 cannot kill itself: it takes a child.
    result = labkit(*QUICK, "busybox", "sh", "-c", "sh -c 'kill -9 $$'; exit $?", check=False)
    assert result.returncode == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("command", "status"), [("no-such-program", 127), ("/etc/passwd", 126), ("/no/such/path", 127)]
)
def test_what_cannot_be_executed_has_dockers_status_and_leaves_nothing(command: str, status: int) -> None:
    result = labkit("run", "--network", "none", "busybox", command, check=False)
    assert result.returncode == status
    assert f"'{command}' cannot be executed" in result.stderr
    assert "Traceback" not in result.stderr
    assert not labkit("ps", "-aq").stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing-like-it"], "there is no image nothing-like-it:latest"),
        (["Busybox"], "'Busybox' is no image name"),
        (["--name", "a b", "busybox"], "'a b' is no container name"),
        (["-p", "80", "busybox"], "-p 80 does not name two ports"),
        (["-p", "80:70000", "busybox"], "'70000' in -p 80:70000 is no port"),
        (["-p", "1.2.3:80:80", "busybox"], "'1.2.3' in -p 1.2.3:80:80 is no IPv4 address"),
        (["-p", "80:80/icmp", "busybox"], "'icmp' in -p 80:80/icmp is no protocol"),
        (["-e", "=x", "busybox"], "-e '=x' names no variable"),
        (["--memory", "lots", "busybox"], "'lots' is no size"),
        (["--network", "nowhere", "busybox"], "there is no network 'nowhere'"),
        (["--frobnicate", "busybox"], "labkit run: "),
        (["-d", "-i", "busybox"], "-d and -i exclude one another"),
        ([], "labkit run: "),
    ],
)
def test_bad_input_is_one_sentence_and_a_hint(words: list[str], sentence: str) -> None:
    result = labkit("run", *words, check=False)
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"labkit: {sentence}")
    assert len(lines) == 2
    assert lines[1].startswith("hint: ")
    assert result.returncode == 125


def test_a_name_is_taken_once() -> None:
    labkit("run", "-d", "--network", "none", "--name", "one", "busybox", "sleep", "100")
    second = labkit("run", "-d", "--network", "none", "--name", "one", "busybox", "sleep", "100", check=False)
    assert second.returncode == 125
    assert "the name one is taken" in second.stderr
    assert len(labkit("ps", "-aq").stdout.split()) == 1


def test_environment_and_standard_input() -> None:
    result = labkit(*QUICK, "-i", "-e", "COLOUR=blue", "busybox", "sh", "-c", "cat; echo $COLOUR $HOME", text="in\n")
    assert result.stdout == "in\nblue /root\n"


def test_standard_input_is_empty_without_i() -> None:
    assert labkit(*QUICK, "busybox", "cat", text="not for it").stdout == ""


def test_ps_logs_inspect_exec_stop_rm() -> None:
    script = "echo started; trap 'echo bye; exit 3' TERM; while :; do sleep 0.1; done"
    container_id = labkit("run", "-d", "--name", "life", "busybox", "sh", "-c", script).stdout.strip()
    assert wait_for(lambda: "started" in labkit("logs", "life").stdout)
    assert labkit("ps", "-q").stdout.strip() == container_id[:12]
    (known,) = json.loads(labkit("inspect", "life").stdout)
    assert known["id"] == container_id
    assert known["state"]["status"] == "running"
    assert known["address"].startswith("10.77.0.")
    assert Path(f"/proc/{known['state']['pid']}/root/etc/hostname").read_text() == f"{container_id[:12]}\n"
    assert labkit("exec", "life", "hostname").stdout.strip() == container_id[:12]
    assert labkit("exec", "life", "sh", "-c", "exit 9", check=False).returncode == 9
    assert labkit("exec", "life", "no-such-program", check=False).returncode == 127
    labkit("stop", "life")
    (listed,) = json.loads(labkit("ps", "-a", "--json").stdout)
    assert (listed["state"]["status"], listed["state"]["exit_code"]) == ("exited", 3)
    assert labkit("logs", "--tail", "1", "life").stdout == "bye\n"
    assert "is not running" in labkit("exec", "life", "true", check=False).stderr
    labkit("rm", "life")
    assert not os.path.exists(f"/var/lib/labkit/containers/{container_id}")
    missing = labkit("stop", "life", check=False)
    assert (missing.returncode, "there is no container 'life'" in missing.stderr) == (4, True)


def test_a_running_container_is_removed_only_by_force() -> None:
    labkit("run", "-d", "--network", "none", "--name", "stays", "busybox", "sleep", "100")
    refused = labkit("rm", "stays", check=False)
    assert refused.returncode == 5
    assert "is running" in refused.stderr
    assert labkit("ps", "-q").stdout
    labkit("rm", "-f", "stays")
    assert not labkit("ps", "-aq").stdout


def test_stop_kills_what_does_not_listen() -> None:
    labkit("run", "-d", "--network", "none", "--name", "deaf", "busybox", "sleep", "100")
    started = time.monotonic()
    labkit("stop", "-t", "0.2", "deaf")
    assert time.monotonic() - started < 9
    (listed,) = json.loads(labkit("ps", "-a", "--json").stdout)
    assert listed["state"]["exit_code"] == 137


def test_ctrl_c_reaches_the_container_and_the_second_one_kills_it() -> None:
    running = subprocess.Popen([*LABKIT, *QUICK, "busybox", "sleep", "100"], stderr=subprocess.PIPE, text=True)
    assert wait_for(lambda: labkit("ps", "-q").stdout)
    running.send_signal(signal.SIGINT)
    assert running.stderr is not None
    assert "once more kills it" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    assert running.wait(20) == 137
    running.stderr.close()


def test_explain_prints_every_operation_with_who_and_how_long() -> None:
    lines = labkit(*QUICK[:2], "--explain", "busybox", "true").stderr.splitlines()
    for beginning in (
        "mount -t overlay ",
        "ip netns add labkit-",
        "ip link add veth",
        "mount -t proc ",
        "cd /run/labkit",
    ):
        (line,) = [line for line in lines if beginning in line]
        assert line.split()[0] in ("host", "init")
        assert line.split()[2] == "ms"
    order = [line.split()[0] for line in lines if line[:4] in ("host", "init")]
    assert order == sorted(order)  # all of the host's come before all of init's


def test_the_log_is_written_while_the_program_runs_and_keeps_a_last_line_without_an_end() -> None:
    labkit("run", "--network", "none", "--name", "words", "busybox", "printf", "one\\ntwo")
    assert labkit("logs", "words").stdout == "one\ntwo"


def test_limits_are_in_the_cgroup() -> None:
    labkit("run", "-d", "--network", "none", "--name", "small", "--pids-limit", "7", "busybox", "sleep", "100")
    (known,) = json.loads(labkit("inspect", "small").stdout)
    (limit,) = [path.read_text().strip() for path in Path("/sys/fs/cgroup").rglob(f"{known['id']}/pids.max")]
    assert limit == "7"
