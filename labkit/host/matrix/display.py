"""Shows the matrix while it is played, on standard error: on a terminal a live table, elsewhere a line a result."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from labkit.host.lab import programs
from labkit.host.matrix.record import CellRun, Record
from labkit.host.matrix.report import in_words, minutes
from labkit.host.matrix.verdict import Result, short
from labkit.host.terminal import stderr_console

_COLOURS = {"passed": "green", "failed": "bold red", "lacking": "yellow", "infrastructure": "magenta"}

_REFRESH = 0.5
"""Seconds."""


class PlainLines:
    """For files, pipes and CI logs."""

    def __init__(self, runs: Sequence[CellRun], stream: TextIO) -> None:
        self._runs = runs
        self._stream = stream
        self._booting: set[str] = set()

    def tell(self, run: CellRun, result: Result) -> None:
        """A lesson ended: a line, and one for each reason. Called by any thread."""
        lines = [f"{run.cell}  {result.lesson}: {_word(result)} ({result.seconds:.1f} s)"]
        lines += [f"    {short(reason)}" for reason in result.why]
        self._say(lines)

    def refresh(self) -> None:
        """Some time has passed: say which machines are booted now."""
        for run in self._runs:
            name = str(run.cell)
            if run.activity == "boot" and name not in self._booting:
                self._booting.add(name)
                self._say([f"{name}  booting ..."])

    def close(self) -> None:
        """There is nothing to give back."""

    def _say(self, lines: list[str]) -> None:
        self._stream.write("".join(f"{line}\n" for line in lines))
        self._stream.flush()


class LiveTable:
    """Cells × lessons, with what is going on in each cell."""

    def __init__(self, runs: Sequence[CellRun], record: Record, console: Console) -> None:
        self._runs = runs
        self._record = record
        self._lessons = list(dict.fromkeys(lesson for run in runs for lesson in run.lessons))
        self._began = time.monotonic()
        self._drawn = 0.0
        self._console = console
        # auto_refresh would be a thread of its own; the one that waits for the cells has nothing else to do.
        self._live = Live(self._table(), console=console, auto_refresh=False)
        self._live.start(refresh=True)

    def tell(self, run: CellRun, result: Result) -> None:
        """What is not green is said above the table, at once."""
        for reason in result.why:
            self._console.print(f"[{_COLOURS[result.verdict]}]{run.cell}  {result.lesson}:[/] {escape(short(reason))}")

    def refresh(self) -> None:
        """Draw it anew, now and then."""
        if time.monotonic() - self._drawn >= _REFRESH:
            self._drawn = time.monotonic()
            self._live.update(self._table(), refresh=True)

    def close(self) -> None:
        """The last state of the table stays."""
        self._live.update(self._table(), refresh=True)
        self._live.stop()

    def _table(self) -> Table:
        done, whole = sum(len(run.results) for run in self._runs), sum(len(run.lessons) for run in self._runs)
        title = f"{done} of {whole} lessons, {minutes(time.monotonic() - self._began)}"
        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, expand=True)
        for head in ("cell", *self._lessons):
            table.add_column(head, no_wrap=True)
        # The one column that gives way: only in a table that fills the terminal's width does rich heed the ratio.
        table.add_column("now", overflow="ellipsis", no_wrap=True, ratio=1)
        for run in self._runs:
            table.add_row(str(run.cell), *[self._cell(run, lesson) for lesson in self._lessons], self._now(run))
        return table

    def _cell(self, run: CellRun, lesson: str) -> str:
        if lesson in run.results:
            result = run.results[lesson]
            return f"[{_COLOURS[result.verdict]}]{_word(result)}[/]"
        return f"{time.monotonic() - run.activity_began:.0f} s" if run.activity == lesson else ""

    def _now(self, run: CellRun) -> str:
        """What the cell's program said last."""
        if not run.activity:
            return ""
        seconds = f"{time.monotonic() - run.activity_began:.0f} s: " if run.activity == "boot" else ""
        return f"[dim]{escape(seconds + last_line(self._record.log(run.cell)))}[/]"


def _word(result: Result) -> str:
    return in_words(result).replace("*", "")


def last_line(log: Path) -> str:
    """What a cell's program said last."""
    return next((line.strip() for line in reversed(programs.tail(log, 100)) if line.strip()), "")


def make(runs: Sequence[CellRun], record: Record) -> PlainLines | LiveTable:
    """The display for this standard error."""
    console = stderr_console()
    return LiveTable(runs, record, console) if console.is_terminal else PlainLines(runs, sys.stderr)
