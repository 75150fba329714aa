from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.engine.logs import LogWriter


def test_lines_that_come_in_pieces_are_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with LogWriter(str(path), (-1, -1)) as writer:
        writer.write("stdout", b"one\ntw")
        writer.write("stderr", b"err\n")
        writer.write("stdout", b"o\nrest \xff")
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(entry["stream"], entry["log"]) for entry in entries] == [
        ("stdout", "one\n"),
        ("stderr", "err\n"),
        ("stdout", "two\n"),
        ("stdout", "rest \ufffd"),
    ]


def test_a_reader_that_went_away_does_not_stop_the_log(tmp_path: Path) -> None:
    reader, writer_end = os.pipe()
    os.close(reader)
    with LogWriter(str(tmp_path / "log"), (writer_end, -1)) as writer:
        writer.write("stdout", b"one\n")
        writer.write("stdout", b"two\n")
    os.close(writer_end)
    assert len((tmp_path / "log").read_text().splitlines()) == 2
