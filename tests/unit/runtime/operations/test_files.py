"""A tree is removed without a step outside of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from labkit.errors import KernelError
from labkit.runtime.operations.files import MakeTree, remove_tree

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the guest side's files are Linux's")


def test_all_of_it_goes_and_nothing_that_a_link_leads_to(tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    (outside / "kept").mkdir(parents=True)
    (outside / "kept" / "file").write_text("here")
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "file").write_text("gone")
    (tree / "a" / "link").symlink_to(outside)
    (tree / "to a file").symlink_to(outside / "kept" / "file")
    os.mkfifo(tree / "fifo")
    MakeTree(str(tree)).undo()
    assert os.listdir(tmp_path) == ["outside"]
    assert (outside / "kept" / "file").read_text() == "here"


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_text("here")
    (tmp_path / "tree").symlink_to(tmp_path / "outside")
    with pytest.raises(KernelError, match="tree cannot be removed"):
        MakeTree(str(tmp_path / "tree")).undo()
    assert (tmp_path / "outside" / "file").exists()


def test_what_is_not_there_needs_no_removal(tmp_path: Path) -> None:
    MakeTree(str(tmp_path / "never")).undo()
    with pytest.raises(FileNotFoundError):
        remove_tree(str(tmp_path / "never"))


def test_as_deep_as_a_container_may_go(tmp_path: Path) -> None:
    """200 levels: four times what the longest path of a real image has."""
    home = os.open(tmp_path, os.O_RDONLY)
    try:
        os.mkdir("tree", dir_fd=home)
        place = os.open("tree", os.O_RDONLY, dir_fd=home)
        for _ in range(200):
            os.mkdir("a-name-that-is-long-enough", dir_fd=place)
            below = os.open("a-name-that-is-long-enough", os.O_RDONLY, dir_fd=place)
            os.close(place)
            place = below
        os.close(place)
    finally:
        os.close(home)
    remove_tree(str(tmp_path / "tree"))
    assert os.listdir(tmp_path) == []
