"""Comparing output with what a lesson expects."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.host.scenario.compare import compare


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("", ""),
        ("", "\n\n"),
        ("PONG", "PONG\n"),
        ("PONG  ", "PONG\t\n\n"),
        ("inet ... scope", "inet 10.77.0.2/16 scope\n"),
        ("a...", "a"),
        ("...", ""),
        ("...", "anything\nat all\n"),
        ("  ...", "x\n"),
        ("first\n...\nlast", "first\nlast\n"),
        ("first\n...\nlast", "first\n1\n2\nlast\n"),
        ("...\nb\n...\nb", "b\nb\nb\n"),
        ("...\na\n...", "x\na\ny\n"),
        ("(.*) [x] $", "(.*) [x] $\n"),
        ("one\n\ntwo", "one\n\ntwo\n"),
    ],
)
def test_equal(expected: str, got: str) -> None:
    assert compare(expected, got) == []


@pytest.mark.parametrize(
    ("expected", "got", "expected_line", "got_line"),
    [
        ("PONG", "", 0, 0),
        ("", "noise\n", 0, 0),
        ("a\nb\nc", "a\nx\nc\n", 1, 1),
        ("a", "a\nb\n", 1, 1),
        ("a\nb", "a\n", 1, 1),
        (" a", "a\n", 0, 0),
        ("first\n...\nlast", "first\nlast\nmore\n", 3, 2),
        ("x\n...\nrule", "x\n1\n2\n", 2, 1),
        ("a...c", "abcd\n", 0, 0),
        ("a...\nb", "a1\na2\nb\n", 1, 1),
    ],
)
def test_the_place_where_they_part(expected: str, got: str, expected_line: int, got_line: int) -> None:
    shown = compare(expected, got)
    assert [text for sign, text in shown if sign == "-"] == expected.splitlines()[expected_line:]
    assert [text for sign, text in shown if sign == " "] == got.splitlines()[:got_line]
    assert [text for sign, text in shown if sign == "+"] == got.splitlines()[got_line:]


def test_diff_marks_the_first_difference() -> None:
    assert compare("a\nb\nc", "a\nx\nc\n") == [
        (" ", "a"),
        ("?", "here they part"),
        ("-", "b"),
        ("-", "c"),
        ("+", "x"),
        ("+", "c"),
    ]
    assert compare("a", "") == [("?", "the output ends here, and this was still expected"), ("-", "a")]
    assert compare("", "a") == [("?", "nothing more was expected here"), ("+", "a")]


LINES = st.lists(st.sampled_from(["a", "b", "ab", "", "a.b", "...", "a...", "...b"]), max_size=6)


def obviously(expected: list[str], got: list[str]) -> bool:
    """The same rule, written as it is said, and slow."""
    if not expected:
        return not got
    if expected[0] == "...":
        return any(obviously(expected[1:], got[skipped:]) for skipped in range(len(got) + 1))
    # No character of these lines means anything to fnmatch but the * put in.
    return bool(got) and fnmatchcase(got[0], expected[0].replace("...", "*")) and obviously(expected[1:], got[1:])


@given(LINES, LINES)
def test_it_agrees_with_the_obvious(expected: list[str], got: list[str]) -> None:
    for lines in (expected, got):
        while lines and not lines[-1]:
            lines.pop()
    assert (compare("\n".join(expected), "\n".join(got)) == []) == obviously(expected, got)


def test_many_ellipses_take_no_exponential_time() -> None:
    assert compare("...\na\n" * 200 + "b", "a\n" * 400)
