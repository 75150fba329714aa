from __future__ import annotations

import errno
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.runtime.engine.shim.logfile import AROUND, START, Limits, LogReader, LogWriter

FIRST = (0, START)
ROOMY = Limits()


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "log")


def write(path: str, *pieces: tuple[int, bytes], limits: Limits = ROOMY) -> None:
    writer = LogWriter(path, limits)
    for stream, data in pieces:
        writer.write(stream, memoryview(data))
    writer.close()


def read(path: str) -> list[tuple[int, bool, bytes]]:
    return [(piece.stream, piece.begins, piece.data) for piece in LogReader(path).pieces(FIRST, None, bool)]


def test_what_was_written_is_read_forwards_and_backwards(path: str) -> None:
    data = [(1, b"one\ntw"), (2, b"err\n"), (1, b"o\nrest \xff\0"), (2, b"x" * 3000000)]
    write(path, *data)
    expected = [(1, True, b"one\ntw"), (2, True, b"err\n"), (1, False, b"o\nrest \xff\0"), (2, True, b"x" * (1 << 20))]
    assert read(path)[:4] == expected
    assert b"".join(text for stream, _, text in read(path) if stream == 2) == b"err\n" + b"x" * 3000000
    reader = LogReader(path)
    backwards = [(piece.stream, piece.begins, piece.data) for _, piece in reader.backwards(reader.end())]
    assert backwards[::-1] == read(path)
    for place, piece in reader.backwards(reader.end()):
        assert next(reader.pieces(place, None, bool)).data == piece.data


def test_a_new_writer_goes_on_and_begins_a_line(path: str) -> None:
    write(path, (1, b"no end"))
    write(path, (1, b"of the next run\n"))
    assert read(path) == [(1, True, b"no end"), (1, True, b"of the next run\n")]


def test_a_piece_that_was_cut_short_is_not_there_wherever_it_was_cut(path: str) -> None:
    write(path, (1, b"whole\n"))
    sound = os.path.getsize(path)
    write(path, (1, b"lost, 12 \n3\n"))
    content = Path(path).read_bytes()
    for size in range(sound, len(content)):
        Path(path).write_bytes(content[:size])
        assert read(path) == [(1, True, b"whole\n")], size
        write(path, (1, b"after\n"))
        assert read(path) == [(1, True, b"whole\n"), (1, True, b"after\n")], size
    for size in range(START + 1):
        Path(path).write_bytes(content[:size])
        assert read(path) == []
        write(path, (2, b"after\n"))
        assert read(path) == [(2, True, b"after\n")], size


@pytest.mark.parametrize("junk", [b"\0" * 100, b"1764267332123456789 O 9999999\n", b"0" * 5000, b"\n"])
def test_what_is_no_piece_at_the_end_is_cut_off(path: str, junk: bytes) -> None:
    write(path, (1, b"whole\n"))
    with open(path, "ab") as file:
        file.write(junk)
    assert read(path) == [(1, True, b"whole\n")]
    assert not list(LogReader(path).backwards(LogReader(path).end()))
    write(path, (1, b"after\n"))
    assert read(path) == [(1, True, b"whole\n"), (1, True, b"after\n")]


def test_a_log_in_the_form_of_earlier_versions_is_put_aside(path: str) -> None:
    entry = json.dumps({"time": 1.5, "stream": "stdout", "log": "old\n"}) + "\n"
    Path(path).write_text(entry * 3)
    reader = LogReader(path)
    assert read(path) == []
    assert list(reader.backwards(reader.end())) == []
    write(path, (1, b"new\n"))
    assert read(path) == [(1, True, b"new\n")]
    assert Path(f"{path}.0").read_text() == entry * 3


def test_no_more_is_kept_than_was_wished_for(path: str, tmp_path: Path) -> None:
    limits = Limits(size=10000, files=3)
    write(path, *[(1, b"%05d\n" % number * 100) for number in range(300)], limits=limits)
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 3
    assert max(sizes) <= 10000
    lines = b"".join(data for _, _, data in read(path)).split()
    assert lines[-1] == b"00299"
    assert lines == sorted(lines)
    assert len(lines) > 2 * 10000 // (600 + AROUND) * 100


