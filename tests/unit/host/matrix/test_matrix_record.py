from __future__ import annotations

from pathlib import Path

import pytest

from labkit.errors import InfrastructureError
from labkit.host.lab import paths
from labkit.host.lab.matrixsection import Cell
from labkit.host.matrix.record import RESULTS, CellRun, Record, digest
from labkit.host.matrix.verdict import Result

CELL, OTHER = Cell("6.1", "v2", "nft"), Cell("6.1", "v1", "nft")
FACTS = {"kernel": "6.1.0-56-cloud-amd64", "accelerator": "tcg"}
RESULT = Result("overlay", "failed", ("It is “not” so.",), 2.5, 3, 1, 1, {"aufs": "no module"})


def cell_run(cell: Cell = CELL, boot_seconds: float = 0.0) -> CellRun:
    return CellRun(cell, ("overlay",), facts=FACTS, boot_seconds=boot_seconds)


def recalled(record: Record, cell: Cell = CELL, lesson: str = "overlay") -> CellRun:
    return record.recall(CellRun(cell, (lesson,)))


def test_what_was_recorded_is_found_again(tmp_path: Path) -> None:
    record = Record.begin(tmp_path, "key")
    record.add(cell_run(CELL, 13.0), RESULT)
    record.add(cell_run(OTHER, 14.0), Result("overlay", "passed"))
    again = Record.begin(tmp_path, "key")
    run = recalled(again)
    assert (run.results, run.facts, run.boot_seconds) == ({"overlay": RESULT}, FACTS, 13.0)
    assert recalled(again, OTHER).results["overlay"].verdict == "passed"
    assert recalled(again, Cell("5.10", "v1", "nft")).todo == ["overlay"]
    assert recalled(again, lesson="another").results == {}


@pytest.mark.parametrize("torn", ['{"cell": "6.1,v', "[]", '{"cell": "6.1,v2,nft"}', "nonsense"])
def test_a_torn_line_is_no_result_and_hides_no_other(tmp_path: Path, torn: str) -> None:
    record = Record.begin(tmp_path, "key")
    record.add(cell_run(CELL, 13.0), RESULT)
    with open(record.directory / RESULTS, "a", encoding="utf-8") as file:
        file.write(torn)
    assert recalled(Record.begin(tmp_path, "key")).results == {"overlay": RESULT}


def begun_anew(tmp_path: Path, key: str = "key", *, fresh: bool = False) -> bool:
    return not recalled(Record.begin(tmp_path, key, fresh=fresh)).results


def test_a_run_begins_anew_when_asked_and_when_the_last_one_came_to_its_end(tmp_path: Path) -> None:
    record = Record.begin(tmp_path, "key")
    record.add(cell_run(CELL, 13.0), RESULT)
    assert not begun_anew(tmp_path)
    assert begun_anew(tmp_path, fresh=True)
    record.add(cell_run(CELL, 13.0), RESULT)
    record.junit(CELL, "overlay").touch()
    record.end()
    assert begun_anew(tmp_path)
    assert not record.junit(CELL, "overlay").exists()


def test_another_checkout_reuses_nothing_and_keeps_no_old_records(tmp_path: Path) -> None:
    record = Record.begin(tmp_path, "key")
    record.add(cell_run(CELL, 13.0), RESULT)
    assert begun_anew(tmp_path, "other")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_nothing_is_deleted_but_what_a_record_is_made_of(tmp_path: Path) -> None:
    precious = tmp_path / "not-a-record" / "thesis.txt"
    precious.parent.mkdir()
    precious.write_text("x")
    Record.begin(tmp_path, "key", fresh=True)
    assert precious.exists()


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InfrastructureError, match="record of the matrix cannot be kept") as caught:
        Record.begin(tmp_path / "file" / "records", "key")
    assert "LABKIT_STATE" in caught.value.hint


def test_the_digest_is_of_all_that_is_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, lessons, lab = tmp_path / "labkit", tmp_path / "scenarios", tmp_path / "lab.yaml"
    for file in (code / "a.py", lessons / "one" / "README.md", lab):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("1")
    monkeypatch.setattr(paths, "checkout", lambda: tmp_path)

    def now(version: str = "7.2") -> str:
        return digest(lessons, lab, version)

    first = now()
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "a.pyc").write_bytes(b"x")
    (lessons / ".hidden").write_text("x")
    assert now() == first, "what no person wrote does not count"
    seen = {first, now("9.0")}
    for file in (code / "a.py", lessons / "one" / "README.md", lab):
        file.write_text("2")
        seen.add(now())
    (code / "a.py").rename(code / "b.py")
    seen.add(now())
    (lessons / "one" / "test_one.py").write_text("")
    seen.add(now())
    assert len(seen) == 7
