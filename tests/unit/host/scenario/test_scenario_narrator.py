"""What the narrator does with long commands."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from labkit.host.scenario.model import Command
from labkit.host.scenario.narrator import Narrator, folded


@given(st.text(alphabet="ab  \t漢", max_size=60), st.integers(1, 20))
def test_folding_loses_nothing(text: str, width: int) -> None:
    assert "".join(folded(text, width)) == text


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", [""]),
        ("short", ["short"]),
        ("mount -t overlay none mnt", ["mount -t ", "overlay ", "none mnt"]),
        ("  indented by two", ["  indented ", "by two"]),
        ("ls averylongwordindeed -l", ["ls ", "averylongwordindeed ", "-l"]),
    ],
)
def test_a_line_is_cut_behind_spaces(text: str, lines: list[str]) -> None:
    assert folded(text, 11) == lines


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_command_is_folded_on_a_terminal_only(terminal: bool) -> None:
    shown = io.StringIO()
    narrator = Narrator(Console(file=shown, width=60, force_terminal=terminal, color_system=None))
    command = "mount -t overlay -o lowerdir=company:country,upperdir=home,workdir=work none mnt"
    narrator.runs(Command(f"{command}\nand more", "", 1))
    whole = f"\n  # {command}\n  > and more\n"
    folding = (
        "\n  # mount -t overlay -o \n        lowerdir=company:country,upperdir=home,workdir=work \n        none mnt\n"
        "  > and more\n"
    )
    assert shown.getvalue() == (folding if terminal else whole)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_long_check_is_broken_between_words_on_a_terminal_only(terminal: bool) -> None:
    shown = io.StringIO()
    narrator = Narrator(Console(file=shown, width=60, force_terminal=terminal, color_system=None))
    report = pytest.TestReport("x", ("x", 0, "x"), {}, "passed", None, "call", duration=0.5)
    report.nodeid = "The shell inside said 1; after its end the outer shell is what it was."
    narrator.pytest_runtest_logreport(report)
    first, *more = [line.rstrip() for line in shown.getvalue().splitlines() if line.strip()]
    assert first.startswith("  \N{CHECK MARK} The shell inside")
    if terminal:
        assert more == ["    is what it was.  0.5 s"]
    else:
        assert not more
