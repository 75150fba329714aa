"""``invoke test``: every test that can run here, and a table that also says what could not run, and why.

The stages, cheapest first. Each runs even if one before it failed; only the end-to-end tests are left out when the
machine cannot be brought up at all, since that would be the same message many times.

=============  ==================================================================================================
``lint``       style, types and import contracts (``labkit.host.linting``)
``unit``       ``tests/unit``: no root, no machine, any system
``guest``      ``tests/guest`` as root, in a test host on this computer and then in the machine
``e2e``        ``tests/e2e``: boots machines, plays the lessons
``matrix``     the lessons in those cells of the matrix that lab.yaml names for CI (``labkit.host.matrix``)
=============  ==================================================================================================

The machine of the tests is not the participant's: it has a state directory of its own, and is destroyed at the end.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import InfrastructureError, LabkitError, UsageError
from labkit.host import config, guestimage, guesttests, linting, machines, ownstate, paths, testhost, testreport
from labkit.host.matrix.section import Cell
from labkit.host.testreport import Outcome

LIMITS = {"unit": 1200.0, "guest": 1800.0, "e2e": 2700.0}
"""Seconds that a run of pytest may take before it is ended. Generous: ten times what slow machines needed."""

NO_TESTS_COLLECTED = 5
"""pytest.ExitCode.NO_TESTS_COLLECTED."""


@dataclass
class Options:
    """What the stages need to know, and tell one another."""

    at_the_end: ExitStack
    """Is closed after the last stage."""
    keyword: str | None = None
    """pytest's ``-k`` expression."""
    machine: str | None = None
    """A name of ``lab.yaml``; None is its default."""
    only: str | None = None
    """The one group that was asked for."""
    provider: str | None = None
    """None is the machine's own."""
    machine_is_down: str = ""
    """Why the machine cannot be brought up, once a stage has found that out."""
    ran_in_test_host: bool = False
    """Whether all of the guest's tests have passed in a test host."""
    has_machine: bool = False
    """Whether a stage before this one took the machine of the tests."""

    def take_machine(self) -> None:
        """From now to the end machines are those of the tests. One boot serves all stages: its snapshot stays."""
        if not self.has_machine:
            self.at_the_end.enter_context(machine_of_the_tests())
            self.has_machine = True


@dataclass(frozen=True)
class Stage:
    """A row of the table."""

    group: str
    """What ``--only`` chooses."""
    title: str
    run: Callable[[Stage, Options], Outcome]
    limit: float = 0.0


def run_tests(
    only: str | None = None, keyword: str | None = None, machine: str | None = None, provider: str | None = None
) -> int:
    """Run the stages (all, or the group ``only``) and show the table; the exit status.

    0: everything that could run here passed, and that was something. 1: a test failed, or none ran.
    7: none failed, but the machine could not be brought up or was lost.
    """
    groups = list(dict.fromkeys(stage.group for stage in STAGES))
    if only is not None and only not in groups:
        raise UsageError(f"There is no stage named {only!r}.", f"Stages are: {', '.join(groups)}.")
    linting.require_tools("test")
    outcomes = []
    with ExitStack() as at_the_end:
        at_the_end.enter_context(ownstate.ended_properly())
        options = Options(at_the_end, keyword, machine, only, provider)
        for stage in STAGES:
            if only in (None, stage.group) and not (keyword and stage.group in ("lint", "matrix")):
                testreport.headline(stage.title)
                outcomes.append(_run_stage(stage, options))
    testreport.show(outcomes)
    return testreport.exit_status(outcomes)


def lint() -> int:
    """``invoke lint``: 0 when there is nothing to say, 1 otherwise. MissingToolError without the linters."""
    linting.require_tools("lint")
    return linting.show(linting.run())