def test_one_file_and_pieces_that_are_larger_than_it(path: str, tmp_path: Path) -> None:
    write(path, (1, b"a" * 100000), (1, b"b" * 3000), limits=Limits(size=1000, files=1))
    assert [file.name for file in tmp_path.iterdir()] == ["log"]
    assert read(path) == [(1, False, b"b" * 3000)]


@pytest.mark.parametrize("files", [1, 2, 5])
def test_who_follows_the_log_sees_each_file_once_and_what_was_removed_is_skipped(path: str, files: int) -> None:
    writer = LogWriter(path, Limits(size=5000, files=files))
    seen: list[bytes] = []
    rounds = iter(range(100))

    def more() -> bool:
        number = next(rounds, None)
        if number is None:
            return False
        for part in range(number % 3):  # of 3000 bytes: a file each
            writer.write(1, memoryview(b"%03d.%d\n" % (number, part) * 500))
        return True

    for piece in LogReader(path).pieces(FIRST, None, more):
        seen += [line for line in dict.fromkeys(piece.data.split()) if len(line) == 5]
    written = [b"%03d.%d" % (number, part) for number in range(100) for part in range(number % 3)]
    # With one file, and a reader that comes after two were written, the first of them is gone.
    assert seen == [line for line in written if files > 1 or line.endswith(b".1") or int(line[:-2]) % 3 == 1]


def test_a_reader_stops_at_the_end_that_it_was_given(path: str) -> None:
    writer = LogWriter(path, Limits(size=5000, files=3))
    writer.write(1, memoryview(b"first\n"))
    end = LogReader(path).end()
    found = []
    for piece in LogReader(path).pieces(FIRST, end, lambda: pytest.fail("it waits")):
        found.append(piece.data)
        for _ in range(5):
            writer.write(1, memoryview(b"x" * 3000))
    assert found == [b"first\n"]


@pytest.fixture
def _small_files() -> Iterator[None]:
    """A file can have 3000 bytes: as on a full disk a write(2) is cut, and the next one fails (setrlimit(2))."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("_small_files")
def test_what_has_no_room_is_lost_and_nothing_else(path: str) -> None:
    writer = LogWriter(path, ROOMY)
    writer.write(1, memoryview(b"a" * 2000))
    for _ in range(3):
        writer.write(1, memoryview(b"b" * 2000))
    writer.write(1, memoryview(b"c" * 100))
    assert read(path) == [(1, True, b"a" * 2000), (1, True, b"c" * 100)]


def test_a_log_that_cannot_be_opened_again_is_no_other_file(path: str, tmp_path: Path) -> None:
    """An earlier version's log is put aside, and there is no descriptor for the new one: the next is another's."""
    Path(path).write_text("x" * 100)
    reached = os.open, os.rename
    with pytest.MonkeyPatch.context() as patch:

        def rename(source: str, target: str) -> None:
            reached[1](source, target)
            patch.setattr(os, "open", refuse)

        def refuse(*_: object) -> int:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        patch.setattr(os, "rename", rename)
        writer = LogWriter(path, ROOMY)
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)
    try:
        writer.write(1, memoryview(b"kept\n"))
        assert os.fstat(other).st_size == 0
    finally:
        os.close(other)
    assert read(path) == [(1, True, b"kept\n")]


def test_a_directory_that_is_not_there_costs_the_log_only(tmp_path: Path) -> None:
    writer = LogWriter(str(tmp_path / "none/log"), ROOMY)
    writer.write(1, memoryview(b"lost\n"))
    (tmp_path / "none").mkdir()
    writer.write(1, memoryview(b"kept\n"))
    assert read(str(tmp_path / "none/log")) == [(1, True, b"kept\n")]
