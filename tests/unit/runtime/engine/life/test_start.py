from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.errors import KernelError
from labkit.runtime.engine.life import create, start
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.lease import Lease
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container
from labkit.runtime.images.imagestore import Image

CONTAINER = Container("0123456789ab" + "c" * 52, "box", "redis:latest", "f" * 64, ["redis-server"], 0.0, Options("r"))
IMAGE = Image("redis:latest", "f" * 64, [], {}, "", 0)


@pytest.mark.parametrize("fresh", [True, False])
def test_a_run_that_cannot_be_undone_now_keeps_nothing_else_from_being_taken_back(
    fresh: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []

    def refuse(_: str) -> None:
        raise KernelError("umount: device or resource busy")

    monkeypatch.setattr(record, "undo_run", refuse)
    monkeypatch.setattr(create, "take_back", lambda container, _: done.append(container.name))
    monkeypatch.setattr(Lease, "release", lambda _: done.append("released"))
    start._abandon(CONTAINER, Lease(str(tmp_path / "lease"), -1), fresh)
    assert done == (["box"] if fresh else ["released"])


def test_a_full_disk_is_one_sentence_that_names_config_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    monkeypatch.setattr(record, "DATA", str(tmp_path))
    monkeypatch.setattr(start, "here", lambda: None)
    monkeypatch.setattr(start.steps, "run", lambda container, *_: container)
    monkeypatch.setattr(start.bundle, "specification", lambda *_: {"ociVersion": "1.0.2"})
    monkeypatch.setattr(Container, "save", lambda _: None)
    Path(CONTAINER.directory).mkdir(parents=True)
    with full_disk(0), pytest.raises(KernelError, match=r"config\.json cannot be written: File too large") as caught:
        start._prepare(CONTAINER, IMAGE)
    assert caught.value.hint == "is the disk full?"
    assert list(Path(CONTAINER.directory).iterdir()) == []
