"""labkit run and its neighbours, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import labkit, wait_for
from programs import LABKIT

QUICK = ("run", "--rm", "--network", "none")


def test_output_and_status_are_the_programs_own() -> None:
    result = labkit(*QUICK, "busybox", "sh", "-c", "echo out; echo err >&2; exit 7", check=False)
    assert (result.stdout, result.stderr, result.returncode) == ("out\n", "err\n", 7)


def test_a_killed_program_has_128_and_the_signals_number() -> None:
    labkit("run", "-d", "--network", "none", "--name", "killed", "busybox", "sleep", "100")
    (known,) = json.loads(labkit("inspect", "killed").stdout)
    os.kill(known["state"]["pid"], signal.SIGKILL)
    assert wait_for(lambda: not labkit("ps", "-q").stdout)
    (known,) = json.loads(labkit("inspect", "killed").stdout)
    assert known["state"]["exit_code"] == 128 + signal.SIGKILL


@pytest.mark.parametrize(
    ("command", "status"), [("no-such-program", 127), ("/etc/passwd", 126), ("/no/such/path", 127)]
)
def test_what_cannot_be_executed_has_dockers_status_and_leaves_nothing(command: str, status: int) -> None:
    result = labkit("run", "--network", "none", "busybox", command, check=False)
    assert result.returncode == status
    assert f'exec: "{command}"' in result.stderr
    assert "Traceback" not in result.stderr
    assert not labkit("ps", "-aq").stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nothing-like-it"], "there is no image nothing-like-it:latest"),
        (["Busybox"], "'Busybox' is no image name"),
        (["--name", "a b", "busybox"], "'a b' is no container name"),
        (["-p", "80:70000", "busybox"], "'70000' in -p 80:70000 is no port"),
        (["-p", "1.2.3:80:80", "busybox"], "'1.2.3' in -p 1.2.3:80:80 is no IPv4 address"),
        (["-p", "80:80/icmp", "busybox"], "'icmp' in -p 80:80/icmp is no protocol"),
        (["-e", "=x", "busybox"], "-e '=x' names no variable"),
        (["--memory", "lots", "busybox"], "'lots' is no size"),
        (["--network", "nowhere", "busybox"], "there is no network 'nowhere'"),
        (["--frobnicate", "busybox"], "labkit run: "),
        (["-p", "8080:" + "9" * 5000, "busybox"], "'999"),
        (["-p", "8080:80", "-p", "8080:81", "busybox"], "port 8080/tcp is published twice"),
        (["--memory", "9" * 5000, "busybox"], "'999"),
        (["--cpus", "nan", "busybox"], "--cpus nan is not possible"),
        (["--pids-limit", "9" * 30, "busybox"], "--pids-limit 999"),
        (["--pids-limit", "0", "busybox"], "--pids-limit 0 is not possible"),
        (["--cpu-shares", "1", "busybox"], "--cpu-shares 1 is not possible"),
        (["--cpuset-cpus", "0-", "busybox"], "'0-' is no list of processors"),
        (["--memory-swap", "64m", "busybox"], "--memory-swap is the limit of memory and swap together"),
        (["--memory", "64m", "--memory-swap", "32m", "busybox"], "--memory-swap is less than --memory"),
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


def test_a_variable_without_a_value_is_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "mine")
    monkeypatch.delenv("NOBODYS", raising=False)
    result = labkit(
        *QUICK, "-e", "OURS", "-e", "NOBODYS", "busybox", "sh", "-c", "echo $OURS; env | grep -c NOBODYS", check=False
    )
    assert result.stdout == "mine\n0\n"


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
    for beginning in (
        "unshare --pid",
        "nsenter --net=/run/netns/labkit-",
        "unshare --cgroup",
        "exec setpriv --bounding",
    ):
        assert [line for line in lines if beginning in line], beginning
    assert lines[0].startswith("ID=")
    order = [line.split()[0] for line in lines if line[:4] in ("host", "init")]
    assert order == sorted(order)  # all of the host's come before all of init's


def test_the_log_is_there_while_the_program_runs_and_whole_at_its_end() -> None:
    script = "echo one; while [ ! -e /go ]; do sleep 0.1; done; printf two"
    labkit("run", "-d", "--network", "none", "--name", "words", "busybox", "sh", "-c", script)
    assert wait_for(lambda: labkit("logs", "words").stdout == "one\n")
    labkit("exec", "words", "touch", "/go")
    assert labkit("logs", "-f", "words").stdout == "one\ntwo"


def test_following_a_log_sees_the_last_line() -> None:
    labkit("run", "-d", "--network", "none", "--name", "many", "busybox", "seq", "1", "20000")
    assert labkit("logs", "-f", "many").stdout.splitlines()[-1] == "20000"
    assert labkit("logs", "--tail", "2", "many").stdout == "19999\n20000\n"


def test_output_is_passed_on_byte_by_byte() -> None:
    command = [*LABKIT, *QUICK, "busybox", "sh", "-c", "head -c 300000 /bin/busybox"]
    result = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert len(result.stdout) == 300000
    assert result.stdout[:4] == b"\x7fELF"


def test_a_reader_that_does_not_read_stops_nobody() -> None:
    reader, writer = os.pipe()
    running = subprocess.Popen([*LABKIT, "run", "--network", "none", "--name", "loud", "busybox", "yes"], stdout=writer)
    os.close(writer)
    assert wait_for(lambda: labkit("ps", "-q").stdout)
    time.sleep(0.5)
    labkit("stop", "-t", "0", "loud")
    os.close(reader)
    running.wait(20)


def test_a_reader_that_goes_away_ends_the_container() -> None:
    command = f"{' '.join(LABKIT)} run --rm --network none busybox yes | head -1"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=30, check=True)
    assert result.stdout == "y\n"
    assert wait_for(lambda: not labkit("ps", "-aq").stdout)


def test_a_detached_container_holds_nothing_of_its_starter(tmp_path: Path) -> None:
    words = "run -d --network none --name alone busybox sleep 100"
    command = f"cd {tmp_path} && {' '.join(LABKIT)} {words} 3>&1 <&- | cat"
    assert len(subprocess.run(["bash", "-c", command], capture_output=True, timeout=30, check=True).stdout) == 65
    (shim,) = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_shim(entry)]
    assert os.readlink(shim / "cwd") == "/"
    labkit("gc")
    assert labkit("ps", "-q").stdout, "gc took a healthy container for an orphan"


def _is_shim(entry: Path) -> bool:
    try:
        return (entry / "comm").read_text().startswith("labkit-shim") and bool((entry / "cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_program_for_exec_is_checked() -> None:
    labkit("run", "-d", "--network", "none", "--name", "host", "busybox", "sleep", "100")
    assert labkit("exec", "-w", "/etc/passwd", "host", "ls", check=False).returncode == 126
    relative = labkit("exec", "-w", "etc", "host", "ls", check=False)
    assert (relative.returncode, "no absolute path" in relative.stderr) == (125, True)


def test_a_mount_below_a_container_is_not_deleted_with_it(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/file").write_text("keep me")
    labkit("run", "--network", "none", "--name", "careful", "busybox", "true")
    (known,) = json.loads(labkit("inspect", "careful").stdout)
    look = f"/var/lib/labkit/containers/{known['id']}/look"
    os.mkdir(look)
    subprocess.run(["mount", "--bind", str(tmp_path / "precious"), look], check=True)
    refused = labkit("rm", "careful", check=False)
    assert "is a mount point" in refused.stderr
    assert (tmp_path / "precious/file").read_text() == "keep me"
    subprocess.run(["umount", look], check=True)
    labkit("rm", "careful")


def test_in_a_chroot_it_refuses(tmp_path: Path) -> None:
    # All that the root directory holds: the checkout and its Python may lie below any of these names.
    names = [path.name for path in Path("/").iterdir() if path.is_dir()]
    for name in names:
        (tmp_path / name).mkdir()
    binds = " && ".join(f"mount --rbind /{name} {tmp_path}/{name}" for name in names)
    script = f"{binds} && exec chroot {tmp_path} env {' '.join(LABKIT)} run --rm --network none busybox true"
    said = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    assert said.returncode == 125
    assert "does not run in a chroot" in said.stderr


def test_limits_are_in_the_cgroup() -> None:
    labkit("run", "-d", "--network", "none", "--name", "small", "--pids-limit", "7", "busybox", "sleep", "100")
    (known,) = json.loads(labkit("inspect", "small").stdout)
    (limit,) = [path.read_text().strip() for path in Path("/sys/fs/cgroup").rglob(f"{known['id']}/pids.max")]
    assert limit == "7"
