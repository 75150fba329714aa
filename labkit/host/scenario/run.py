"""Finds a lesson, and plays it by pytest, in this very process: what ``invoke scenario`` and ``invoke check`` do."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import ConfigError, LabkitError, UsageError
from labkit.host.lab.names import not_found
from labkit.host.lab.paths import checkout
from labkit.host.machines import Machine
from labkit.host.scenario import parser
from labkit.host.scenario.model import Lesson
from labkit.host.scenario.narrator import Narrator, make_console
from labkit.host.scenario.player import last_words
from labkit.host.scenario.plugin import Stage


def library() -> Path:
    """Where the lessons are: every directory in there with a README.md."""
    return checkout() / "scenarios"


def catalogue(place: Path | None = None) -> list[Lesson]:
    """All lessons, by name. ConfigError where one does not parse."""
    return [parser.read(readme) for readme in sorted((place or library()).glob("*/README.md"))]


def find(name: str, place: Path | None = None) -> Lesson:
    """The lesson called ``name``. NotFoundError with the nearest names."""
    readmes = {readme.parent.name: readme for readme in (place or library()).glob("*/README.md")}
    if name not in readmes:
        raise not_found("scenario", name, readmes)
    return parser.read(readmes[name])


def run(
    name: str,
    machine: Machine,
    *,
    step: bool = False,
    junit: Path | None = None,
    checks_only: bool = False,
    place: Path | None = None,
) -> int:
    """Play the lesson ``name`` on ``machine`` and prove it; returns the exit status, 0 or 1.

    ``step`` waits for the reader before each command; ``junit`` is where pytest writes a test case for each step and
    check; ``checks_only`` neither resets the machine nor plays a step. ``place`` holds the lessons (default:
    the checkout's). Raises InfrastructureError where the machine cannot be reached, also in the middle of the lesson,
    and KeyboardInterrupt after a Ctrl-C, when the machine stays as it is and the report has been written.
    """
    lesson = find(name, place)
    console = make_console()
    narrator = Narrator(console, step=step)
    if checks_only:
        narrator.checks_begin(lesson, machine.name)
    stage = Stage(machine, narrator, checks_only=checks_only)
    arguments = [
        str(lesson.path.parent),
        f"--config-file={library() / 'pytest.ini'}",
        f"--rootdir={lesson.path.parent.parent}",
        "--capture=no",  # the narrator writes while tests run, and reads Enter
        "-pno:cacheprovider",
        *([f"--junitxml={junit.absolute()}"] if junit else []),
    ]
    status = int(pytest.main(arguments, plugins=[stage, narrator]))
    if stage.lost is not None:
        for line in last_words(machine):
            narrator.quote(line)
        raise stage.lost
    if console.reader_is_gone:
        raise BrokenPipeError
    if stage.interrupted:
        narrator.interrupted()
        raise KeyboardInterrupt
    _refuse(status, name)
    narrator.farewell(f"The checks of {name}" if checks_only else name, left=stage.left)
    if status == 0 and not stage.left and not checks_only:
        following = (other for other in catalogue(place) if other.name > lesson.name)
        narrator.suggest(lesson, next(following, None))
    return 0 if status == 0 else LabkitError.exit_status


def report_file(junit: str | None) -> Path | None:
    """``--junit``. UsageError where no file can be written there."""
    path = Path(junit) if junit else None
    if path and not path.absolute().parent.is_dir():
        raise UsageError(f"There is no directory {path.parent} for the report.", "Make it, or name another file.")
    if path and path.is_dir():
        raise UsageError(f"{path} is a directory, and the report is a file.", "Name a file: `--junit results.xml`.")
    return path


def _refuse(status: int, name: str) -> None:
    """Raise for those of pytest's statuses that are no verdict about the lesson."""
    if status == pytest.ExitCode.USAGE_ERROR:
        # pytest has said what it is, on standard error: a check names a step or a need that there is not.
        raise ConfigError(f"The checks of {name} do not fit their lesson.", "See the line above.")
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise ConfigError(f"{name} has no checks.", f"They belong in scenarios/{name}/test_*.py.")
    if status == pytest.ExitCode.INTERNAL_ERROR:
        raise RuntimeError("pytest ended with an internal error; it is shown above")
