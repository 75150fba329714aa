"""The driver's words and decisions. What the module answers is in tests/guest/test_aufs_module.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from labkit.errors import KernelError
from labkit.runtime.kernel import mounts
from labkit.runtime.operations.base import from_record, to_record
from labkit.runtime.storage import aufs

LAYER = f"/var/lib/labkit/layers/{'0' * 64}/fs"


def _layers(count: int) -> list[str]:
    return [f"/var/lib/labkit/layers/{number:064x}/fs" for number in range(count)]


def test_the_upper_branch_is_writable_and_whiteouts_count_in_all_others() -> None:
    assert aufs.branches(["/l/2", "/l/1"], "/u") == ("/u=rw", "/l/2=ro+wh", "/l/1=ro+wh")


def test_what_fits_is_one_option_string() -> None:
    assert aufs.pages(("/u=rw", "/l/2=ro+wh", "/l/1=ro+wh")) == ["dirperm1,br:/u=rw:/l/2=ro+wh:/l/1=ro+wh"]


def test_what_does_not_fit_is_appended_in_the_same_order() -> None:
    stack = aufs.branches(_layers(126), "/var/lib/labkit/containers/x/upper")
    first, *more = aufs.pages(stack)
    assert len(more) == 3
    assert all(len(page.encode()) <= 4095 for page in (first, *more))
    assert first.startswith("dirperm1,br:")
    found = first.partition("br:")[2].split(":")
    for page in more:
        assert all(word.startswith("append:/") for word in page.split(","))
        found += [word.partition(":")[2] for word in page.split(",")]
    assert tuple(found) == stack


@pytest.mark.parametrize("limit", range(60, 75))
def test_a_page_is_filled_to_its_last_byte_and_not_beyond(limit: int) -> None:
    stack = ("/upper=rw", "/l/äöü=ro+wh", *[f"/l/{number}=ro+wh" for number in range(20)])
    sizes = [len(page.encode()) for page in aufs.pages(stack, limit)]
    assert max(sizes) <= limit
    assert all(size > limit - len(",append:/l/äöü=ro+wh".encode()) for size in sizes[:-1])


def test_what_aufs_cannot_take_is_refused_before_anything_is_mounted() -> None:
    with pytest.raises(KernelError, match="127 layers are too many for aufs, which takes 126"):
        aufs.operations("/r/o/o/t", _layers(127), "/u", "/w")
    for path, name in (("/a:b", "a colon"), ("/a=b", "an equals sign"), ("/a,b", "a comma")):
        with pytest.raises(KernelError, match=f"takes no path with {name} in it: {path}"):
            aufs.operations("/r/o/o/t", [path], "/u", "/w")
    aufs.check_path("/a path/with spaces")


@pytest.mark.parametrize(
    ("magic", "writable"), [(0xEF53, "/u=rw"), (mounts.TMPFS_MAGIC, "/u=rw+icex")], ids=["ext4", "tmpfs"]
)
def test_a_tmpfs_may_lose_attributes(monkeypatch: pytest.MonkeyPatch, magic: int, writable: str) -> None:
    monkeypatch.setattr(mounts, "filesystem_magic", lambda path: magic if path == "/u" else 0xEF53)
    _, mount = aufs.operations("/r/o/o/t", [LAYER], "/u", "/w")
    assert isinstance(mount, aufs.MountAufs)
    assert mount.branches == (writable, f"{LAYER}=ro+wh")


@pytest.mark.parametrize(("magic", "name"), [(mounts.OVERLAYFS_MAGIC, "overlay"), (mounts.AUFS_MAGIC, "aufs")])
@pytest.mark.parametrize("place", ["/u", LAYER])
def test_no_union_stands_on_another(monkeypatch: pytest.MonkeyPatch, place: str, magic: int, name: str) -> None:
    monkeypatch.setattr(mounts, "filesystem_magic", lambda path: magic if path == place else 0xEF53)
    with pytest.raises(KernelError, match=f"aufs cannot stand on {name}, another union, and {place} lies on one"):
        aufs.operations("/r/o/o/t", [LAYER], "/u", "/w")


def test_the_mount_describes_itself_for_a_shell_and_for_the_journal() -> None:
    mount = aufs.MountAufs("/the root", ("/u=rw", "/l=ro+wh"))
    assert mount.describe() == (
        "LIBMOUNT_FORCE_MOUNT2=always mount -i -t aufs -o dirperm1,br:/u=rw:/l=ro+wh none '/the root'"
    )
    assert mount.describe_undo() == "umount -i --lazy '/the root'"
    assert from_record(to_record(mount)) == mount
    many = aufs.MountAufs("/r", aufs.branches(_layers(80), "/u")).describe().splitlines()
    assert [line.split()[6].split(":")[0] for line in many] == ["dirperm1,br", "remount,append"]


def test_the_reason_is_taken_from_the_log() -> None:
    log = [
        "audit: something else",
        "aufs test_add:276:mount[812]: /b is overlapped",
        "aufs au_opts_parse:1153:python3[77]: unknown option frob",
        "EXT4-fs (vda): mounted",
    ]
    assert aufs.reason(log, 812) == "/b is overlapped"
    assert aufs.reason(log, 77) == "unknown option frob"
    assert aufs.reason(log, 5) == "unknown option frob", "in a pid namespace our number is another one"
    assert aufs.reason(log[:1], 5) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="a whiteout's name has nothing that Windows would take amiss")
def test_marks_are_files_with_names(tmp_path: Path) -> None:
    aufs.whiteout(str(tmp_path / "meeting"))
    aufs.make_opaque(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".wh..wh..opq", ".wh.meeting"]
    assert (tmp_path / ".wh.meeting").stat().st_mode & 0o7777 == 0o444
    aufs.whiteout(str(tmp_path / "meeting"))


def test_what_a_failed_mount_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".wh..wh.orph", ".wh..wh.plnk"):
        (tmp_path / name).mkdir()
    for name in (".wh..wh.aufs", ".wh..wh..opq", ".wh.meeting", "note"):
        (tmp_path / name).touch()
    (tmp_path / ".wh..wh.plnk/1.2").touch()
    found = aufs.control_files(str(tmp_path))
    assert found == {".wh..wh.aufs", ".wh..wh.orph", ".wh..wh.plnk"}
    aufs.remove_control_files(str(tmp_path), found)
    assert sorted(os.listdir(tmp_path)) == [".wh..wh..opq", ".wh..wh.plnk", ".wh.meeting", "note"]
    assert aufs.control_files(str(tmp_path)) == {".wh..wh.plnk"}


MOUNTINFO = """\
22 1 254:0 / / rw,noatime shared:1 - ext4 /dev/vda rw
40 22 0:30 / /r\\040oot rw,relatime - aufs none rw,si=f00d,dirperm1
41 22 0:31 / /plain rw - tmpfs tmpfs rw,size=1k
"""


def test_branches_are_read_from_sysfs_in_their_order(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    session = tmp_path / "sysfs/si_f00d"
    session.mkdir(parents=True)
    for number in range(12):
        (session / f"br{number}").write_text(f"/b{number}={'ro+wh' if number else 'rw'}\n")
        (session / f"brid{number}").write_text(f"{64 + number}\n")
    (session / "xi_path").write_text("/x\n")

    def branches(target: str) -> list[str]:
        return aufs.mounted_branches(target, str(tmp_path / "sysfs"), str(tmp_path / "mountinfo"))

    assert branches("/r oot") == ["/b0=rw", *[f"/b{number}=ro+wh" for number in range(1, 12)]]
    assert branches("/plain") == []
    assert branches("/nowhere") == []
