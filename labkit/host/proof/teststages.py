"""The stages of ``invoke test``, the cheapest first, and what each runs in either tier.

The *daily* tier is what everybody runs, and what a change must pass. ``--all`` is everything there is. Each test
belongs to one place, by its marker, and the default is the cheap one:

==============  ================================================================================================
no marker       daily: in ``tests/guest`` as root in a test host on this computer, else where its directory says
``machine``     daily, but in the machine: a guest's test of what a test host has not (its kernel, cgroup v2)
``thorough``    with ``--all`` only: minutes, other kernels, Vagrant, every moment at which something can be killed
==============  ================================================================================================

With ``--all`` the guest's tests run in the test host and in machines of cgroup v2, v1 and hybrid, whatever their
marker. The machines of the tests are not the participant's: they have a state directory of their own, and are
destroyed at the end.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from labkit.errors import LabkitError
from labkit.host import machines
from labkit.host.image import guestimage
from labkit.host.lab import config, paths, programs
from labkit.host.lab.matrixsection import Cell
from labkit.host.machines import ownstate
from labkit.host.payload import installation
from labkit.host.proof import guesttests, linting, testhost, testreport
from labkit.host.proof.testreport import Outcome

DAILY, IN_TEST_HOST, IN_MACHINE = "not thorough", "not thorough and not machine", "machine and not thorough"
"""pytest's ``-m`` expressions."""


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
    everything: bool = False
    """Whether it is ``--all``."""
    machine_is_down: str = ""
    """Why the machine cannot be brought up, once a stage has found that out."""
    no_test_host: bool = False
    """Whether this computer gave none, so that the machine runs those tests, too."""
    has_machine: bool = False
    """Whether a stage before this one took the machine of the tests."""

    def take_machine(self) -> None:
        """From now to the end machines are those of the tests. One boot serves all stages: its snapshot stays."""
        if not self.has_machine:
            self.at_the_end.enter_context(machine_of_the_tests())
            self.has_machine = True

    def arguments(self, marks: str = DAILY) -> list[str]:
        """What every run of pytest is given, wherever it runs: colours, what to choose, and the ten slowest at its end.

        ``marks`` chooses in the daily tier.
        """
        colour = "yes" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else "no"
        chosen = [*(["-k", self.keyword] if self.keyword else []), *([] if self.everything else ["-m", marks])]
        return [f"--color={colour}", "--durations=10", "--durations-min=0.5", *chosen]

    def guest_arguments(self, marks: str = DAILY) -> list[str]:
        """The same for the guest's tests, some of which kill a start at one moment after the other."""
        return [*self.arguments(marks), *(["--every-moment"] if self.everything else [])]


@dataclass(frozen=True)
class Stage:
    """A row of the table."""

    group: str
    """What ``--only`` chooses."""
    title: str
    run: Callable[[Stage, Options], Outcome]
    limit: float = 0.0
    """Seconds that a run of pytest may take before it is ended. Generous: ten times what slow machines needed."""
    more: str = ""
    """What ``--all`` adds to it."""
    only_all: bool = False
    """Whether it is run with ``--all`` only."""
    cell: str = ""
    """The cell of the matrix in which it runs, where it is about that."""


def _lint(stage: Stage, _options: Options) -> Outcome:
    results = linting.run()
    linting.show(results)
    bad = [result.name for result in results if not result.ok]
    verdict: testreport.Verdict = "failed" if bad else "passed"
    return Outcome(stage.title, verdict, passed=len(results) - len(bad), failed=len(bad), why=", ".join(bad))


def _unit(stage: Stage, options: Options) -> Outcome:
    words = [*options.arguments(), *spread()]
    if options.everything:
        words.append("--hypothesis-profile=thorough")
    return _run_here(stage, options, "tests/unit", words)


def spread() -> list[str]:
    """Arguments by which pytest-xdist gives the tests to all processors."""
    return ["-n", str(os.cpu_count() or 1), "--dist", "worksteal"]


def _run_here(stage: Stage, options: Options, directory: str, words: Sequence[str]) -> Outcome:
    """Run pytest on a directory of the checkout, in a process of its own, its output passed on as it comes."""
    if not (paths.checkout() / directory).is_dir():
        return Outcome(stage.title, "failed", why=f"there is no directory {directory} in the checkout")
    with tempfile.TemporaryDirectory(prefix="labkit-report-") as scratch:
        file = Path(scratch) / "report.xml"
        status = run_to_its_end([sys.executable, "-m", "pytest", directory, f"--junitxml={file}", *words], stage.limit)
        report = file.read_bytes() if file.is_file() else b""
    return testreport.of_pytest(stage.title, status, report, may_be_empty=bool(options.keyword))


def run_to_its_end(command: Sequence[str], limit: float) -> int:
    """The exit status of ``command``, run in the checkout, which puts its machines away before it ends.

    pytest does that at SIGINT, its workers, too, and still writes its report.
    """
    with subprocess.Popen(command, cwd=paths.checkout()) as process:
        try:
            return process.wait(timeout=limit)
        except KeyboardInterrupt:  # The terminal has told the process, too.
            with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                process.wait(timeout=60)
            process.kill()
            raise
        except SystemExit:  # ended_properly; nobody told the process
            programs.end(process, 60)
            raise
        except subprocess.TimeoutExpired:
            print(f"It did not end within {limit:.0f} seconds and is stopped.", file=sys.stderr, flush=True)
            programs.end(process, 60)
            return -1


