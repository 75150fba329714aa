from __future__ import annotations

import io
import os
import stat
import sys
import tarfile
from pathlib import Path

import pytest

from labkit.errors import ConfigError
from labkit.runtime.images import layers

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
    layers.unpack(stream, str(tmp_path))
    shell = tmp_path / "fs/bin/sh"
    assert (shell.read_bytes(), shell.stat().st_mode & 0o7777, shell.stat().st_mtime) == (b"#!", 0o4755, 1000)
    assert os.readlink(tmp_path / "fs/bin/ash") == "sh"
    assert (tmp_path / "fs/bin/hard").stat().st_ino == shell.stat().st_ino
    assert ((tmp_path / "fs/bin").stat().st_mode & 0o777, (tmp_path / "fs/bin").stat().st_mtime) == (0o750, 500)


@pytest.mark.parametrize("name", ["../escape", "/etc/escape", "a/../../escape"])
def test_a_member_that_would_lie_outside_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="would lie outside"):
        layers.unpack(_tar((_file(name), b"x")), str(tmp_path))
    assert not list(tmp_path.rglob("escape"))


def test_a_link_out_of_the_layer_does_not_lead_out(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    stream = _tar((_link("way", str(outside)), b""), (_file("way/file"), b"x"))
    layers.unpack(stream, str(tmp_path))
    assert not list(outside.iterdir())
    assert (tmp_path / "fs" / str(outside).lstrip("/") / "file").read_bytes() == b"x"


def test_a_hard_link_out_of_the_layer_finds_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    with pytest.raises(FileNotFoundError):
        layers.unpack(_tar((_link("stolen", "../secret", tarfile.LNKTYPE), b"")), str(tmp_path))


# What a layer hides


def _forms(tmp_path: Path, *names: str) -> dict[str, list[str]]:
    """A layer of these members (a directory where the name ends with a slash): its forms, and what lies in each."""
    members = []
    for name in names:
        info = _file(name)
        if name.endswith("/"):
            info.type, info.mode = tarfile.DIRTYPE, 0o755
        members.append((info, b"" if name.endswith("/") else b"data"))
    layers.unpack(_tar(*members), str(tmp_path / "layer"))
    return {
        form.name: sorted(str(path.relative_to(form)) for path in form.rglob("*"))
        for form in (tmp_path / "layer").iterdir()
    }


def test_a_layer_that_hides_nothing_has_one_form(tmp_path: Path) -> None:
    assert _forms(tmp_path, "etc/", "etc/passwd") == {"fs": ["etc", "etc/passwd"]}


root_only = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="overlay's marks are made by root on Linux only"
)


@root_only
def test_a_layer_that_hides_something_has_a_form_for_each_kind_of_union(tmp_path: Path) -> None:
    forms = _forms(tmp_path, "etc/", "etc/passwd", "etc/.wh.group", "srv/", "srv/.wh..wh..opq", "gone/.wh.x")
    assert forms["aufs"] == [
        "etc", "etc/.wh.group", "etc/passwd", "gone", "gone/.wh.x", "srv", "srv/.wh..wh..opq",
    ]  # fmt: skip
    assert forms["fs"] == ["etc", "etc/group", "etc/passwd", "gone", "gone/x", "srv"]
    overlay = tmp_path / "layer/fs"
    for name in ("etc/group", "gone/x"):
        status = (overlay / name).lstat()
        assert (stat.S_ISCHR(status.st_mode), status.st_rdev) == (True, 0)
    assert os.getxattr(overlay / "srv", "trusted.overlay.opaque") == b"y"
    assert "trusted.overlay.opaque" not in os.listxattr(overlay / "etc")
    aufs = tmp_path / "layer/aufs"
    assert (aufs / "etc/passwd").stat().st_ino == (overlay / "etc/passwd").stat().st_ino, "no second copy"
    whiteout = (aufs / "etc/.wh.group").stat()
    assert (stat.S_ISREG(whiteout.st_mode), whiteout.st_size) == (True, 0)


@root_only
def test_the_forms_have_the_same_owners_modes_and_times(tmp_path: Path) -> None:
    directory, hidden = tarfile.TarInfo("srv"), _file("srv/.wh.x")
    directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o1750, 500
    layers.unpack(_tar((directory, b""), (hidden, b""), (_link("srv/way", "nowhere"), b"")), str(tmp_path))
    for form in ("fs", "aufs"):
        status = (tmp_path / form / "srv").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o1750, 500)
        assert os.readlink(tmp_path / form / "srv/way") == "nowhere"


@root_only
@pytest.mark.parametrize("names", [("a/", "a/x", ".wh.a", "b", ".wh.b"), (".wh.a", "a/", "a/x", ".wh.b", "b")])
def test_a_whiteout_is_about_the_layers_below_and_never_about_its_own(tmp_path: Path, names: tuple[str, ...]) -> None:
    forms = _forms(tmp_path, *names)
    assert forms["aufs"] == ["a", "a/.wh..wh..opq", "a/x", "b"]
    assert forms["fs"] == ["a", "a/x", "b"]
    assert os.getxattr(tmp_path / "layer/fs/a", "trusted.overlay.opaque") == b"y"


def test_what_aufs_keeps_for_itself_is_no_content(tmp_path: Path) -> None:
    names = (".wh..wh.aufs", ".wh..wh.orph/", ".wh..wh.plnk/", ".wh..wh.plnk/12.34", "etc/", "etc/passwd")
    assert _forms(tmp_path, *names) == {"fs": ["etc", "etc/passwd"]}


def test_a_hard_link_to_one_of_aufss_own_names_keeps_its_contents(tmp_path: Path) -> None:
    stream = _tar((_file(".wh..wh.plnk/12.34"), b"data"), (_link("tool", ".wh..wh.plnk/12.34", tarfile.LNKTYPE), b""))
    layers.unpack(stream, str(tmp_path))
    assert (tmp_path / "fs/tool").read_bytes() == b"data"
    assert os.listdir(tmp_path / "fs") == ["tool"]


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "a/.wh..."])
def test_a_whiteout_of_no_name_hides_nothing(tmp_path: Path, name: str) -> None:
    assert list(_forms(tmp_path, name)) == ["fs"]
