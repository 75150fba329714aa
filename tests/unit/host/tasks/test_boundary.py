from __future__ import annotations

import errno
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import pytest
from invoke.exceptions import Exit

from labkit import log
from labkit.errors import ConflictError, LabkitError, NotFoundError, UsageError
from labkit.host.lab import paths
from labkit.host.tasks import boundary


def raising(error: BaseException) -> NoReturn:
    raise error


def test_a_task_that_ends_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.call(lambda: None) == 0
    assert boundary.call(lambda: 3) == 3
    assert capsys.readouterr().err == ""


def test_a_users_error_is_a_sentence_a_hint_and_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    status = boundary.call(lambda: raising(NotFoundError("There is no [machine] “x”.", "Did you mean y?")))
    output = capsys.readouterr()
    assert status == 4
    assert output.out == ""
    assert output.err == "error: There is no [machine] “x”.\n  hint: Did you mean y?\n"


def test_a_sentence_is_never_broken_into_lines(capsys: pytest.CaptureFixture[str]) -> None:
    boundary.call(lambda: raising(ConflictError("word " * 60 + "end.")))
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.call(lambda: raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.strip() == "Interrupted."


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_or_read_only_disk_is_no_bug(capsys: pytest.CaptureFixture[str], number: int) -> None:
    assert boundary.call(lambda: raising(OSError(number, os.strerror(number), "/some/file"))) == 7
    assert "/some/file" in capsys.readouterr().err
    assert not (paths.state_dir() / "reports").exists()


def test_our_own_mistake_becomes_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.call(lambda: raising(ValueError("unexpected [value]"))) == 70
    shown = capsys.readouterr().err
    (report,) = (paths.state_dir() / "reports").iterdir()
    assert "ValueError: unexpected [value]" in shown
    assert str(report) in shown
    assert "Traceback" not in shown
    assert "Traceback" in report.read_text(encoding="utf-8")
    assert "test_boundary.py" in report.read_text(encoding="utf-8")


def test_only_the_newest_reports_are_kept() -> None:
    for _ in range(boundary._KEPT_REPORTS + 3):
        boundary.call(lambda: raising(ValueError()))
    assert len(list((paths.state_dir() / "reports").iterdir())) == boundary._KEPT_REPORTS


def test_without_a_place_for_the_report_the_traceback_is_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path / "file"))
    assert boundary.call(lambda: raising(ValueError("oops"))) == 70
    assert "Traceback" in capsys.readouterr().err


def test_invokes_own_exit_is_invokes() -> None:
    with pytest.raises(Exit):
        boundary.call(lambda: raising(Exit("by invoke", code=3)))


def test_nobody_listens_any_more_afterwards() -> None:
    before = list(log._listeners)
    boundary.call(lambda: raising(LabkitError("no")))
    assert log._listeners == before


def test_a_wrapped_body_keeps_its_signature_and_ends_the_process() -> None:
    @boundary.task_body
    def body(name: str, step: bool = False) -> int:
        """What it does."""
        return len(name)

    assert list(inspect.signature(body).parameters) == ["name", "step"]
    assert body.__doc__ == "What it does."
    body("")
    with pytest.raises(SystemExit) as caught:
        body("abc", step=True)
    assert caught.value.code == 3


def test_an_event_log_that_cannot_be_written_is_a_users_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    boundary._start_event_log.cache_clear()
    monkeypatch.setenv("LABKIT_LOG", str(tmp_path / "no/such/directory"))
    assert boundary.call(lambda: None) == UsageError.exit_status
    boundary._start_event_log.cache_clear()


def test_two_chained_tasks_write_each_event_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    boundary._start_event_log.cache_clear()
    monkeypatch.setattr(log, "_listeners", [])
    monkeypatch.setenv("LABKIT_LOG", str(tmp_path / "log"))
    boundary.call(lambda: log.emit("first"))
    boundary.call(lambda: log.emit("second"))
    boundary._start_event_log.cache_clear()
    assert [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()] == ["first", "second"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGPIPE, and its pipes break differently")
def test_a_reader_that_has_had_enough_is_no_error() -> None:
    program = (
        "from labkit.host.tasks import boundary\nimport sys\nsys.exit(boundary.call(lambda: print('x' * 200_000)))"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=paths.checkout(), text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == boundary.BROKEN_PIPE
