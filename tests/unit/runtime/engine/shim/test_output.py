from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")
if not hasattr(os, "pidfd_open"):
    pytest.skip("pidfd_open(2) is Linux's", allow_module_level=True)

from labkit.runtime.engine.shim.logfile import START, Limits, LogReader, LogWriter
from labkit.runtime.engine.shim.output import OutputCopier


def logged(path: Path) -> list[tuple[int, bytes]]:
    """What the log holds: neighbouring pieces of one stream as one."""
    found: list[tuple[int, bytes]] = []
    for piece in LogReader(str(path)).pieces((0, START), None, bool):
        if found and found[-1][0] == piece.stream:
            found[-1] = (piece.stream, found[-1][1] + piece.data)
        else:
            found.append((piece.stream, piece.data))
    return found


def _program(script: str) -> tuple[subprocess.Popen[bytes], tuple[int, int]]:
    out, out_writer = os.pipe()
    err, err_writer = os.pipe()
    process = subprocess.Popen(["sh", "-c", script], stdout=out_writer, stderr=err_writer)
    os.close(out_writer)
    os.close(err_writer)
    return process, (out, err)


def _copier(tmp_path: Path, sink: int = -1, log: bool = True) -> OutputCopier:
    copier = OutputCopier(LogWriter(str(tmp_path / "log"), Limits()) if log else None)
    copier.attach((sink, -1))
    return copier


def _run(copier: OutputCopier, process: subprocess.Popen[bytes], sources: tuple[int, int]) -> None:
    nobody, caller = os.pipe()
    copier.run(process.pid, sources, nobody, lambda: None)
    os.close(nobody)
    os.close(caller)


@pytest.mark.parametrize("log", [True, False])
def test_a_reader_that_does_not_read_is_not_waited_for_and_gets_everything_later(tmp_path: Path, log: bool) -> None:
    process, sources = _program("head -c 3000000 /dev/zero | tr '\\0' a; exit 3")
    reader, sink = os.pipe()
    copier = _copier(tmp_path, sink, log)
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
    assert (len(read), set(read)) == (3000000, {ord("a")})
    assert logged(tmp_path / "log") == ([(1, b"a" * 3000000)] if log else [])


def test_a_reader_that_went_away_does_not_stop_the_log(tmp_path: Path) -> None:
    process, sources = _program("for i in 1 2 3; do echo $i; sleep 0.05; done")
    reader, sink = os.pipe()
    os.close(reader)
    copier = _copier(tmp_path, sink)
    _run(copier, process, sources)
    copier.deliver_rest()
    process.wait()
    assert logged(tmp_path / "log") == [(1, b"1\n2\n3\n")]


def test_what_many_small_writes_give_is_read_in_few_pieces(tmp_path: Path) -> None:
    process, sources = _program("yes | head -c 2000000")
    before = time.process_time()
    _run(_copier(tmp_path), process, sources)
    took = time.process_time() - before
    process.wait()
    assert logged(tmp_path / "log") == [(1, b"y\n" * 1000000)]
    assert (tmp_path / "log").stat().st_size < 2100000
    assert took < 1, "a million lines were looked at one by one"


def test_the_end_of_the_process_counts_and_not_that_of_its_pipe(tmp_path: Path) -> None:
    process, sources = _program("sleep 30 & echo $!; exec 1>&- 2>&-")
    copier = _copier(tmp_path)
    started = time.monotonic()
    _run(copier, process, sources)
    process.wait()
    assert time.monotonic() - started < 10
    ((_, pid),) = logged(tmp_path / "log")
    os.kill(int(pid), 9)


def test_a_program_that_closes_its_output_costs_nothing_while_it_runs(tmp_path: Path) -> None:
    process, sources = _program("echo one; exec 1>&- 2>&-; sleep 1")
    copier = _copier(tmp_path)
    before = time.process_time()
    _run(copier, process, sources)
    process.wait()
    assert time.process_time() - before < 0.2, "the copier did not wait, it turned round and round"
    assert logged(tmp_path / "log") == [(1, b"one\n")]
