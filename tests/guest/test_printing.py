"""What a container prints: on its way to the command that waits for it, to the log, and out of that again."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import labkit, wait_for
from programs import LABKIT

pytestmark = pytest.mark.root

QUICK = ("run", "--network", "none", "--name", "talker")


def raw(*words: str, given: bytes = b"") -> bytes:
    """What a command of labkit writes, byte by byte."""
    return subprocess.run([*LABKIT, *words], input=given, capture_output=True, check=True, timeout=60).stdout


def log_files() -> dict[str, int]:
    (directory,) = Path("/var/lib/labkit/containers").iterdir()
    return {file.name: file.stat().st_size for file in directory.glob("container.log*")}


def test_a_million_lines_arrive_and_take_no_more_room_than_they_are_long() -> None:
    said = raw(*QUICK, "busybox", "sh", "-c", "yes | head -c 2000000")
    assert said == b"y\n" * 1000000
    assert raw("logs", "talker") == said
    assert raw("logs", "--tail", "3", "talker") == b"y\n" * 3
    assert sum(log_files().values()) < 2_100_000


def test_a_line_is_a_line_however_long() -> None:
    script = "echo first; head -c 40000 /dev/zero | tr '\\0' x; echo; echo last >&2"
    raw(*QUICK, "busybox", "sh", "-c", script)
    long_one = b"x" * 40000 + b"\n"
    assert raw("logs", "talker") == b"first\n" + long_one
    assert raw("logs", "--tail", "2", "talker") == long_one
    stamped = raw("logs", "-f", "-t", "talker").splitlines()
    assert [line.partition(b" ")[2] for line in stamped] == [b"first", long_one[:-1]]
    assert raw("logs", "--since", stamped[1].split()[0].decode(), "--until", "0s", "talker").endswith(long_one)


def test_no_more_is_kept_than_was_asked_for_and_a_follower_sees_all_of_it() -> None:
    words = ("--log-driver", "local", "--log-opt", "max-size=20k", "--log-opt", "max-file=3")
    script = "while [ ! -e /go ]; do sleep 0.05; done; for i in $(seq 1 40); do seq -w $i 40 4000; sleep 0.01; done"
    labkit(*QUICK, "-d", *words, "busybox", "sh", "-c", script)
    follower = subprocess.Popen([*LABKIT, "logs", "-f", "talker"], stdout=subprocess.PIPE, text=True)
    labkit("exec", "talker", "touch", "/go")
    everything, _ = follower.communicate(timeout=60)
    assert len(everything.split()) == 4000
    files = log_files()
    assert sorted(files)[0] == "container.log"
    assert len(files) in (2, 3)
    assert max(files.values()) <= 20000
    (known,) = json.loads(labkit("inspect", "talker").stdout)
    assert known["HostConfig"]["LogConfig"] == {"Type": "local", "Config": {"max-size": "20k", "max-file": "3"}}


def test_the_log_is_turned_over_and_goes_on_when_the_container_is_started_again() -> None:
    labkit(*QUICK, "--log-opt", "max-size=10k", "--log-opt", "max-file=3", "busybox", "seq", "-w", "1", "10000")
    assert len(log_files()) == 3
    assert sum(log_files().values()) <= 30000
    lines = labkit("logs", "talker").stdout.split()
    assert lines[1:] == [f"{number:05}" for number in range(10001 - len(lines) + 1, 10001)]
    labkit("start", "-a", "talker")
    assert labkit("logs", "--tail", "1", "talker").stdout == "10000\n"
    assert len(log_files()) == 3


def test_without_a_log_there_is_nothing_to_read_and_attached_commands_see_everything() -> None:
    assert raw(*QUICK, "--log-driver", "none", "busybox", "echo", "seen") == b"seen\n"
    refused = labkit("logs", "talker", check=False)
    assert refused.returncode == 5
    assert "was made with --log-driver none, so there is nothing to read" in refused.stderr
    assert log_files() == {}
    bad = labkit("run", "--log-driver", "none", "--log-opt", "max-size=1m", "busybox", "true", check=False)
    assert (bad.returncode, "invalid logging opts for driver none" in bad.stderr) == (125, True)


def test_what_the_log_is_by_default_is_shown() -> None:
    assert json.loads(labkit("info", "--json").stdout)["logs"] == {
        "driver": "json-file",
        "max-size": "20m",
        "max-file": "5",
    }


def test_a_full_disk_costs_lines_of_the_log_and_not_the_container(tmp_path: Path) -> None:
    labkit("create", *QUICK[1:], "busybox", "sh", "-c", "yes | head -c 3000000; echo done")
    (directory,) = Path("/var/lib/labkit/containers").iterdir()
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", str(small)], check=True)
    try:
        os.symlink(small / "log", directory / "container.log")
        said = raw("start", "-a", "talker")
        assert said == b"y\n" * 1500000 + b"done\n"
        kept = raw("logs", "talker")
        assert 0 < len(kept) < 1_100_000
        assert kept.startswith(b"y\n")
    finally:
        labkit("rm", "-f", "talker")
        subprocess.run(["umount", str(small)], check=True)


def test_a_shim_that_was_killed_leaves_a_log_that_is_read_up_to_there() -> None:
    labkit(*QUICK, "-d", "busybox", "sh", "-c", "echo before; sleep 100")
    assert wait_for(lambda: labkit("logs", "talker").stdout == "before\n")
    (directory,) = Path("/var/lib/labkit/containers").iterdir()
    with open(directory / "container.log", "ab") as log:  # as one that was killed in a write(2)
        log.write(b"1764267332123456789 O 0000011\nhel")
    assert labkit("logs", "talker").stdout == "before\n"
    labkit("stop", "-t", "0", "talker")
    labkit("start", "talker")
    assert wait_for(lambda: labkit("logs", "talker").stdout == "before\nbefore\n")


def test_a_program_that_writes_more_than_it_reads_does_not_wait_for_us_for_ever() -> None:
    command = ["run", "--rm", "--network", "none", "-i", "busybox", "sed", "s/^/twelve times/"]
    assert len(raw(*command, given=b"\n" * 200000)) == 200000 * 13


def test_what_is_pasted_into_a_terminal_arrives_whole_however_slowly_it_is_read() -> None:
    script = "stty raw -echo; echo ready; sleep 0.3; head -c 300000 | md5sum; exit"
    labkit(*QUICK, "-d", "-it", "busybox", "sh", "-c", script)
    assert wait_for(lambda: "ready" in labkit("logs", "talker").stdout)
    raw("attach", "talker", given=b"0123456789" * 30000)
    expected = subprocess.run(["md5sum"], input=b"0123456789" * 30000, capture_output=True, check=True).stdout
    assert expected.split()[0].decode() in labkit("logs", "talker").stdout
