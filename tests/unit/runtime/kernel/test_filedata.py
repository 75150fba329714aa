from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("these are calls of Linux", allow_module_level=True)

from labkit.runtime.kernel import filedata

MEGABYTE = 1 << 20


def copied(source: Path, target: Path) -> int:
    with open(source, "rb") as read, open(target, "wb") as write:
        return filedata.copy(read.fileno(), write.fileno())


@pytest.mark.parametrize("size", [0, 1, 65535, 65536, 65537, 3 * MEGABYTE + 1])
def test_all_of_it(tmp_path: Path, size: int) -> None:
    (tmp_path / "a").write_bytes(os.urandom(size))
    assert copied(tmp_path / "a", tmp_path / "b") == size
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("pieces", [[(4, b"in between")], [(0, b"first"), (6, b"last")], []])
def test_holes_stay_holes(tmp_path: Path, pieces: list[tuple[int, bytes]]) -> None:
    with open(tmp_path / "a", "wb") as file:
        for megabyte, text in pieces:
            file.seek(megabyte * MEGABYTE)
            file.write(text)
        file.truncate(8 * MEGABYTE)
    assert copied(tmp_path / "a", tmp_path / "b") == 8 * MEGABYTE
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    if os.stat(tmp_path / "a").st_blocks < 100:  # this file system has holes
        assert os.stat(tmp_path / "b").st_blocks < 100


def test_a_file_that_says_it_is_empty(tmp_path: Path) -> None:
    assert copied(Path("/proc/version"), tmp_path / "b") > 0
    assert (tmp_path / "b").read_bytes() == Path("/proc/version").read_bytes()


def test_from_one_file_system_to_another(tmp_path: Path) -> None:
    """/dev/shm is one of its own, so that copy_file_range(2) refuses on new kernels."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm here")
    source = Path(f"/dev/shm/labkit-filedata-{os.getpid()}")
    try:
        source.write_bytes(os.urandom(2 * MEGABYTE))
        assert copied(source, tmp_path / "b") == 2 * MEGABYTE
        assert source.read_bytes() == (tmp_path / "b").read_bytes()
    finally:
        source.unlink()


def test_into_a_pipe_as_much_as_there_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 70000)
    reader, writer = os.pipe()
    with open(tmp_path / "a", "rb") as read, open(reader, "rb") as end:
        os.set_blocking(reader, False)
        assert filedata.move(read.fileno(), writer, 60000) == 60000
        assert end.read(60000) == b"x" * 60000
        assert filedata.move(read.fileno(), writer, 60000) == 10000
        os.close(writer)


def test_out_of_a_pipe(tmp_path: Path) -> None:
    data = os.urandom(3 * MEGABYTE)
    with (
        subprocess.Popen(
            [sys.executable, "-c", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as program,
        open(tmp_path / "b", "wb") as file,
    ):
        assert program.stdin
        assert program.stdout
        program.stdin.write(data)
        program.stdin.close()
        assert filedata.move(program.stdout.fileno(), file.fileno(), 4 * MEGABYTE) == 3 * MEGABYTE
    assert (tmp_path / "b").read_bytes() == data
