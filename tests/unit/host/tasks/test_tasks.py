"""The command line as a user meets it: the real invoke, in a process of its own, with a state of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from labkit.errors import NotFoundError, UsageError
from labkit.host.lab import config, paths
from labkit.host.machines import consolelog

TASKS = """
    bench box check clean deploy destroy doctor down lint logs matrix reset scenario scenarios ssh status test up
""".split()


def invoke(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run invoke in the checkout."""
    return subprocess.run(
        [sys.executable, "-m", "invoke", *words],
        cwd=paths.checkout(),
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "120", "PYTHONPATH": str(paths.checkout()), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def test_the_list_is_a_table_of_contents() -> None:
    run = invoke("--list")
    assert run.returncode == 0
    lines = [line.split(None, 1) for line in run.stdout.splitlines() if line.startswith("  ")]
    # A line that went on below would not begin with a task's name.
    assert [line[0] for line in lines] == TASKS
    assert all(line[1].endswith((".", "?")) for line in lines)


@pytest.mark.parametrize("task", TASKS)
def test_each_tasks_help_has_an_example(task: str) -> None:
    run = invoke("--help", task)
    assert run.returncode == 0
    assert re.search(rf"^\s+.*invoke .*{task}", run.stdout.split("Docstring:")[1], re.MULTILINE)


def test_a_missing_lessons_name_is_answered_with_those_there_are() -> None:
    run = invoke("scenario")
    assert run.returncode == UsageError.exit_status
    for readme in (paths.checkout() / "scenarios").glob("*/README.md"):
        assert readme.parent.name in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("words", [["upp"], ["up", "--foo"], ["check"], ["ssh", "ls"], ["--help", "upp"]])
def test_a_command_line_that_invoke_cannot_read_is_no_failed_test(words: list[str]) -> None:
    run = invoke(*words)
    assert run.returncode == UsageError.exit_status
    assert run.stderr.strip()
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("lines", ["x", "-5", "²"])
def test_a_number_of_lines_is_one(lines: str) -> None:
    run = invoke("logs", "--lines", lines)
    assert (run.returncode, run.stdout) == (UsageError.exit_status, "")
    assert run.stderr.startswith(f"error: {lines!r} is no number of lines.\n  hint: ")


def test_a_report_goes_where_there_is_a_directory(tmp_path: Path) -> None:
    run = invoke("scenario", "overlay", "--junit", str(tmp_path / "nosuch" / "x.xml"))
    assert run.returncode == UsageError.exit_status
    assert "nosuch" in run.stderr
    assert not (tmp_path / "nosuch").exists()


def test_an_unknown_lesson_needs_no_machine_to_be_told() -> None:
    run = invoke("scenario", "redis-nta")
    assert run.returncode == NotFoundError.exit_status
    assert "There is no" in run.stderr
    assert "redis-nta" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize("task", ["up", "down", "destroy", "reset", "status", "ssh", "deploy", "logs"])
def test_an_unknown_machine_is_answered_with_those_there_are(task: str) -> None:
    run = invoke(task, "--machine", "secnd")
    assert run.returncode == NotFoundError.exit_status
    assert run.stderr == (
        "error: There is no machine called “secnd”.\n  hint: Did you mean second? There are: aufs, default, second.\n"
    )


def test_a_wrong_lab_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("machines:\n  default:\n    cpu: 2\nkernels: {}\n")
    run = invoke("status", LABKIT_LAB=str(tmp_path / "lab.yaml"))
    assert run.returncode == 3
    assert f"{tmp_path / 'lab.yaml'}:3: machines.default has no key “cpu”" in run.stderr


def test_status_of_machines_that_never_were() -> None:
    run = invoke("status", "--json")
    assert (run.returncode, run.stderr) == (0, "")
    machines = json.loads(run.stdout)["machines"]
    assert [set(one) for one in machines] == [{"name", "provider", "state", "detail", "facts"}] * len(machines)
    assert {one["name"]: one["state"] for one in machines} == dict.fromkeys(config.load().machines, "absent")
    assert "default  qemu      absent\n" in invoke("status").stdout
    assert not paths.state_dir().exists(), "to look may not make anything"


def test_status_shows_a_cell_of_the_matrix_that_has_left_something() -> None:
    paths.machine_dir("cell-6.1-v2-legacy").mkdir(parents=True)
    machines = json.loads(invoke("status", "--json").stdout)["machines"]
    assert [one["name"] for one in machines] == [*config.load().machines, "cell-6.1-v2-legacy"]
    assert (
        json.loads(invoke("status", "--machine", "cell-6.1-v2-nft", "--json").stdout)["machines"][0]["state"]
        == "absent"
    )


def test_what_needs_a_running_machine_says_how_to_start_it() -> None:
    for words in (["ssh", "-c", "true"], ["deploy"], ["check", "overlay"]):
        run = invoke(*words, "--machine", "second")
        assert run.returncode == 5
        assert "absent" in run.stderr
        assert "invoke up --machine second" in run.stderr
    assert invoke("logs").returncode == NotFoundError.exit_status
    assert invoke("down").returncode == 0


def test_lessons_are_listed() -> None:
    run = invoke("scenarios", "--json")
    assert (run.returncode, run.stderr) == (0, "")
    lessons = json.loads(run.stdout)["scenarios"]
    on_disk = sorted(readme.parent.name for readme in (paths.checkout() / "scenarios").glob("*/README.md"))
    assert [lesson["name"] for lesson in lessons] == on_disk
    assert all(set(one) == {"name", "title", "minutes", "claims", "needs", "path"} for one in lessons)
    table = invoke("scenarios").stdout
    assert all(lesson["title"] in table for lesson in lessons)


def test_clean_asks_and_removes_only_what_is_ours() -> None:
    kept = paths.cache_dir() / "somebody-elses"
    image = paths.cache_dir() / "images" / "key" / "disk.qcow2"
    for file in (kept, image):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 100_000)
    run = invoke("clean")
    assert run.returncode == UsageError.exit_status
    assert str(paths.cache_dir() / "images") in run.stdout
    assert "--yes" in run.stderr
    assert image.exists()
    run = invoke("clean", "--yes")
    assert run.returncode == 0
    assert kept.exists()
    assert not image.parent.parent.exists()
    assert "nothing to remove" in invoke("clean").stdout


