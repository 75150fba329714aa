from __future__ import annotations

import os
from pathlib import Path

import pytest

from labkit.errors import ConfigError
from labkit.runtime.kernel.rootdir import resolve


def test_links_are_read_as_the_container_reads_them(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "absolute").symlink_to("/real")
    (tmp_path / "out").symlink_to("../../../../etc")
    (tmp_path / "chain").symlink_to("absolute/deeper")
    root = str(tmp_path)
    assert resolve(root, "/absolute/file") == os.path.join(root, "real", "file")
    assert resolve(root, "/out/passwd") == os.path.join(root, "etc", "passwd")
    assert resolve(root, "/chain") == os.path.join(root, "real", "deeper")
    assert resolve(root, "/../../..") == root


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(ConfigError, match="more than 40 links"):
        resolve(str(tmp_path), "/a")