def _run_stage(stage: Stage, options: Options) -> Outcome:
    """One stage, timed; what a user can mend becomes an outcome, so that the next stage still runs."""
    started = time.monotonic()
    try:
        outcome = stage.run(stage, options)
    except LabkitError as error:  # Only the machine raises these: no QEMU, no image, no answer.
        outcome = Outcome(stage.title, "unreachable", why=f"{error.message} {error.hint}".strip())
    except Exception as error:  # A bug of ours, which must not take the other stages and the table with it.
        traceback.print_exc()
        outcome = Outcome(stage.title, "failed", why=f"a bug of labkit's own: {type(error).__name__}: {error}")
    if outcome.verdict != "passed" and outcome.why:
        print(f"\n{stage.title}: {outcome.why}", flush=True)
    return outcome.after(time.monotonic() - started)


def _lint(stage: Stage, _options: Options) -> Outcome:
    results = linting.run()
    linting.show(results)
    bad = [result.name for result in results if not result.ok]
    return Outcome(
        stage.title,
        "failed" if bad else "passed",
        passed=len(results) - len(bad),
        failed=len(bad),
        why=", ".join(bad),
    )


def _unit(stage: Stage, options: Options) -> Outcome:
    return _pytest_here(stage, options, "tests/unit")


def _guest_in_test_host(stage: Stage, options: Options) -> Outcome:
    why_not = testhost.why_not()
    if why_not:
        return Outcome(stage.title, "not run", why=why_not)
    with testhost.TestHost() as host, ownstate.environment("LABKIT_BASE_IMAGES", _base_images()):
        outcome = _pytest_here(stage, options, guesttests.TESTS, wrap=host.command)
    options.ran_in_test_host = outcome.verdict == "passed"
    return outcome


def _base_images() -> str:
    """Where the containers' images are; nowhere if they cannot be had, and then the tests make them, or say so."""
    try:
        return str(guestimage.ensure().directory)
    except LabkitError:
        return ""


def _guest_in_machine(stage: Stage, options: Options) -> Outcome:
    options.take_machine()
    try:
        machine = machines.open_machine(config.load().machine(options.machine), options.provider)
        machine.up()
        guesttests.send(machine.connection())
    except LabkitError as error:
        options.machine_is_down = error.message
        raise
    status, report = guesttests.run_in_machine(machine.connection(), _arguments_in_machine(options))
    machine.reset()  # The end-to-end tests begin on a fresh one.
    return _outcome(stage, options, status, report)


def _arguments_in_machine(options: Options) -> list[str]:
    """Without the tests that say nothing of a machine, in a whole run whose test host has passed them.

    In an emulated machine each of them takes seconds, and the whole job is to end within the hour.
    """
    passed = options.ran_in_test_host and options.only is None
    return [*_arguments(options), *(["-m", "not anywhere"] if passed else [])]


def _e2e(stage: Stage, options: Options) -> Outcome:
    if options.machine_is_down:
        return Outcome(stage.title, "not run", why=f"the machine cannot be brought up: {options.machine_is_down}")
    options.take_machine()
    return _pytest_here(stage, options, "tests/e2e")


