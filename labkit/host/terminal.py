"""The participant's terminal: tables and JSON on standard output, progress on standard error, keys.

Progress is labkit.log's steps and notices: a spinner on a terminal, plain lines anywhere else. Whoever works says
``with log.step("Booting the machine") as step: step.note("kernel is up")`` and does not know that this module exists.
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from labkit import log

NOTE_INTERVAL = 10.0
"""Seconds between two notes of one step where each note is a line of its own (an image build has hundreds)."""

WORTH_A_LINE = 0.5
"""Seconds that a step on a terminal must have taken to leave a line behind."""


def stderr_console() -> Console:
    """A console for messages. Rich itself respects NO_COLOR, FORCE_COLOR and TERM=dumb. Long lines are not wrapped."""
    return Console(stderr=True, soft_wrap=True, highlight=False)


class PlainLines:
    """Steps as lines: one at the start, one now and then, one at the end. For files, pipes and CI logs."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._titles: dict[int, str] = {}
        self._spoke: dict[int, float] = {}

    def __call__(self, event: log.Event) -> None:
        """Write what is to be said about one event."""
        kind, number = event["event"], event.get("step", 0)
        if kind == "step-start":
            self._titles[number] = event["title"]
            self._spoke[number] = self._clock()
            self._say(f"{event['title']} ...")
        elif kind == "step-note" and self._clock() - self._spoke.get(number, 0.0) >= NOTE_INTERVAL:
            self._spoke[number] = self._clock()
            self._say(f"{self._titles.get(number, 'step')}: {event['text']}")
        elif kind == "step-end":
            self._titles.pop(number, None)
            self._spoke.pop(number, None)
            self._say(f"{event['title']}: {'done' if event['ok'] else 'failed'} ({event['seconds']:.1f} s)")
        elif kind == "notice":
            self._say(event["text"])

    def close(self) -> None:
        """Nothing to take down."""

    def _say(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class Spinner:
    """Steps as lines that turn and count seconds while they run; a slow one leaves a line with its time behind."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress: Progress | None = None
        self._tasks: dict[int, TaskID] = {}
        # The marks and the dots need a terminal that can show them; an old Windows console cannot.
        self._fancy = (console.encoding or "").lower().startswith("utf")

    def __call__(self, event: log.Event) -> None:
        """Draw one event."""
        kind, number = event["event"], event.get("step", 0)
        if kind == "step-start":
            self._tasks[number] = self._running().add_task(escape(event["title"]), total=None, note="")
        elif kind == "step-note" and self._progress and number in self._tasks:
            self._progress.update(self._tasks[number], note=escape(event["text"].strip()[:80]))
        elif kind == "step-end":
            self._end(number, event)
        elif kind == "notice":
            self._console.print(escape(event["text"]))

    def close(self) -> None:
        """Give the terminal back, whatever is still running."""
        if self._progress:
            self._progress.stop()
            self._progress = None
        self._tasks.clear()

    def _running(self) -> Progress:
        """The display: there from the first step to the last, since between steps a lesson may ask for a key."""
        if self._progress is None:
            self._progress = Progress(
                SpinnerColumn("dots" if self._fancy else "line"),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                TextColumn("[dim]{task.fields[note]}[/dim]"),
                console=self._console,
                transient=True,
                # Whatever else is printed to the same terminal meanwhile has to go above the spinner. What goes to a
                # file or a pipe must stay there.
                redirect_stdout=sys.stdout.isatty(),
                redirect_stderr=sys.stderr.isatty(),
            )
            self._progress.start()
        return self._progress

    def _end(self, number: int, event: log.Event) -> None:
        task = self._tasks.pop(number, None)
        if self._progress and task is not None:
            self._progress.remove_task(task)
        if not event["ok"] or event["seconds"] >= WORTH_A_LINE:
            good, bad = ("✓", "✗") if self._fancy else ("ok", "failed")
            mark = f"[green]{good}[/green]" if event["ok"] else f"[red]{bad}[/red]"
            self._console.print(f"{mark} {escape(event['title'])} [dim]({event['seconds']:.1f} s)[/dim]")
        if not self._tasks:
            self.close()


@contextmanager
def progress() -> Iterator[None]:
    """Show every step that begins inside; take the display down at the end, also by an exception or Ctrl-C."""
    console = stderr_console()
    display: PlainLines | Spinner = Spinner(console) if console.is_terminal else PlainLines(sys.stderr)
    stop_listening = log.listen(display)
    try:
        yield
    finally:
        stop_listening()
        display.close()


def forget_what_was_typed() -> None:
    """Drop what was typed before anything was asked: an impatient Enter must not answer the next question.

    Nothing where standard input is no terminal: a file is no impatient reader.
    """
    if not sys.stdin.isatty():
        return
    if sys.platform == "win32":
        import msvcrt

        while msvcrt.kbhit():
            msvcrt.getwch()
    else:
        import termios

        termios.tcflush(sys.stdin, termios.TCIFLUSH)


STDOUT = "-"
"""In place of a file's name."""


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table on standard output; into a pipe without colours, and without cutting long lines."""
    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    if sys.stdout.isatty():
        Console(highlight=False).print(table)
        return
    # A cell is filled up with spaces, which a terminal does not show and a file should not hold.
    text = io.StringIO()
    Console(file=text, highlight=False, width=200).print(table)
    for line in text.getvalue().splitlines():
        print(line.rstrip())


def write_json(value: Any, file: str = STDOUT) -> None:
    """Print ``value``, indented, with a newline at the end, or write it to a file."""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
    if file == STDOUT:
        sys.stdout.write(text)
    else:
        Path(file).write_text(text, encoding="utf-8")
