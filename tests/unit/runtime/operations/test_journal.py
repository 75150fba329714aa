from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit import log
from labkit.errors import ConfigError, KernelError
from labkit.runtime.operations import Journal, Section, from_record, to_record
from labkit.runtime.operations.files import MakeDirectory, MakeTree, Mount
from labkit.runtime.operations.journal import perform


def test_an_operation_survives_the_journal() -> None:
    mount = Mount("overlay", "/mnt", "overlay", ("lowerdir=/a:/b", "ro"))
    record = json.loads(json.dumps(to_record(mount)))
    assert record["operation"] == "labkit.runtime.operations.files:Mount"
    assert from_record(record) == mount


def test_only_labkits_own_operations_are_read() -> None:
    with pytest.raises(ValueError, match="no module of labkit"):
        from_record({"operation": "os:system", "command": "true"})


def test_what_was_done_is_undone_in_reverse(tmp_path: Path) -> None:
    journal = Journal(f"{tmp_path}/journals/j")
    journal.run([MakeDirectory(str(tmp_path / "a")), MakeDirectory(str(tmp_path / "a" / "b"))])
    assert (tmp_path / "a" / "b").is_dir()
    journal.undo()
    assert not (tmp_path / "a").exists()
    assert not Path(journal.path).exists()
    journal.undo()  # again is harmless


def test_a_failure_takes_back_what_came_before(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    journal = Journal(f"{tmp_path}/j")
    below_a_file = MakeDirectory(str(tmp_path / "file" / "x"))
    with pytest.raises(KernelError, match="mkdir"):
        journal.run([MakeTree(str(tmp_path / "a")), MakeDirectory(str(tmp_path / "a/b")), below_a_file])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_line_that_was_cut_by_death_does_not_count(tmp_path: Path) -> None:
    journal = Journal(f"{tmp_path}/j")
    journal.write(MakeDirectory(str(tmp_path / "a")))
    with open(journal.path, "a", encoding="utf-8") as file:
        file.write('{"operation": "labkit.oper')
    assert journal.lines() == [json.dumps(to_record(MakeDirectory(str(tmp_path / "a"))))]


def test_what_cannot_be_undone_stays_for_the_next_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(f"{tmp_path}/j")
    first, second = MakeDirectory(str(tmp_path / "a")), MakeTree(str(tmp_path / "b"))
    journal.run([first, second])

    def refuse(_: MakeTree) -> None:
        raise KernelError("busy")

    with monkeypatch.context() as patch:
        patch.setattr(MakeTree, "undo", refuse)
        with pytest.raises(KernelError, match="busy"):
            journal.undo()
    assert not (tmp_path / "a").exists()
    assert journal.lines() == [json.dumps(to_record(second))]
    journal.undo()
    assert not (tmp_path / "b").exists()


def test_each_operation_is_told_with_who_and_how_long(tmp_path: Path) -> None:
    events: list[log.Event] = []
    stop = log.listen(events.append)
    try:
        perform(MakeDirectory(str(tmp_path / "a"), 0o700), "host")
    finally:
        stop()
    (event,) = events
    assert (event["event"], event["where"]) == ("operation", "host")
    assert event["command"] == f"mkdir -p -m 0700 {tmp_path}/a"
    assert event["seconds"] >= 0


@pytest.mark.parametrize("path", ["", ".", "/", "/etc", "relative/path/of/ours", "/a/b/c/../../.."])
def test_a_tree_that_we_cannot_have_made_is_not_removed(path: str) -> None:
    with pytest.raises(KernelError, match="no directory that labkit made"):
        MakeTree(path).undo()


@pytest.mark.parametrize(
    "line",
    [
        '{"operation": "labkit.runtime.operations.files:MakeTree", "road": "/x/y/z"}',
        '{"operation": "labkit.runtime.operations.files:Unknown"}',
        '{"operation": "labkit.no_such_module:X"}',
        '{"path": "/x"}',
        "{",
        "[]",
    ],
)
def test_a_record_that_cannot_be_read_is_kept_and_hides_no_other(tmp_path: Path, line: str) -> None:
    journal = Journal(f"{tmp_path}/j")
    journal.run([MakeDirectory(str(tmp_path / "a"))])
    with open(journal.path, "a", encoding="utf-8") as file:
        file.write(line + "\n")
    journal.write(MakeDirectory(str(tmp_path / "b")))
    with pytest.raises(ConfigError, match="cannot be read"):
        journal.undo()
    assert not (tmp_path / "a").exists()
    assert journal.lines() == [line]


@pytest.mark.parametrize("needs_all", [False, True])
def test_what_needs_all_waits_for_what_is_apart(needs_all: bool, tmp_path: Path) -> None:
    done: list[str] = []

    class Apart(MakeTree):
        is_apart = True

        def begin(self) -> Callable[[], None]:
            return lambda: done.append("apart")

    class Needing(MakeTree):
        def do(self) -> None:
            done.append("needing")

    Needing.needs_all = needs_all
    Journal(f"{tmp_path}/j").run([Apart("/a/b/c"), Needing("/a/b/d")])
    assert done == (["apart", "needing"] if needs_all else ["needing", "apart"])


def test_a_section_with_a_journal_of_its_own_goes_into_that(tmp_path: Path) -> None:
    own, given = Journal(f"{tmp_path}/own"), Journal(f"{tmp_path}/given")
    first, second = MakeTree(str(tmp_path / "a")), MakeTree(str(tmp_path / "b"))
    given.run_sections([Section("one", [first], own), Section("two", [second])])
    assert (own.operations(), given.operations()) == ([first], [second])