def _matrix(stage: Stage, options: Options) -> Outcome:
    from labkit.host.matrix import report, run  # pytest and testinfra come with it

    if options.machine_is_down:
        return Outcome(stage.title, "not run", why=f"the machine cannot be brought up: {options.machine_is_down}")
    options.take_machine()
    cells = _cells_for_ci(options)
    if not cells:
        return Outcome(stage.title, "not run", why="lab.yaml names no other cells for CI")
    # A machine has two processors, and in software emulation it uses them.
    jobs = max(1, (os.cpu_count() or 1) // 2)
    played = run.play(cells, run.choose_lessons(), jobs=jobs, fresh=True)
    print(report.as_markdown(played.summary), flush=True)
    return testreport.of_matrix(stage.title, [result for cell in played.summary.cells for result in cell.results])


def _cells_for_ci(options: Options) -> list[Cell]:
    """Those of lab.yaml, without the one that is like the machine on which the end-to-end tests play all lessons."""
    lab = config.load()
    machine = lab.machine(options.machine)
    played = (machine.kernel, machine.cgroup, machine.iptables) if options.only is None else ()
    return [cell for cell in lab.matrix.ci if (cell.kernel, cell.cgroup, cell.iptables) != played]


STAGES = (
    Stage("lint", "lint", _lint),
    Stage("unit", "unit tests", _unit, LIMITS["unit"]),
    Stage("guest", "guest tests, test host", _guest_in_test_host, LIMITS["guest"]),
    Stage("guest", "guest tests, machine", _guest_in_machine, LIMITS["guest"]),
    Stage("e2e", "end-to-end tests", _e2e, LIMITS["e2e"]),
    Stage("matrix", "matrix, the cells of CI", _matrix),
)


def _arguments(options: Options) -> list[str]:
    """What every run of pytest is given, wherever it runs."""
    colour = ["--color=yes"] if sys.stdout.isatty() and "NO_COLOR" not in os.environ else ["--color=no"]
    return [*colour, *(["-k", options.keyword] if options.keyword else [])]


def _pytest_here(
    stage: Stage,
    options: Options,
    directory: str,
    *,
    wrap: Callable[[Sequence[str]], list[str]] = list,
) -> Outcome:
    """Run pytest on a directory of the checkout, in a process of its own, its output passed on as it comes."""
    if not (paths.checkout() / directory).is_dir():
        return Outcome(stage.title, "failed", why=f"there is no directory {directory} in the checkout")
    with tempfile.TemporaryDirectory(prefix="labkit-report-") as scratch:
        report = Path(scratch) / "report.xml"
        command = [sys.executable, "-m", "pytest", directory, f"--junitxml={report}", *_arguments(options)]
        status = _run_to_its_end(wrap(command), stage.limit)
        return _outcome(stage, options, status, report.read_bytes() if report.is_file() else b"")


def _run_to_its_end(command: Sequence[str], limit: float) -> int:
    """The exit status of ``command``, run in the checkout. At Ctrl-C it is given time to put its machines away."""
    with subprocess.Popen(command, cwd=paths.checkout()) as process:
        try:
            return process.wait(timeout=limit)
        except KeyboardInterrupt:  # The terminal has told the process, too.
            _end(process, 60.0)
            raise
        except SystemExit:  # ended_properly; nobody told the process. pytest puts its things away at SIGINT.
            process.send_signal(signal.SIGTERM if sys.platform == "win32" else signal.SIGINT)
            _end(process, 60.0)
            raise
        except subprocess.TimeoutExpired:
            print(f"It did not end within {limit:.0f} seconds and is stopped.", file=sys.stderr, flush=True)
            process.terminate()
            _end(process, 30.0)
            return -1


def _end(process: subprocess.Popen[bytes], patience: float) -> None:
    try:
        process.wait(timeout=patience)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        process.kill()


def _outcome(stage: Stage, options: Options, status: int, report: bytes) -> Outcome:
    """What pytest's exit status and report say together."""
    counts = testreport.read_junit(report)
    if status == NO_TESTS_COLLECTED and options.keyword:
        return Outcome(stage.title, "not run", why=f"no test matches {options.keyword!r}")
    if status == NO_TESTS_COLLECTED:
        return Outcome(stage.title, "failed", why="there is not a single test")
    if status == InfrastructureError.exit_status:
        return counts.outcome(stage.title, "unreachable", "the machine was lost")
    if status == 0:
        return counts.outcome(stage.title, "passed")
    return counts.outcome(stage.title, "failed", "" if counts.failed else f"pytest ended with status {status}")


@contextmanager
def machine_of_the_tests() -> Iterator[None]:
    """Within this, machines live in ``state_dir()/"tests"``, and are destroyed at its end.

    Only one run of the tests at a time, since they reset the machine under one another's feet otherwise.
    """
    with ownstate.machines_in(paths.state_dir() / "tests", "the tests"):
        yield
