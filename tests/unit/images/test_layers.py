from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from labkit.errors import ConfigError
from labkit.images import layers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners, modes and links of a layer are POSIX's")


def _tar(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for member, data in members:
            member.size = len(data)
            member.uid, member.gid = os.getuid(), os.getgid()
            archive.addfile(member, io.BytesIO(data))
    stream.seek(0)
    return stream


def _file(name: str, mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.mode = mode
    info.mtime = 1000
    return info


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def test_files_links_modes_and_times(tmp_path: Path) -> None:
    directory = tarfile.TarInfo("bin")
    directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o750, 500
    stream = _tar(
        (directory, b""),
        (_file("bin/sh", 0o4755), b"#!"),
        (_link("bin/ash", "sh"), b""),
        (_link("bin/hard", "bin/sh", tarfile.LNKTYPE), b""),
    )
    layers.unpack(stream, str(tmp_path / "fs"))
    shell = tmp_path / "fs/bin/sh"
    assert (shell.read_bytes(), shell.stat().st_mode & 0o7777, shell.stat().st_mtime) == (b"#!", 0o4755, 1000)
    assert os.readlink(tmp_path / "fs/bin/ash") == "sh"
    assert (tmp_path / "fs/bin/hard").stat().st_ino == shell.stat().st_ino
    assert ((tmp_path / "fs/bin").stat().st_mode & 0o777, (tmp_path / "fs/bin").stat().st_mtime) == (0o750, 500)


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "a/../../escape"])
def test_a_member_that_would_lie_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="would lie outside"):
        layers.unpack(_tar((_file(name), b"x")), str(tmp_path / "fs"))
    assert not list(tmp_path.rglob("escape"))


def test_a_link_out_of_the_layer_does_not_lead_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    stream = _tar((_link("way", str(outside)), b""), (_file("way/file"), b"x"))
    layers.unpack(stream, str(tmp_path / "fs"))
    assert not list(outside.iterdir())
    assert (tmp_path / "fs" / str(outside).lstrip("/") / "file").read_bytes() == b"x"


def test_a_hard_link_out_of_the_layer_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    with pytest.raises(FileNotFoundError):
        layers.unpack(_tar((_link("stolen", "../secret", tarfile.LNKTYPE), b"")), str(tmp_path / "fs"))
