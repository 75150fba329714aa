from __future__ import annotations

from pathlib import Path

import pytest

from labkit.runtime.text import textfile


def test_a_file_is_written_read_replaced_and_removed(tmp_path: Path) -> None:
    path = f"{tmp_path}/file"
    textfile.write(path, "über\n")
    assert textfile.read(path) == "über\n"
    textfile.replace(path, "new")
    assert textfile.read(path) == "new"
    textfile.remove(path)
    textfile.remove(path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_text_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a\xffb")
    assert textfile.read(f"{tmp_path}/file") == "a\N{REPLACEMENT CHARACTER}b"


def test_a_replacement_that_fails_leaves_nothing_beside(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        textfile.replace(f"{tmp_path}/taken", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
