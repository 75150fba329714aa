from __future__ import annotations

from pathlib import Path

import pytest

from labkit.runtime.std.dataclasses import replace

pytest.importorskip("fcntl", reason="the network locks files as POSIX systems do")

from labkit.runtime.network import reservations

let_go: list[set[str]] = []


class Reserved(reservations.Reserve):
    """It notes which locks are held when it lets go."""

    def _let_go(self) -> None:
        assert Path(self.path).exists()
        let_go.append(set(reservations._held))


@pytest.fixture
def reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reserved:
    let_go.clear()
    monkeypatch.setattr(reservations, "RUN_DIRECTORY", str(tmp_path))
    return Reserved(f"{tmp_path}/net/addresses/10.77.0.2", "one", "net")


def test_what_takes_long_is_done_without_the_locks_while_it_is_ours(reserved: Reserved) -> None:
    reserved.do()
    reserved.undo()
    assert let_go == [set()]
    assert not Path(reserved.path).exists()


def test_what_is_anothers_by_now_stays(reserved: Reserved) -> None:
    """A journal's line may be undone twice."""
    reserved.do()
    reserved.undo()
    replace(reserved, owner="two").do()
    reserved.undo()
    assert len(let_go) == 1
    assert Path(reserved.path).read_text() == "two"
