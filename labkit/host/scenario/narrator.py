"""Tells a lesson as it happens: what ``invoke scenario`` shows instead of pytest's own report.

It listens to the player (text, commands, output) and to pytest (a check's verdict). All of it goes to standard output,
plain where that is no terminal or NO_COLOR is set, which rich sees to.
"""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections import Counter

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.markdown import Markdown
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from labkit.host.scenario.model import Command, Lesson, Prose, Step
from labkit.host.scenario.player import Audience, LessonLeftError, StepFailedError, directory
from labkit.host.scenario.plugin import INFRASTRUCTURE, LACKING, NOT_RUN, StepItem
from labkit.host.scenario.shell import Result
from labkit.host.terminal import forget_what_was_typed

_WIDTH = 100
"""Prose in longer lines is hard to read. Output is never wrapped."""

_HANGING = 4
"""Columns by which the rest of a folded command is indented."""

_WORTH_TELLING = 1.0
"""Seconds from which on a command's time is shown."""

_SHOWN_LINES = 14
"""Lines of a failed check's own words."""

_STAYS = "The machine stays as it is: `invoke ssh` takes you there, `invoke reset` gives you a fresh one."

_MARKS = {"good": "✓", "bad": "✗", "none": "∅", "rule": "─"}
_PLAIN_MARKS = {"good": "ok", "bad": "XX", "none": "--", "rule": "-"}