def _guest_in_test_host(stage: Stage, options: Options) -> Outcome:
    """A test host for each processor. pytest-xdist gives a file at a time to whichever is free."""
    why_not = testhost.why_not()
    if why_not:
        options.no_test_host = True
        there = "the machine runs them: `invoke test --only machine`" if options.only else "the machine runs them, too"
        return Outcome(stage.title, "not run", why=f"{why_not}; {there}")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="labkit-tests-")))
        scratch.chmod(0o755)  # some tests are another user
        installation.install(str(scratch / "labkit"))
        places = {"LABKIT_PROGRAMS": str(scratch / "labkit/bin"), "LABKIT_BASE_IMAGES": _base_images()}
        stack.enter_context(mock.patch.dict(os.environ, places))
        words = ["--dist", "loadfile"]
        for number in range(os.cpu_count() or 1):
            host = stack.enter_context(testhost.TestHost())
            python = scratch / f"python-in-test-host-{number}"
            python.write_text(f'#!/bin/sh\nexec {shlex.join(host.command([sys.executable]))} "$@"\n', encoding="utf-8")
            python.chmod(0o755)
            words.append(f"--tx=popen//python={python}")
        words += options.guest_arguments(IN_TEST_HOST)
        return _run_here(stage, options, guesttests.TESTS, words)


def _base_images() -> str:
    """Where the containers' images are; nowhere if they cannot be had, and then the tests make them, or say so."""
    try:
        return str(guestimage.ensure().directory)
    except LabkitError:
        return ""


def _guest_in_machine(stage: Stage, options: Options) -> Outcome:
    """In the machine that was asked for: with ``--all`` everything, else what no test host can show. Or in a cell."""
    if stage.cell:
        return _run_in_machine(stage, options, stage.cell, None, options.guest_arguments())
    alone = options.only is not None and testhost.why_not() is not None  # the stage that would know has not run
    marks = DAILY if options.no_test_host or alone else IN_MACHINE
    try:
        return _run_in_machine(stage, options, options.machine, options.provider, options.guest_arguments(marks))
    except LabkitError as error:
        options.machine_is_down = error.message
        raise


def _run_in_machine(
    stage: Stage, options: Options, name: str | None, provider: str | None, words: list[str]
) -> Outcome:
    options.take_machine()
    machine = machines.open_machine(config.load().machine(name), provider)
    machine.up()
    guesttests.send(machine.connection())
    status, report = guesttests.run_in_machine(machine.connection(), words)
    if stage.only_all:
        machine.destroy()
    else:
        machine.reset()  # The end-to-end tests begin on a fresh one.
    return testreport.of_pytest(stage.title, status, report, may_be_empty=bool(options.keyword))


def _e2e(stage: Stage, options: Options) -> Outcome:
    if options.machine_is_down:
        return _without_machine(stage, options)
    options.take_machine()
    return _run_here(stage, options, "tests/e2e", options.arguments())


def _matrix(stage: Stage, options: Options) -> Outcome:
    from labkit.host.matrix import report, run  # pytest and testinfra come with it

    if options.machine_is_down:
        return _without_machine(stage, options)
    options.take_machine()
    cells = _cells_for_ci(options)
    if not cells:
        return Outcome(stage.title, "not run", why="lab.yaml names no other cells for CI")
    # A machine has two processors, and in software emulation it uses them.
    jobs = max(1, (os.cpu_count() or 1) // 2)
    played = run.play(cells, run.choose_lessons(), jobs=jobs, fresh=True)
    print(report.as_markdown(played.summary), flush=True)
    return testreport.of_matrix(stage.title, [result for cell in played.summary.cells for result in cell.played])


def _without_machine(stage: Stage, options: Options) -> Outcome:
    return Outcome(stage.title, "not run", why=f"the machine cannot be brought up: {options.machine_is_down}")


def _cells_for_ci(options: Options) -> list[Cell]:
    """Those of lab.yaml, without the one that is like the machine on which the end-to-end tests play all lessons."""
    lab = config.load()
    machine = lab.machine(options.machine)
    played = (machine.kernel, machine.cgroup, machine.iptables) if options.only is None else ()
    return [cell for cell in lab.matrix.ci if (cell.kernel, cell.cgroup, cell.iptables) != played]


STAGES = (
    Stage("lint", "lint", _lint),
    Stage("unit", "unit tests", _unit, 1200.0),
    Stage("guest", "guest tests, test host", _guest_in_test_host, 2700.0, "every moment of a kill, and the machine's"),
    Stage("machine", "guest tests, machine", _guest_in_machine, 0.0, "all of the guest's tests, on cgroup v2"),
    Stage("e2e", "end-to-end tests", _e2e, 3600.0, "Vagrant, killed and broken machines, checks that can fail"),
    Stage("machine", "guest tests, v1", _guest_in_machine, 0.0, "all of the guest's tests", True, "cell-6.1-v1-legacy"),
    Stage("machine", "guest tests, hybrid", _guest_in_machine, 0.0, "all of them", True, "cell-6.1-hybrid-nft"),
    Stage("matrix", "matrix, the cells of CI", _matrix, 0.0, "the lessons on other kernels", only_all=True),
)


def machine_of_the_tests() -> AbstractContextManager[None]:
    """Within this, machines live in ``state_dir()/"tests"``, and are destroyed at its end.

    Only one run of the tests at a time, since they reset the machine under one another's feet otherwise.
    """
    return ownstate.machines_in(paths.state_dir() / "tests", "the tests")
