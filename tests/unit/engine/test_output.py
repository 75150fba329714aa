from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")
if not hasattr(os, "pidfd_open"):
    pytest.skip("pidfd_open(2) is Linux's", allow_module_level=True)

from labkit.engine.output import LONGEST_LINE, Copier, LogWriter


def entries(path: Path) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(line["stream"], line["log"]) for line in lines]


def test_lines_that_come_in_pieces_are_written_whole(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"))
    writer.write("stdout", b"one\ntw")
    writer.write("stderr", b"err\n")
    writer.write("stdout", b"o\nrest \xff")
    writer.close()
    assert entries(tmp_path / "log") == [
        ("stdout", "one\n"),
        ("stderr", "err\n"),
        ("stdout", "two\n"),
        ("stdout", "rest \ufffd"),
    ]


def test_a_line_without_end_is_cut_and_costs_no_more_than_its_length(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "log"))
    for _ in range(10):
        writer.write("stdout", b"x" * 10000)
    writer.close()
    assert max(len(text) for _, text in entries(tmp_path / "log")) == LONGEST_LINE
    assert sum(len(text) for _, text in entries(tmp_path / "log")) == 100000


def _program(script: str) -> tuple[subprocess.Popen[bytes], tuple[int, int]]:
    out, out_writer = os.pipe()
    err, err_writer = os.pipe()
    process = subprocess.Popen(["sh", "-c", script], stdout=out_writer, stderr=err_writer)
    os.close(out_writer)
    os.close(err_writer)
    return process, (out, err)


def _copier(tmp_path: Path, sink: int = -1) -> Copier:
    copier = Copier(LogWriter(str(tmp_path / "log")))
    copier.attach((sink, -1))
    return copier


def _run(copier: Copier, process: subprocess.Popen[bytes], sources: tuple[int, int]) -> None:
    nobody, caller = os.pipe()
    copier.run(process.pid, sources, nobody, lambda: None)
    os.close(nobody)
    os.close(caller)


def test_a_reader_that_does_not_read_is_not_waited_for_and_gets_everything_later(tmp_path: Path) -> None:
    process, sources = _program("head -c 300000 /dev/zero | tr '\\0' a; exit 3")
    reader, sink = os.pipe()
    copier = _copier(tmp_path, sink)
    read = bytearray()

    def read_late() -> None:
        time.sleep(0.3)
        while data := os.read(reader, 65536):
            read.extend(data)

    late = threading.Thread(target=read_late)
    late.start()
    _run(copier, process, sources)
    assert process.wait() == 3
    copier.deliver_rest()
    late.join(20)
    os.close(reader)
    assert bytes(read) == b"a" * 300000
    assert sum(len(text) for _, text in entries(tmp_path / "log")) == 300000


def test_a_reader_that_went_away_does_not_stop_the_log(tmp_path: Path) -> None:
    process, sources = _program("for i in 1 2 3; do echo $i; sleep 0.05; done")
    reader, sink = os.pipe()
    os.close(reader)
    copier = _copier(tmp_path, sink)
    _run(copier, process, sources)
    copier.deliver_rest()
    process.wait()
    assert entries(tmp_path / "log") == [("stdout", "1\n"), ("stdout", "2\n"), ("stdout", "3\n")]


def test_the_end_of_the_process_counts_and_not_that_of_its_pipe(tmp_path: Path) -> None:
    process, sources = _program("sleep 30 & echo $!; exec 1>&- 2>&-")
    copier = _copier(tmp_path)
    started = time.monotonic()
    _run(copier, process, sources)
    process.wait()
    assert time.monotonic() - started < 10
    ((_, pid),) = entries(tmp_path / "log")
    os.kill(int(pid), 9)


def test_a_program_that_closes_its_output_costs_nothing_while_it_runs(tmp_path: Path) -> None:
    process, sources = _program("echo one; exec 1>&- 2>&-; sleep 1")
    copier = _copier(tmp_path)
    before = time.process_time()
    _run(copier, process, sources)
    process.wait()
    assert time.process_time() - before < 0.2, "the copier did not wait, it turned round and round"
    assert entries(tmp_path / "log") == [("stdout", "one\n")]