class Narrator(Audience):
    """Shows a lesson on ``console``; with ``step`` it waits for the reader before each command and each answer."""

    def __init__(self, console: Console, *, step: bool = False) -> None:
        self._console = console
        self._step = step
        self._started = time.monotonic()
        self._machine = ""
        self._steps = 0
        self.counts = Counter[str]()
        """How many steps and checks had which verdict."""
        self._tests = {"step": 0, "check": 0}
        """How many of each kind pytest has reported, whatever came of them."""
        self._checks_passed = 0
        # An old Windows console, or a pipe in its code page, has no tick.
        self._marks = _MARKS if (console.encoding or "").lower().startswith("utf") else _PLAIN_MARKS

    # ---- what the player tells

    def lesson_begins(self, lesson: Lesson, machine: str, kernel: str) -> None:
        """Title and introduction."""
        self._started = time.monotonic()
        self._machine = f"{machine} (Linux {kernel})"
        self._title(lesson)
        proves = f" It proves {', '.join(lesson.claims)} of the article; docs/claims.md lists them."
        about = f"About {_count(lesson.minutes, 'minute')} to read; on {self._machine}."
        self._console.print(Text(f"{about}{proves if lesson.claims else ''}", "dim"))
        for part in lesson.introduction:
            if isinstance(part, Prose):
                self.says(part)

    def checks_begin(self, lesson: Lesson, machine: str) -> None:
        """Instead of a lesson: a title for its checks alone."""
        self._title(lesson)
        self._remark(
            f"Its checks alone, on what is there now on {machine}. The machine is not reset, no step is played."
        )
        self._remark(f"In the machine, work in {directory(lesson)} (`invoke ssh`): the checks look there.")

    def step_begins(self, step: Step, number: int, total: int) -> None:
        """A rule with the step's number and title."""
        self._steps += 1
        self._console.print()
        title = Text.assemble((f"{number}/{total} ", "cyan"), (step.title, "bold"))
        self._console.print(Rule(title, align="left", style="cyan", characters=self._marks["rule"]))

    def says(self, part: Prose) -> None:
        """Prose; an answer is set apart, and comes when the reader has asked for it."""
        if part.summary:
            self._wait(f"  [Enter: {part.summary}] ")
            self._console.print()
            self._console.print(Text(f"  {part.summary}", "italic cyan"))
            self._markdown(part.markdown, indent=2)
            return
        text = "\n".join(line for line in part.markdown.split("\n") if not line.startswith("# "))
        if text.strip():
            self._console.print()
            self._markdown(text)

    def runs(self, command: Command) -> None:
        """The prompt and what is typed."""
        self._console.print()
        for number, line in enumerate(command.text.split("\n")):
            prompt = "  > " if number else "  # "
            width = self._console.width - len(prompt) - _HANGING if self._console.is_terminal else None
            first, *more = folded(line, width)
            self._line(prompt, first, "bold green")
            for rest in more:
                self._line(" " * (len(prompt) + _HANGING), rest, "bold green")
        self._wait("    [Enter: run it, q: leave] ")

    def printed(self, command: Command, result: Result, seconds: float) -> None:
        """What came out, as it came."""
        for line in result.output.rstrip("\n").split("\n") if result.output.strip() else ():
            self._line("  ", line, "")
        if seconds >= _WORTH_TELLING:
            self._line(f"  ({seconds:.1f} s)", "", "")

    def step_failed(self, failure: StepFailedError) -> None:
        """What was expected and what came, with the first difference marked."""
        self._line(f"\n  {self._marks['bad']} ", failure.reason, "bold red")
        if not failure.difference:
            for line in failure.output.splitlines():
                self._line("    ", line, "")
            return
        self._line("    ", "- is what the lesson says, + is what came", "dim")
        styles = {" ": "", "-": "red", "+": "green", "?": "bold yellow"}
        for sign, text in failure.difference:
            self._line(f"    {'>>>' if sign == '?' else sign} ", text, styles[sign])

    # ---- what pytest tells

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """The narrator tells the lesson; pytest's own reporter stays silent."""
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            config.pluginmanager.unregister(reporter)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One line for a check (claims, its statement, time); steps have shown themselves."""
        if report.when != "call" and report.passed:
            return
        item: pytest.Item | None = getattr(report, "lesson_item", None)
        verdict: str = getattr(report, "lesson_verdict", report.outcome)
        is_step = isinstance(item, StepItem)
        self.counts[verdict] += 1
        self._tests["step" if is_step else "check"] += 1
        self._checks_passed += not is_step and verdict == "passed"
        # Why something is not run has been said already (a failed step, the reader left) or will be by the farewell.
        if verdict in (INFRASTRUCTURE, NOT_RUN) or (is_step and verdict in ("passed", "failed")):
            return
        mark, style = {"passed": ("good", "green"), "failed": ("bad", "bold red")}.get(verdict, ("none", "yellow"))
        self._console.print()
        claims = " ".join(str(value) for name, value in report.user_properties if name == "claim")
        checked = Text.assemble(
            (f"{claims:<3} " if claims else "", "cyan"),
            statement(item) if item else report.nodeid,
            (f"  {report.duration:.1f} s" if report.when == "call" else "", "dim"),
        )
        self._check(Text(f"  {self._marks[mark]} ", style), checked)
        for line in _words(report, verdict):
            self._line("      ", line, style)

    def _check(self, mark: Text, line: Text) -> None:
        """The mark, and what was checked; on a terminal its further lines begin below the first one's words."""
        if not self._console.is_terminal:
            self._console.print(mark + line, soft_wrap=True)
            return
        grid = Table.grid()
        grid.add_column(no_wrap=True)
        grid.add_row(mark, line)
        self._console.print(grid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file of checks that cannot be loaded is shown with its traceback: it is a mistake in that file."""
        if report.failed:
            self.counts["failed"] += 1
            self._console.print(Text(f"{report.nodeid} cannot be loaded:\n{report.longreprtext}", "red"))

    def pytest_internalerror(self, excrepr: object) -> None:
        """A mistake of the plugin's or of pytest's."""
        self._console.print(Text(str(excrepr), "red"))

    # ---- the end

    def farewell(self, what: str, *, left: bool = False) -> None:
        """The summary lines: what ``what`` (the lesson, its checks) came to."""
        counts, bad = self.counts, self.counts["failed"]
        verdict = "failed" if bad else "left" if left else "done"
        steps = f"{_count(self._steps, 'step')}, " if self._steps else ""
        on = f" on {self._machine}" if self._machine else ""
        seconds = time.monotonic() - self._started
        summary = f"{what} {verdict}: {steps}{_count(self._checks_passed, 'check')} passed in {seconds:.1f} s{on}."
        self._console.print()
        self._console.print(Text(summary, "bold red" if bad else "bold green"), soft_wrap=True)
        if left:
            self._remark(_STAYS)
        if counts[NOT_RUN] and not self._steps:
            self._remark(f"{_count(counts[NOT_RUN], 'more check')} can be made in the played lesson only.")
        order = ("passed", "failed", LACKING, NOT_RUN, "skipped", INFRASTRUCTURE)
        told = ", ".join(f"{counts[name]} {name}" for name in order if counts[name])
        kinds = " and ".join(_count(number, kind) for kind, number in self._tests.items() if number)
        each = f" ({kinds}: each is a test to pytest)" if kinds else ""
        self._remark(f"pytest: {told or 'nothing was run'}{each}")

    def suggest(self, lesson: Lesson, following: Lesson | None) -> None:
        """After a lesson that was played to its end: what the reader can do now."""
        self._console.print(Text("Next:", "bold"))
        ways = [("invoke ssh", "look around: the machine stays as it is")]
        if not self._step:
            ways.insert(0, (f"invoke scenario {lesson.name} --step", "go through it again, at your own pace"))
        if following is not None:
            ways.append((f"invoke scenario {following.name}", f"the lesson that follows: {following.title}"))
        else:
            ways.append(("invoke scenarios", "all lessons; this was the last one of the list"))
        width = max(len(command) for command, _ in ways)
        for command, words in ways:
            self._line(f"  {command:<{width}}  ", words, "")

    def interrupted(self) -> None:
        """Ctrl-C."""
        self._console.print()
        self._remark(_STAYS)

    def _markdown(self, text: str, indent: int = 0) -> None:
        """Prose. rich fills each line up with spaces, which nobody wants in a file."""
        prose = Padding(Markdown(text), (0, 0, 0, indent))
        width = min(_WIDTH, self._console.width)
        if self._console.is_terminal:
            self._console.print(prose, width=width)
            return
        with self._console.capture() as captured:
            self._console.print(prose, width=width)
        for line in captured.get().splitlines():
            self._line("", line.rstrip(), "")

    def _remark(self, words: str) -> None:
        self._console.print(Text(words, "dim"), soft_wrap=True)

    def _title(self, lesson: Lesson) -> None:
        title = Text.assemble((lesson.title, "bold"), (f"  {lesson.name}", "cyan"))
        self._console.print(Rule(title, align="left", style="bold", characters=self._marks["rule"]))

    def quote(self, line: str) -> None:
        """A line that the machine's console said last."""
        self._line("  console: ", line, "yellow")

    def _line(self, before: str, text: str, style: str) -> None:
        """One line, never wrapped and never read as markup."""
        self._console.print(Text.assemble((before, "dim"), (text, style)), soft_wrap=True)

    def _wait(self, prompt: str) -> None:
        """With ``step``: until the reader presses Enter. Ends the lesson where they type q, or are gone."""
        if not self._step:
            return
        self._console.print(Text(prompt, "dim"), end="")
        self._console.file.flush()
        forget_what_was_typed()
        line = sys.stdin.readline()
        if not sys.stdin.isatty():
            self._console.print()
        if not line or line.strip().lower() in ("q", "quit"):
            raise LessonLeftError


def folded(text: str, width: int | None) -> list[str]:
    """``text`` in lines of ``width`` columns at most, cut behind spaces only; joined, they are ``text`` again.

    A word that is longer than that has a line of its own, which the terminal breaks. None: one line.
    """
    lines = [""]
    for piece in re.findall(r"\s*\S+\s*|\s+", text) if width is not None else [text]:
        if width is not None and lines[-1] and cell_len(lines[-1] + piece) > width:
            lines.append("")
        lines[-1] += piece
    return lines


def _count(number: int, what: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def statement(item: pytest.Item) -> str:
    """What a check states: the first line of its docstring; else its name as words."""
    if isinstance(item, StepItem):
        return f"step: {item.step.title}"
    documentation = getattr(getattr(item, "obj", None), "__doc__", None) or ""
    first = documentation.strip().split("\n\n")[0]
    return " ".join(first.split()) or item.name.removeprefix("test_").replace("_", " ")


def _words(report: pytest.TestReport, verdict: str) -> list[str]:
    """Why it did not pass: a check's own words, or a traceback where it has none."""
    if verdict == "passed":
        return []
    error = getattr(report, "lesson_error", None)
    if isinstance(error, AssertionError) or report.skipped:
        words = str(error).removeprefix(f"{verdict}: ").rstrip().splitlines()
        # pytest adds how the assertion was evaluated. Where the check has words of its own, they say it better.
        own = list(itertools.takewhile(lambda line: not line.startswith("assert "), words))
        words = own or words
    else:
        words = report.longreprtext.splitlines()
    return words if len(words) <= _SHOWN_LINES else [*words[:_SHOWN_LINES], "…"]


class LessonConsole(Console):
    """Standard output."""

    reader_is_gone = False

    def on_broken_pipe(self) -> None:
        """``invoke scenario NAME | head``: stop as after Ctrl-C, which pytest knows how to do. rich would exit."""
        self.reader_is_gone = True
        self.quiet = True
        raise KeyboardInterrupt


def make_console() -> LessonConsole:
    """Standard output. What it cannot encode (a pipe on Windows) is replaced and ends no lesson."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    console = LessonConsole(highlight=False)
    return console if console.is_terminal else LessonConsole(highlight=False, width=_WIDTH)
