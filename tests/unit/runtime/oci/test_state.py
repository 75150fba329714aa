"""A container's record: ids, and what is believed of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from labkit.errors import ConfigError, ConflictError, NotFoundError, UsageError

if sys.platform == "win32":
    pytest.skip("the guest side is Linux's", allow_module_level=True)

from labkit.runtime.oci import state


@pytest.mark.parametrize("good", ["a", "A-b_c.d+e", "0" * 64])
def test_ids_are_runcs(good: str) -> None:
    assert state.check_id(good) == good


@pytest.mark.parametrize("bad", ["", ".", "..", "a/b", "a b", "ü", "a\0", "x" * 201])
def test_anything_else_is_no_id(bad: str) -> None:
    with pytest.raises(UsageError):
        state.check_id(bad)


def test_an_id_is_taken_once(tmp_path: Path) -> None:
    os.close(state.make(str(tmp_path), "one"))
    with pytest.raises(ConflictError, match="already exists"):
        state.make(str(tmp_path), "one")
    assert [container.id for container in state.every(str(tmp_path))] == ["one"]


def test_what_its_maker_left_at_once_is_stopped_and_can_be_forgotten(tmp_path: Path) -> None:
    lock = state.make(str(tmp_path), "one")
    assert state.load(str(tmp_path), "one").status() == "creating"
    os.close(lock)
    container = state.load(str(tmp_path), "one")
    assert container.status() == "stopped"
    state.forget(container)
    with pytest.raises(NotFoundError, match="container does not exist"):
        state.load(str(tmp_path), "one")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"id": "one"}', '{"what": 1}'])
def test_a_broken_record_is_named(tmp_path: Path, text: str) -> None:
    os.close(state.make(str(tmp_path), "one"))
    Path(tmp_path, "one", "state.json").write_text(text)
    with pytest.raises(ConfigError, match=r"state\.json"):
        state.load(str(tmp_path), "one")
    assert state.every(str(tmp_path)) == []
