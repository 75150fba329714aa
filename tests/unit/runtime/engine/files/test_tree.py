from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("it is for the guest side, which is Linux", allow_module_level=True)

from labkit.errors import ConflictError, KernelError
from labkit.runtime.engine.files import copyplaces, tree
from labkit.runtime.kernel import rootdir


def test_what_was_made_is_finished_whatever_has_its_name_by_now(tmp_path: Path) -> None:
    """A process of the container may put a link in its place, and what that leads to is not the container's."""
    other = tmp_path / "other"
    other.touch(0o600)
    made = os.open(tmp_path / "made", tree.NEW_FILE, 0o600)
    os.rename(tmp_path / "made", tmp_path / "moved")
    (tmp_path / "made").symlink_to(other)
    tree.finish(made, tree.About(0o100755, None, (5, 5)))
    os.close(made)
    assert (other.stat().st_mode & 0o777, (tmp_path / "moved").stat().st_mode & 0o777) == (0o600, 0o755)


def test_a_name_that_becomes_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "l").symlink_to("/etc/passwd")
    directory = os.open(tmp_path, tree.DIRECTORY)
    try:
        with pytest.raises(tree.GoneError), tree.to_read(directory, "l"):
            pass
        os.mkfifo(tmp_path / "p")
        with pytest.raises(tree.GoneError), tree.to_read(directory, "p"):  # and nobody waits for its other end
            pass
    finally:
        os.close(directory)


def test_a_tree_that_is_too_deep(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "/".join(["d"] * 400)).mkdir(parents=True)
    (tmp_path / "target").mkdir()
    opened, target = os.open(source, tree.DIRECTORY), os.open(tmp_path / "target", tree.DIRECTORY)
    try:
        with pytest.raises(ConflictError, match="deeper than 300"):
            tree.Copier(keep=False).directory(opened, target, "new")
    finally:
        os.close(opened)
        os.close(target)


def test_a_name_that_became_a_link_meanwhile_is_an_error_in_a_sentence(tmp_path: Path) -> None:
    """A process of the container may put a link in the directory's place, between the look and the open."""
    (tmp_path / "d").mkdir()
    with rootdir.end_of(str(tmp_path), "/d") as place:
        (tmp_path / "d").rmdir()
        (tmp_path / "d").symlink_to("/tmp")
        with pytest.raises(KernelError, match="d cannot be copied: "), copyplaces._opened(place):
            pass


def test_an_error_names_what_it_is_about() -> None:
    with pytest.raises(KernelError, match="a/b cannot be copied: No space left"), tree.named("a/b"):
        raise OSError(28, os.strerror(28))
