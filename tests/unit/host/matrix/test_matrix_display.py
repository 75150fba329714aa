from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from labkit.host.lab.matrixsection import Cell
from labkit.host.matrix.display import LiveTable, PlainLines
from labkit.host.matrix.record import CellRun, Record
from labkit.host.matrix.verdict import Result

CELL, OTHER = Cell("6.1", "v2", "nft"), Cell("6.12", "v1", "legacy")
PASSED = Result("overlay", "passed", (), 12.34, 3, lacking=1)
FAILED = Result("pid-1", "failed", ("start: it is [not] so",), 1.0, 3, 1)


def runs() -> list[CellRun]:
    run = CellRun(CELL, ("overlay", "pid-1"))
    run.begin("boot")
    return [run, CellRun(OTHER, ("overlay", "pid-1"))]


def test_plain_lines() -> None:
    stream = io.StringIO()
    all_runs = runs()
    lines = PlainLines(all_runs, stream)
    lines.refresh()
    lines.refresh()
    lines.tell(all_runs[0], PASSED)
    lines.tell(all_runs[0], FAILED)
    lines.close()
    assert stream.getvalue() == (
        "6.1,v2,nft  booting ...\n"
        "6.1,v2,nft  overlay: passed, 1 lacking (12.3 s)\n"
        "6.1,v2,nft  pid-1: failed (1.0 s)\n"
        "    start: it is [not] so\n"
    )


def test_the_live_table_says_what_is_done_and_what_goes_on(tmp_path: Path) -> None:
    record = Record.begin(tmp_path, "key")
    record.log(CELL).write_text("== invoke up\nBooting the [machine] ...\n\n")
    stream = io.StringIO()
    all_runs = runs()
    table = LiveTable(all_runs, record, Console(file=stream, force_terminal=True, width=110, color_system=None))
    shown = stream.getvalue()
    assert "0 of 4 lessons" in shown
    assert "0 s: Booting the [machine] ..." in shown
    all_runs[0].results = {"overlay": PASSED, "pid-1": FAILED}
    all_runs[0].begin("")
    table.tell(all_runs[0], FAILED)
    table.close()
    shown = stream.getvalue()[len(shown) :]
    assert "6.1,v2,nft  pid-1: start: it is [not] so" in shown
    assert "2 of 4 lessons" in shown
    assert "passed, 1 lacking" in shown
    assert "6.12,v1,legacy" in shown
    assert "Booting" not in shown.split("2 of 4 lessons")[-1]


def test_a_long_line_of_what_goes_on_cuts_no_verdict(tmp_path: Path) -> None:
    record = Record.begin(tmp_path, "key")
    record.log(CELL).write_text(f"== invoke up\n{'far too much of it ' * 20}\n")
    stream = io.StringIO()
    all_runs = runs()
    all_runs[0].results = {"overlay": PASSED}
    table = LiveTable(all_runs, record, Console(file=stream, force_terminal=True, width=70, color_system=None))
    table.close()
    assert "passed, 1 lacking" in stream.getvalue()
    assert "pid-1" in stream.getvalue()
