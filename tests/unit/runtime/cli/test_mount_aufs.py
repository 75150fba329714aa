"""What the stand-in for aufs understands. That it mounts is in tests/guest/test_aufs_stand_in.py."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from labkit.errors import LabkitError, UsageError
from labkit.runtime.cli import mount_aufs
from labkit.runtime.kernel import mounts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="paths are POSIX's, and a colon parts them")


@pytest.mark.parametrize(
    "options",
    ["dirs=/home:/company", "rw,br:/home:/company", "br=/home=rw:/company=ro", "dirs=/home=rw:/company=ro+wh"],
)
def test_the_first_branch_is_writable_and_the_others_are_not(options: str) -> None:
    stack = mount_aufs.parse(options)
    assert [(branch.path, branch.writable) for branch in stack] == [("/home", True), ("/company", False)]


def test_relative_branches_are_those_of_the_callers_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [branch.path for branch in mount_aufs.parse("dirs=./home:./company")] == [
        f"{tmp_path}/home",
        f"{tmp_path}/company",
    ]


def test_without_a_writable_branch_nothing_is_written() -> None:
    stack = mount_aufs.parse("br:/a=ro:/b")
    assert mount_aufs.command(stack, "/mnt") == ["fuse-overlayfs", "-o", "lowerdir=/a:/b", "/mnt"]


def test_the_command() -> None:
    stack = mount_aufs.parse("dirs=/a:/b:/c")
    options = "lowerdir=/b:/c,upperdir=/a,workdir=/a/.wh..wh.stand-in"
    assert mount_aufs.command(stack, "/mnt") == ["fuse-overlayfs", "-o", options, "/mnt"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("", "no branches are given"),
        ("dirs=", "no branches are given"),
        ("dirs=/a:/b,xino=/x", "does not know the option 'xino=/x'"),
        ("remount,append:/c", "does not know the option 'remount'"),
        ("dirs=/a=rw+nolwh:/b", "does not know the permission 'rw+nolwh' of the branch /a"),
    ],
)
def test_what_it_does_not_know_is_refused_by_its_name(options: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refused:
        mount_aufs.parse(options)
    assert sentence in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("dirs={0}/a:{0}/b=rw:{0}/c", "can write to the first branch only, not to {0}/b"),
        ("dirs={0}/a:{0}/none", "the branch {0}/none is no directory"),
        ("dirs={0}/a:{0}/a", "the branches {0}/a and {0}/a overlap"),
        ("dirs={0}/b:{0}/a/../a/inner:{0}/a", "the branches {0}/a/inner and {0}/a overlap"),
        ("dirs={0}/a", "needs a branch to read from"),
    ],
)
def test_what_aufs_would_refuse_it_refuses(tmp_path: Path, options: str, sentence: str) -> None:
    for name in ("a/inner", "b", "c", "aa"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(LabkitError) as refused:
        mount_aufs.check(mount_aufs.parse(options.format(tmp_path)))
    assert sentence.format(tmp_path) in refused.value.message
    mount_aufs.check(mount_aufs.parse(f"dirs={tmp_path}/a:{tmp_path}/aa"))


@pytest.mark.parametrize(
    ("words", "status"),
    [([], 1), (["none", "/mnt", "-o", "dirs=/none:/no"], 32), (["none", "/mnt", "-o", "frob"], 1)],
)
def test_the_statuses_are_mounts(
    words: list[str], status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mounts, "has_filesystem", lambda name: False)
    assert mount_aufs.main(words) == status
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("mount.aufs: ")
    assert len(lines) <= 2


def test_where_fuse_overlayfs_is_missing_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mounts, "has_filesystem", lambda name: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert mount_aufs.main(["none", "/mnt", "-o", f"dirs={tmp_path}/a:{tmp_path}/b"]) == 2
    assert "fuse-overlayfs, which could stand in for it, is not installed" in capsys.readouterr().err
    assert os.listdir(tmp_path / "a") == []


def test_a_try_mounts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "has_filesystem", lambda name: False)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert mount_aufs.main(["none", "/mnt", "-f", "-v", "-o", f"dirs={tmp_path}/a:{tmp_path}/b"]) == 0
    assert os.listdir(tmp_path / "a") == []


def test_where_the_kernel_has_aufs_it_steps_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    class ReplacedError(Exception):
        """In place of the process."""

    def replace(program: str, words: list[str]) -> None:
        raise ReplacedError(program, words)

    monkeypatch.setattr(mounts, "has_filesystem", lambda name: True)
    monkeypatch.setattr(os, "execvp", replace)
    with pytest.raises(ReplacedError) as replaced:
        mount_aufs.main(["none", "/mnt", "-o", "rw,dirs=/a:/b,xino=/x"])
    assert replaced.value.args == (
        "mount",
        ["mount", "-i", "-t", "aufs", "none", "/mnt", "-o", "rw,dirs=/a:/b,xino=/x"],
    )
