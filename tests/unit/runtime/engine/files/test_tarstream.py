from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("it is for the guest side, which is Linux", allow_module_level=True)

from labkit.errors import ConfigError, ConflictError
from labkit.runtime.engine.files import forward, tarstream, tree


def archive(*names: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.uid, entry.gid = 5, os.getuid(), os.getgid()
            tar.addfile(entry, io.BytesIO(b"hello"))
    return stream.getvalue()


def unpacked(stream: bytes, directory: Path) -> list[str]:
    """The files that come of it."""
    (directory.parent / "stream").write_bytes(stream)
    directory.mkdir()
    with open(directory.parent / "stream", "rb") as file:
        tarstream.unpack(file.fileno(), str(directory), "/")
    return sorted(os.listdir(directory))


@pytest.mark.parametrize("packer", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_packed_in_any_way(tmp_path: Path, packer: Callable[[bytes], bytes]) -> None:
    assert unpacked(packer(archive("a", "b")), tmp_path / "d") == ["a", "b"]
    assert (tmp_path / "d/b").read_text() == "hello"


@pytest.mark.parametrize("stream", [b"", bytes(512), bytes(10240)])
def test_nothing_is_an_archive_of_nothing(tmp_path: Path, stream: bytes) -> None:
    assert unpacked(stream, tmp_path / "d") == []


@pytest.mark.parametrize(
    "stream",
    [b"no tar", b"x" * 2048, archive("a")[:514], gzip.compress(archive("a"))[:40], lzma.compress(b"y" * 600)],
    ids=["short", "long", "cut", "gzip cut", "packed"],
)
def test_damaged(tmp_path: Path, stream: bytes) -> None:
    with pytest.raises(ConfigError, match="no tar archive, or a damaged one"):
        unpacked(stream, tmp_path / "d")


def test_a_header_that_would_fill_the_memory(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("x")
    entry.type, entry.size = tarfile.XHDTYPE, 7 << 30
    with pytest.raises(ConfigError, match="a header of 7516192768 bytes"):
        unpacked(entry.tobuf(tarfile.GNU_FORMAT), tmp_path / "d")


def test_a_stream_is_not_read_back() -> None:
    """What has been read is gone, as from a pipe."""
    reader, writer = os.pipe()
    os.write(writer, b"x" * 1000)
    os.close(writer)
    stream = forward.opened(reader)
    assert stream
    assert (stream.read(3), stream.tell()) == (b"xxx", 3)
    stream.seek(990)
    assert stream.read(100) == b"x" * 10
    os.close(reader)


def test_tar_reads_what_is_packed(tmp_path: Path) -> None:
    """Names of any bytes, second names, a file of more than one buffer."""
    source = tmp_path / "source"
    source.mkdir()
    names = [b"long" * 50, b"line\nbreak", b"\xff", b"big"]
    for name in names:
        Path(os.fsdecode(os.fsencode(source) + b"/" + name)).write_bytes(name * (1 if name != b"big" else 200_000))
    os.link(source / "big", source / "second")
    opened = os.open(source, tree.DIRECTORY)
    with open(tmp_path / "archive", "wb") as file:
        packer = tarstream.Packer(file.fileno())
        packer.directory(opened, "shown")
        packer.close()
    os.close(opened)
    assert (tmp_path / "archive").stat().st_size % tarfile.RECORDSIZE == 0
    subprocess.run(["tar", "-C", tmp_path, "-xf", tmp_path / "archive"], check=True)
    subprocess.run(["diff", "-r", source, tmp_path / "shown"], check=True)
    assert (tmp_path / "shown/big").samefile(tmp_path / "shown/second")
    assert sorted(os.listdir(os.fsencode(tmp_path / "shown"))) == sorted([*names, b"second"])


def test_holes_of_gnu_tar_are_holes_again(tmp_path: Path) -> None:
    with open(tmp_path / "holes", "wb") as file:
        file.seek(4 << 20)
        file.write(b"end")
        file.truncate(8 << 20)
    tar = ["tar", "-C", str(tmp_path), "--sparse", "-cf", "-", "holes"]
    stream = subprocess.run(tar, stdout=subprocess.PIPE, check=True).stdout
    unpacked(stream, tmp_path / "d")
    assert (tmp_path / "d/holes").read_bytes() == (tmp_path / "holes").read_bytes()
    if len(stream) < 1 << 20:
        assert (tmp_path / "d/holes").stat().st_blocks < 2048


def test_a_file_that_was_given_to_tar_twice_stays(tmp_path: Path) -> None:
    """GNU tar writes its second time as a link to itself, where it has two names."""
    (tmp_path / "f").write_text("kept")
    os.link(tmp_path / "f", tmp_path / "g")
    tar = ["tar", "-C", str(tmp_path), "-cf", "-", "f", "f", "g", "g"]
    stream = subprocess.run(tar, stdout=subprocess.PIPE, check=True).stdout
    assert unpacked(stream, tmp_path / "d") == ["f", "g"]
    assert (tmp_path / "d/f").read_text() == "kept"
    assert (tmp_path / "d/f").samefile(tmp_path / "d/g")


@pytest.mark.parametrize(
    "headers",
    [
        {"mtime": "nan"},
        {"mtime": "inf"},
        {"mtime": "1e30"},
        {"uid": "99999999999999"},
        {"gid": "-5"},
        {"uid": "4294967295"},
        {"path": "a\0b"},
        {"linkpath": "a\0b"},
        {"size": "-5"},
        {"GNU.sparse.map": "x,y", "GNU.sparse.size": "9"},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE], ids=["file", "directory", "link"])
def test_what_no_file_has_is_refused_before_anything_is_made(
    tmp_path: Path, kind: bytes, headers: dict[str, str]
) -> None:
    entry = tarfile.TarInfo("x")
    entry.type, entry.uid, entry.gid = kind, os.getuid(), os.getgid()
    entry.pax_headers = headers
    with pytest.raises(ConfigError):
        unpacked(entry.tobuf(tarfile.PAX_FORMAT) + bytes(1024), tmp_path / "d")
    assert list((tmp_path / "d").iterdir()) == []


def test_headers_of_headers(tmp_path: Path) -> None:
    """tarfile goes one call deeper with each."""
    with pytest.raises(ConfigError, match="damaged"):
        unpacked(
            tarfile.TarInfo._create_pax_generic_header({"a": "b"}, tarfile.XHDTYPE, "utf-8") * 1000, tmp_path / "d"
        )  # type: ignore[attr-defined]


def test_what_is_too_deep_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConflictError, match="deeper than 300"):
        unpacked(archive("/".join(["d"] * 1200)), tmp_path / "d")
    assert list((tmp_path / "d").iterdir()) == []
    (tmp_path / "s" / "/".join(["d"] * 600)).mkdir(parents=True)
    directory = os.open(tmp_path, tree.DIRECTORY)
    try:
        with open(os.devnull, "wb") as file, pytest.raises(ConflictError, match="deeper than 300"):
            tarstream.Packer(file.fileno()).entry(directory, "s", "s")
    finally:
        os.close(directory)


def test_what_is_just_not_too_deep_goes_there_and_back(tmp_path: Path) -> None:
    name = "/".join(["d"] * 300 + ["f"])
    unpacked(archive(name), tmp_path / "d")
    directory = os.open(tmp_path / "d", tree.DIRECTORY)
    with open(tmp_path / "archive", "wb") as file:
        packer = tarstream.Packer(file.fileno())
        packer.entry(directory, "d", "d")
        packer.close()
    os.close(directory)
    unpacked((tmp_path / "archive").read_bytes(), tmp_path / "back")
    assert (tmp_path / "back" / name).read_text() == "hello"
