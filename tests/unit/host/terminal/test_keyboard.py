from __future__ import annotations

import os
import select
import sys

import pytest

from labkit.host.terminal.console import forget_what_was_typed


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudoterminals of this kind")
def test_an_impatient_enter_answers_no_later_question(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        os.write(ours, b"\n\n")
        assert select.select([theirs], [], [], 5)[0]
        forget_what_was_typed()
        assert not select.select([theirs], [], [], 0)[0]
        os.write(ours, b"q\n")
        assert terminal.readline() == "q\n"
    os.close(ours)


def test_a_file_is_no_impatient_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"kept\n")
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdin", file)
        forget_what_was_typed()
        assert file.readline() == "kept\n"
