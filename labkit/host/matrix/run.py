"""Plays the matrix: chooses cells and lessons, plays several cells at once, and says what came of it.

The machines are not the participant's. They live in a state directory of the matrix's own and are destroyed at the end,
whatever that is; what a killed run has left is destroyed at the next one's beginning.
"""

from __future__ import annotations

import concurrent.futures
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import labkit
from labkit.errors import UsageError
from labkit.host.lab import config, paths
from labkit.host.lab.config import Lab
from labkit.host.lab.matrixsection import Cell
from labkit.host.machines import ownstate, qemucommand
from labkit.host.matrix import display
from labkit.host.matrix.cell import CellPlayer
from labkit.host.matrix.record import CellRun, Record, digest
from labkit.host.matrix.report import Summary
from labkit.host.scenario import catalogue, find, library
from labkit.host.scenario.needs import NEEDS

DIRECTORY = "matrix"
"""Below ``state_dir()``: machines, and the records of what was played."""


@dataclass(frozen=True)
class Played:
    """A run that came to its end."""

    summary: Summary
    record: Record
    reused: int
    """Results that an earlier run, which was interrupted, had recorded."""


def choose_cells(lab: Lab, names: Sequence[str] = (), *, ci: bool = False) -> tuple[Cell, ...]:
    """The cells called ``names``, those of CI, or all. UsageError, NotFoundError or ConfigError where there is none."""
    if names and ci:
        raise UsageError("--cell and --ci both choose cells.", "Leave one of them out.")
    lab.matrix.check_needs(NEEDS)
    cells = tuple(dict.fromkeys(lab.matrix.cell(name) for name in names)) if names else lab.matrix.cells
    cells = lab.matrix.ci if ci else cells
    if not cells:
        raise UsageError(f"{lab.path} names no cells{' for CI' if ci else ''}.", "Its section matrix: does that.")
    return cells


def choose_lessons(only: Sequence[str] = (), place: Path | None = None) -> tuple[str, ...]:
    """The lessons called ``only``, or all. NotFoundError with the nearest names, ConfigError where one has mistakes."""
    if only:
        return tuple(dict.fromkeys(find(name, place).name for name in only))
    return tuple(lesson.name for lesson in catalogue(place))


def play(
    cells: Sequence[Cell],
    lessons: Sequence[str],
    *,
    jobs: int = 1,
    fresh: bool = False,
    place: Path | None = None,
) -> Played:
    """Play ``lessons`` in ``cells``, ``jobs`` cells at once. What an interrupted run recorded is not played again.

    ``fresh`` forgets that; ``place`` holds the lessons (default: the checkout's). After Ctrl-C (KeyboardInterrupt) no
    program and no machine is left. MissingToolError where QEMU is not there, ConflictError where another run goes on.
    """
    lab = config.load()
    where = place or library()
    directory = paths.state_dir() / DIRECTORY
    host = f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors"
    versions = {"labkit": labkit.__version__, "QEMU": qemucommand.find().version, "host": host}
    with ownstate.ended_properly(), ownstate.machines_in(directory, "the matrix"):
        ownstate.destroy_all(directory / "machines")  # of a run that was killed
        record = Record.begin(directory / "records", digest(where, lab.path, versions["QEMU"]), fresh=fresh)
        runs = [record.recall(CellRun(cell, tuple(lessons))) for cell in cells]
        reused = sum(len(run.results) for run in runs)
        if reused:
            print(f"{reused} results of the interrupted run are kept; --fresh starts over.", file=sys.stderr)
        _play_all(runs, record, where, jobs)
        record.end()
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    return Played(Summary(date, versions, tuple(runs)), record, reused)


def _play_all(runs: Sequence[CellRun], record: Record, place: Path, jobs: int) -> None:
    """A thread for each job; this one shows how far they are, and hears Ctrl-C."""
    stop = threading.Event()
    shown = display.make(runs, record)
    try:
        with concurrent.futures.ThreadPoolExecutor(max_workers=jobs) as pool:
            players = [CellPlayer(run, record, place, stop) for run in runs if run.todo]
            futures = [pool.submit(player.play, shown.tell) for player in players]
            try:
                while concurrent.futures.wait(futures, timeout=0.2).not_done:
                    shown.refresh()
            except BaseException:
                stop.set()
                print("Ending the programs and machines; what was played is recorded.", file=sys.stderr)
                # A second Ctrl-C is not heard: machines are being put away.
                with ownstate.handled([signal.SIGINT], signal.SIG_IGN):
                    concurrent.futures.wait(futures)
                raise
    finally:
        shown.close()
    for future in futures:
        future.result()  # raises what is a mistake of ours