def test_clean_measures_what_is_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d/full").write_bytes(os.urandom(1_000_000))
    with open(tmp_path / "d/sparse", "wb") as sparse:
        sparse.truncate(500_000_000)
    assert 1_000_000 <= paths.disk_bytes(tmp_path / "d") < 3_000_000


class Machine:
    """As much of a machine as its console log needs."""

    name = "default"

    def __init__(self, log: Path | None) -> None:
        self._log = log

    def console_log(self) -> Path | None:
        return self._log


def test_the_consoles_last_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "console.log"
    log.write_bytes(b"".join(b"line %d\r\n" % number for number in range(60_000)) + b"caf\xc3")
    assert consolelog.last_lines(log, 2) == ["line 59999", "caf�"]
    assert consolelog.last_lines(log, 0) == []
    log.write_bytes(b"\x1bM\x1b[K[\x1b[0;32m  OK  \x1b[0m] Started ssh.\r\n")
    assert consolelog.last_lines(log, 1) == ["[  OK  ] Started ssh."]
    log.write_bytes(b"caf\xc3")
    consolelog.show(Machine(log), 1, follow=False)  # type: ignore[arg-type]
    assert capsys.readouterr().out == "caf�\n"


def test_what_the_console_said_before_a_reset_explains_nothing_after_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "console.log"
    log.write_text("an old oops\n")
    assert consolelog.last_lines(log, 5) == ["an old oops"]
    consolelog.mark_reset(log)
    assert consolelog.last_lines(log, 5) == []
    with log.open("a") as console:
        console.write("a new one\n")
    assert consolelog.last_lines(log, 5) == ["a new one"]
    consolelog.show(Machine(log), 5, follow=False)  # type: ignore[arg-type]
    assert capsys.readouterr().out == "an old oops\na new one\n"
    consolelog.forget_reset(log)
    assert consolelog.last_lines(log, 5) == ["an old oops", "a new one"]


def test_following_the_console_over_a_restart(tmp_path: Path) -> None:
    log = tmp_path / "console.log"
    log.write_text("before\n")
    seen: list[str] = []

    limit = time.monotonic() + 5

    def wait_for(text: str) -> None:
        while text not in "".join(seen) and time.monotonic() < limit:
            time.sleep(0.05)
        assert text in "".join(seen)

    follower = threading.Thread(target=lambda: [seen.append(text) for text in consolelog.additions(log, limit)])
    follower.start()
    time.sleep(0.5)
    with open(log, "a") as file:
        file.write("more\n")
    wait_for("more")
    log.write_text("new\n")
    wait_for("new")
    follower.join()
    assert "".join(seen) == "more\nnew\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to a whole console, this test's included")
def test_ctrl_c_ends_a_task_in_one_line() -> None:
    log = paths.machine_dir("default") / "console.log"
    log.parent.mkdir(parents=True)
    log.write_text("the last line\n")
    with subprocess.Popen(
        [sys.executable, "-m", "invoke", "logs", "--follow"],
        cwd=paths.checkout(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as follower:
        assert follower.stdout
        assert follower.stderr
        assert follower.stdout.readline() == "the last line\n"
        follower.send_signal(signal.SIGINT)
        assert follower.stderr.read().strip() == "Interrupted."
    assert follower.returncode == 130
