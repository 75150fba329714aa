from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")
pytest.importorskip("resource", reason="the limit of a file's size stands for a full disk")

import resource

from labkit.errors import ConflictError
from labkit.runtime.engine.config.steps import WriteId


def test_no_half_of_an_id_is_left_in_a_cidfile(tmp_path: Path) -> None:
    writing = WriteId(str(tmp_path / "cid"), "0123456789ab" + "c" * 52)
    before: Any = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(ConflictError, match="of --cidfile cannot be written: File too large"):
            writing.do()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_a_cidfile_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "cid").touch()
    writing = WriteId(str(tmp_path / "cid"), "0123456789ab" + "c" * 52)
    with pytest.raises(ConflictError, match="there already"):
        writing.do()
    writing.undo()
    assert (tmp_path / "cid").exists()
