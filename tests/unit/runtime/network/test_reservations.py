from __future__ import annotations

from pathlib import Path

import pytest

from labkit.runtime.std.dataclasses import replace

pytest.importorskip("fcntl", reason="the network locks files as POSIX systems do")

from labkit.errors import KernelError
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container
from labkit.runtime.network import definitions, reservations
from labkit.runtime.network.model import Network
from labkit.runtime.operations import Journal
from labkit.runtime.operations.files import MakeDirectory

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


def test_a_second_network_that_fails_lets_go_of_its_lock_before_the_first_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two that had the same networks in opposite order would wait for one another."""
    monkeypatch.setattr(reservations, "RUN_DIRECTORY", str(tmp_path))
    monkeypatch.setattr(definitions, "find", lambda name: Network(name, "10.78.0.0/24"))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "up").touch()
    held: list[set[str]] = []

    def do(self: reservations.Reserve) -> None:
        if self.network == "two":
            raise KernelError("no space left")
        reservations.Reserve.do(self)

    def let_go_(self: reservations.Reserve) -> None:
        held.append(set(reservations._held))

    monkeypatch.setattr(reservations.ReserveAddress, "do", do)
    monkeypatch.setattr(reservations.ReserveAddress, "_let_go", let_go_)
    options = Options("redis", network="one", networks={"two": {}})
    journal = Journal(str(tmp_path / "journals/box"))
    container = Container("0123456789ab" + "c" * 52, "box", "redis:latest", "f" * 64, ["x"], 0.0, options)
    with pytest.raises(KernelError, match="no space left"):
        networking.join(container, journal.run_sections)
    assert reservations.addresses("one")
    assert held == []
    journal.undo()
    assert (reservations.addresses("one"), held) == ({}, [set()])


def test_a_mark_that_cannot_be_written_is_one_sentence_and_the_network_is_not_left_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "RUN_DIRECTORY", str(tmp_path))
    journal = reservations._BringUp("one", "iptables")
    Path(journal.mark).mkdir(parents=True)  # a disk that is full is harder to have
    with pytest.raises(KernelError, match="one/up cannot be written"):
        journal.run([MakeDirectory(str(tmp_path / "bridge"))])
    assert not (tmp_path / "bridge").exists()
    assert journal.lines() == []


def test_a_name_that_cannot_be_written_whole_is_not_there(reserved: Reserved, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(path: str, text: str) -> None:
        Path(path).touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reservations.textfile, "write", half)
    with pytest.raises(KernelError, match="No space left"):
        reserved.do()
    assert not Path(reserved.path).exists()
