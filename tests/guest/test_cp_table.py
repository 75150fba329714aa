"""``labkit cp`` against the table that was recorded from docker: running and stopped, both ways, and as streams.

The rows call what the command calls, in this process: a new one for each would take a minute.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import cptable
import pytest
from conftest import labkit

from labkit.errors import LabkitError
from labkit.runtime.engine.files import copying
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.record import Container

PATHS = [*cptable.PATHS, *cptable.OTHERWISE]
#: A copy of a container that does not run takes longer; what differs there is how it is seen.
FEW = [row for row in PATHS if "->" in row[0] + row[2]][::4]


class Table:
    """A directory for each row in the container, one outside, and one that no link may lead to."""

    def __init__(self, container: Container, place: Path) -> None:
        self.container = container
        self.outside, self.away = place / "rows", place / "away"
        self.outside.mkdir()
        self.away.mkdir()
        (self.away / "f").write_text("0")

    def row(self, number: int, is_inside: bool) -> str:
        """The path of a row's directory on that side."""
        return f"/row{number}" if is_inside else f"{self.outside}/row{number}"

    def differences(
        self, trees: list[tuple[str, str]], copy: Callable[[int], object], is_inside: bool, expected: list[str]
    ) -> list[str]:
        """``trees`` inside and outside are made, ``copy(NUMBER)`` does a row's, and this is what is not as expected:
        on the side ``is_inside`` says, or on the other, which must not change.
        """
        away = str(self.away)
        with copying.root_of(self.container) as root:
            for number, pair in enumerate(trees):
                for side, tree in zip((True, False), pair):
                    row = self.row(number, side)
                    cptable.make(f"{root}{row}" if side else row, tree, row, away)
            before = self._shown(root, len(trees))
        refused = [self._refuses(copy, number) for number in range(len(trees))]
        with copying.root_of(self.container) as root:
            after = self._shown(root, len(trees))
        wrong = []
        for number, wanted in enumerate(expected):
            here, there = (0, 1) if is_inside else (1, 0)
            found = after[number][here]
            if refused[number]:
                found = "refused" if after[number] == before[number] else f"refused, {found}"
            if found != wanted or after[number][there] != before[number][there]:
                wrong.append(f"{number}: {trees[number]}: {found!r}, and not {wanted!r} {refused[number]}")
        assert [(path.name, path.read_text()) for path in self.away.iterdir()] == [("f", "0")]
        return wrong

    def _shown(self, root: str, count: int) -> list[tuple[str, str]]:
        away, found = str(self.away), []
        for number in range(count):
            inside, outside = self.row(number, is_inside=True), self.row(number, is_inside=False)
            found.append((cptable.shown(f"{root}{inside}", inside, away), cptable.shown(outside, outside, away)))
        return found

    def _refuses(self, copy: Callable[[int], object], number: int) -> str:
        os.chdir(self.row(number, is_inside=False))
        try:
            copy(number)
        except LabkitError as error:
            return error.message
        return ""


@pytest.fixture
def table(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    """With a container that runs, or with one that does not."""
    monkeypatch.chdir(tmp_path)  # and back at the end
    program = ["run", "-d"] if request.param == "running" else ["create"]
    labkit(*program, "--name", "copied", "--network", "none", "busybox", "sleep", "1000")
    return Table(record.find("copied"), tmp_path)


def links_of(source: str) -> tuple[bool, str]:
    """``-L`` and the path."""
    return source.startswith("-L "), source.replace("-L ", "")


@pytest.mark.parametrize(
    ("table", "rows"),
    [("running", [*PATHS, *cptable.INTO]), ("stopped", [*FEW, *cptable.INTO[:5]])],
    indirect=["table"],
    ids=["running", "stopped"],
)
def test_into_a_container(table: Table, rows: list[tuple[str, ...]]) -> None:
    def copy(number: int) -> None:
        follow, source = links_of(rows[number][1])
        copying.into(table.container, source, f"/row{number}/{rows[number][3]}", None, follow)

    trees = [(here, there) for there, _, here, _, _ in rows]
    assert table.differences(trees, copy, is_inside=True, expected=[row[4] for row in rows]) == []


@pytest.mark.parametrize(
    ("table", "rows"), [("running", PATHS), ("stopped", FEW)], indirect=["table"], ids=["running", "stopped"]
)
def test_out_of_a_container(table: Table, rows: list[tuple[str, ...]]) -> None:
    def copy(number: int) -> None:
        follow, source = links_of(rows[number][1])
        copying.out_of(table.container, f"/row{number}/{source}", rows[number][3], None, follow, keep=False)

    trees = [(there, here) for there, _, here, _, _ in rows]
    assert table.differences(trees, copy, is_inside=False, expected=[row[4] for row in rows]) == []


@pytest.mark.parametrize("table", ["running"], indirect=True)
def test_streams(table: Table) -> None:
    rows, away = cptable.STREAMS_IN, str(table.away)

    def copy(number: int) -> None:
        with tempfile.TemporaryFile() as file:
            file.write(cptable.packed(rows[number][0], f"/row{number}", away))
            file.seek(0)
            copying.into(table.container, "-", f"/row{number}/{rows[number][2]}", file.fileno(), links=False)

    trees = [(inside, "") for _, inside, _, _ in rows]
    assert table.differences(trees, copy, is_inside=True, expected=[row[3] for row in rows]) == []


@pytest.mark.parametrize("table", ["running"], indirect=True)
def test_as_streams(table: Table) -> None:
    rows, away, found = cptable.STREAMS_OUT, str(table.away), {}

    def copy(number: int) -> None:
        follow, source = links_of(rows[number][1])
        with tempfile.TemporaryFile() as file:
            copying.out_of(table.container, f"/row{number}/{source}", "-", file.fileno(), follow, keep=False)
            file.seek(0)
            found[number] = cptable.members(file.read(), f"/row{number}", away)

    trees = [(inside, "") for inside, _, _ in rows]
    outside = ["refused" if row[2] == "refused" else "" for row in rows]
    assert table.differences(trees, copy, is_inside=False, expected=outside) == []
    assert [found.get(number, "refused") for number in range(len(rows))] == [row[2] for row in rows]
