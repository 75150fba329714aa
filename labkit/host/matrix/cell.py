"""Plays lessons in one cell: boots its machine, plays one lesson after the other on it, and destroys it.

Boot and lessons are programs of their own (``invoke up``, and pytest as in ``pytest scenarios/NAME --machine CELL``).
So several cells can be played at once, none can disturb another, and each can be ended. A lesson begins on a machine
that was reset, but for the first, which has it as it was booted.

Ctrl-C reaches every process of a terminal's foreground. So each program gets a session of its own: then one place
decides what is ended, in which order, and a lesson's program has the time to close its report.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from labkit.errors import InfrastructureError, LabkitError
from labkit.host import machines
from labkit.host.lab import config, paths, programs
from labkit.host.lab.matrixsection import ExpectedLack
from labkit.host.machines import Machine
from labkit.host.matrix.record import CellRun, Record
from labkit.host.matrix.verdict import Result, infrastructure, judge
from labkit.host.scenario import library

UP_LIMIT = 1800.0
"""Seconds until a machine must be up. The first of its kernel builds the guest image, which a slow mirror may delay."""
LESSON_LIMIT = 900.0
"""Seconds that a lesson may take. Its steps have limits of their own, so this is for what nobody thought of."""
ATTEMPTS = 2
"""How often a machine is tried that does not come up or is lost."""
PATIENCE = 20.0
"""Seconds that a program is given to end by itself when it is told to."""


class StoppedError(Exception):
    """The whole run is to end, so this program was ended."""


class CellPlayer:
    """Plays what is to do in ``run``, and records each result as it comes."""

    def __init__(self, run: CellRun, record: Record, place: Path, stop: threading.Event) -> None:
        lab = config.load()
        self._run = run
        self._record = record
        self._place = place
        """The directory of the lessons."""
        self._stop = stop
        self._expected: dict[str, ExpectedLack] = lab.matrix.expected(run.cell)
        self._machine: Machine = machines.open_machine(lab.machine(run.cell.machine))
        self._log = record.log(run.cell)
        self._is_fresh = False
        """Whether nobody has used the machine since it was booted."""

    def play(self, tell: Callable[[CellRun, Result], None]) -> None:
        """Boot, play, destroy. ``tell`` hears of each result. StoppedError where the whole run was stopped."""
        try:
            trouble = self._boot_twice() if self._run.todo else ""
            for lesson in self._run.todo:
                result = infrastructure(lesson, [trouble]) if trouble else self._play_twice(lesson)
                self._run.results[lesson] = result
                if result.verdict != "infrastructure":
                    self._record.add(self._run, result)
                tell(self._run, result)
        except LabkitError as error:  # the machine's files: a full disk, a lock that cannot be had
            for lesson in self._run.todo:
                self._run.results[lesson] = infrastructure(lesson, [error.message])
                tell(self._run, self._run.results[lesson])
        finally:
            self._run.begin("")
            self._machine.destroy()

    def _boot_twice(self) -> str:
        """Up, at the second attempt if need be. Why it is not, or nothing."""
        trouble = ""
        for _ in range(ATTEMPTS):
            self._machine.destroy()
            trouble, again = self._boot()
            if not again:
                break
        return trouble

    def _boot(self) -> tuple[str, bool]:
        """Why the machine is not up (nothing: it is), and whether that may be otherwise at another attempt."""
        self._run.begin("boot")
        started = time.monotonic()
        command = [sys.executable, "-m", "invoke", "up", "--machine", self._run.cell.machine]
        status = run(command, self._log, UP_LIMIT, self._stop)
        if status == 0:
            self._run.boot_seconds = time.monotonic() - started
            facts = self._machine.status().facts
            self._run.facts = {name: str(facts[name]) for name in ("kernel", "accelerator") if facts.get(name)}
            self._is_fresh = True
            return "", False
        return self._complaint(status), status == InfrastructureError.exit_status

    def _complaint(self, status: int) -> str:
        """The error that a task of ours ended with, from the log: its last line that says so."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        words = next((line for line in reversed(lines) if line.startswith("error: ")), "")
        return words.removeprefix("error: ") or f"`invoke up` ended with status {status}."

    def _play_twice(self, lesson: str) -> Result:
        """The lesson's result; where the machine was lost, that of a second attempt on a new machine."""
        result = self._play(lesson)
        if result.verdict != "infrastructure":
            return result
        trouble = self._boot_twice()
        return infrastructure(lesson, [*result.why, trouble]) if trouble else self._play(lesson)

    def _play(self, lesson: str) -> Result:
        self._run.begin(lesson)
        started = time.monotonic()
        report = self._record.junit(self._run.cell, lesson)
        report.unlink(missing_ok=True)
        command = self._command(lesson, report)
        self._is_fresh = False
        status = run(command, self._log, LESSON_LIMIT, self._stop)
        content = report.read_bytes() if report.is_file() else b""
        return judge(lesson, status, content, self._expected, time.monotonic() - started)

    def _command(self, lesson: str, report: Path) -> list[str]:
        return [
            *[sys.executable, "-m", "pytest", f"--config-file={library() / 'pytest.ini'}"],
            *["-p", "no:cacheprovider", "--verbose", "--tb=short", "--color=no", f"--rootdir={self._place}"],
            *[f"--machine={self._run.cell.machine}", f"--junitxml={report}", str(self._place / lesson)],
            *(["--machine-is-fresh"] if self._is_fresh else []),
        ]


def run(command: Sequence[str], log: Path, limit: float, stop: threading.Event) -> int:
    """Run ``command`` in the checkout, its output added to ``log``; its exit status (negative: a signal's number).

    It is ended after ``limit`` seconds, and when ``stop`` is set; StoppedError then.
    """
    if stop.is_set():
        raise StoppedError
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    deadline = time.monotonic() + limit
    with open(log, "ab") as file:
        file.write(f"\n== {' '.join(command)}\n".encode())
        file.flush()
        process = subprocess.Popen(
            command,
            cwd=paths.checkout(),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            **programs.apart(),
        )
        try:
            while not stop.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return process.wait(timeout=0.2)
                if time.monotonic() > deadline:
                    file.write(f"== It did not end within {limit:.0f} seconds and is ended.\n".encode())
                    return programs.end(process, PATIENCE)
            programs.end(process, PATIENCE)
            raise StoppedError
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
