"""Plays a lesson on a machine: resets it, opens the shell, runs the steps and compares what they print."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from testinfra.host import Host

from labkit.errors import InfrastructureError
from labkit.host.machines import Machine
from labkit.host.machines.consolelog import last_lines
from labkit.host.payload.deployed import pack, with_lf
from labkit.host.scenario import backend, needs
from labkit.host.scenario.compare import compare
from labkit.host.scenario.model import Command, Lesson, Prose, Step
from labkit.host.scenario.shell import Result, Shell, ShellLostError

DIRECTORY = "/root/lessons"
"""Where a lesson's own files lie in the machine, each lesson's in a directory of its name."""

_LAST_LINES = 8
"""How much of the console's log an unreachable machine is shown with."""


@dataclass(eq=False)
class StepFailedError(Exception):
    """A command of the lesson did not do what the lesson says."""

    step: Step
    command: Command
    reason: str
    """One sentence."""
    output: str
    difference: list[tuple[str, str]] = field(default_factory=list)
    """See ``compare``; empty where the output is not what is wrong."""


class LessonLeftError(Exception):
    """The reader has seen enough. An audience may raise it whenever it is told something."""


class Audience:
    """Whoever is told what happens, as it happens. This one does not listen; ``narrator.Narrator`` does."""

    def lesson_begins(self, lesson: Lesson, machine: str, kernel: str) -> None:
        """The machine is ready. ``kernel`` is what ``uname -r`` says there."""

    def step_begins(self, step: Step, number: int, total: int) -> None:
        """``number`` counts from 1."""

    def says(self, part: Prose) -> None:
        """The next piece of text."""

    def runs(self, command: Command) -> None:
        """The command will be run when this returns."""

    def printed(self, command: Command, result: Result, seconds: float) -> None:
        """It ended, and it did what it should."""

    def step_failed(self, failure: StepFailedError) -> None:
        """The rest of the lesson is not run."""


@dataclass(eq=False)
class PlayedLesson:
    """A lesson being played on a machine. Checks get it as the fixture ``lesson``."""

    lesson: Lesson
    machine: Machine
    audience: Audience
    checks_only: bool = False
    is_fresh: bool = False
    """The machine was just booted."""

    def __post_init__(self) -> None:
        """Nothing has been played."""
        self._shell: Shell | None = None
        self._host: Host | None = None
        self._outputs: list[str] = []
        """What each step that was played has printed, the one that failed included."""
        self._failure: StepFailedError | None = None
        self._lacks: dict[str, str | None] = {}

    # ---- what checks may ask

    def output(self, step_id: str) -> str:
        """What the step's commands printed, one after the other."""
        position = self.lesson.position(step_id)
        if position >= len(self._outputs):
            raise ValueError(f"the step {step_id} has not been played yet: put the check @after it")
        return self._outputs[position]

    def variable(self, name: str) -> str:
        """The value of a variable of the lesson's shell."""
        return self._open_shell().variable(name)

    # ---- what the plugin asks

    def open(self) -> Host:
        """The machine as testinfra sees it, made ready first. InfrastructureError where it cannot be reached.

        Checks alone look at what is there, and only add those of the lesson's files that are missing; a lesson that is
        played gets a fresh machine. One that ``is_fresh`` already need not be reset for that.
        """
        if self._host is None:
            if not self.checks_only and not self.is_fresh:
                self.machine.reset()
            self._host = backend.host(self.machine.name, self.machine.connection())
            shell = self._open_shell()
            shell.enter(directory(self.lesson), _archive(self.lesson.path.parent), keep=self.checks_only)
            if not self.checks_only:
                kernel = shell.run("uname -r").output.strip()
                self.audience.lesson_begins(self.lesson, self.machine.name, kernel)
        return self._host

    def close(self) -> None:
        """End the shells. What the lesson did to the machine stays, to be looked at."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None
        if self._host is not None:
            self._host.backend.close()
            self._host = None

    def probe(self, names: tuple[str, ...]) -> dict[str, str | None]:
        """Each of these needs -> why the machine's kernel lacks it, None where it has it. Each is probed once."""
        host = self.open()
        for name in names:
            if name not in self._lacks:
                self._lacks[name] = needs.lacking(name, host)
        return {name: self._lacks[name] for name in names}

    def reach(self, position: int) -> StepFailedError | None:
        """Play whatever is missing up to the step at ``position`` (from 0), itself included.

        Returns the failure that the lesson has run into, there or before; after one nothing more is played.
        """
        self.open()
        while len(self._outputs) <= position and not self._failure:
            self._play(len(self._outputs))
        return self._failure

    # ---- playing

    def _play(self, position: int) -> None:
        """One step. A machine that is gone leaves it unplayed."""
        step, output = self.lesson.steps[position], ""
        self.audience.step_begins(step, position + 1, len(self.lesson.steps))
        try:
            for part in step.parts:
                if isinstance(part, Command):
                    self.audience.runs(part)
                    output += self._run(step, part)
                else:
                    self.audience.says(part)
        except StepFailedError as failure:
            self._failure = failure
            self.audience.step_failed(failure)
        self._outputs.append(output)

    def _run(self, step: Step, command: Command) -> str:
        """One command; StepFailedError where it is not as the lesson says."""
        started = time.monotonic()
        try:
            result = self._open_shell().run(command.text, command.timeout)
        except ShellLostError as lost:
            raise StepFailedError(step, command, str(lost), lost.output) from None
        difference = compare(command.expected, result.output)
        if result.exit_status != command.exit_status:
            reason = f"Its exit status is {result.exit_status}, and the lesson says {command.exit_status}."
            raise StepFailedError(step, command, reason, result.output, difference)
        if difference:
            reason = "The output is not what the lesson says."
            raise StepFailedError(step, command, reason, result.output, difference)
        self.audience.printed(command, result, time.monotonic() - started)
        return result.output

    def _open_shell(self) -> Shell:
        # Asked for before each command: the laptop may have slept while its reader read. Then the clock is set here.
        connection = self.machine.connection()
        if self._shell is None:
            self._shell = Shell(connection)
        return self._shell


def directory(lesson: Lesson) -> str:
    """Where in the machine the lesson is played, and where its checks look."""
    return f"{DIRECTORY}/{lesson.name}"


def _archive(source: Path) -> bytes:
    """The lesson's own files as a tar: what lies beside README.md and the checks. Empty where there are none."""
    own = {
        path.name: with_lf(path.read_bytes())
        for path in sorted(source.iterdir())
        if path.is_file() and not path.name.startswith("README") and path.suffix not in {".py", ".pyc"}
    }
    return pack(own) if own else b""


def last_words(machine: Machine) -> list[str]:
    """What the machine's console said last, without control characters; nothing where that is not kept."""
    log = machine.console_log()
    try:
        lines = last_lines(log, _LAST_LINES) if log else []
    except OSError:
        return []
    return ["".join(char for char in line if char.isprintable()) for line in lines]


def explain(error: InfrastructureError, machine: Machine) -> str:
    """The error as a reader of a report needs it: sentence, hint, and what the machine said last."""
    words = last_words(machine)
    console = ["The last lines of its console:", *(f"    {line}" for line in words)] if words else []
    return "\n".join([error.message, *([error.hint] if error.hint else []), *console])
