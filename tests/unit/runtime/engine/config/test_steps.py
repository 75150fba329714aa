from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.errors import ConflictError
from labkit.runtime.engine.config.steps import WriteId


def test_no_half_of_an_id_is_left_in_a_cidfile(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    writing = WriteId(str(tmp_path / "cid"), "0123456789ab" + "c" * 52)
    with full_disk(10), pytest.raises(ConflictError, match="of --cidfile cannot be written: File too large"):
        writing.do()
    assert list(tmp_path.iterdir()) == []


def test_a_cidfile_of_somebody_else_stays(tmp_path: Path) -> None:
    (tmp_path / "cid").touch()
    writing = WriteId(str(tmp_path / "cid"), "0123456789ab" + "c" * 52)
    with pytest.raises(ConflictError, match="there already"):
        writing.do()
    writing.undo()
    assert (tmp_path / "cid").exists()
