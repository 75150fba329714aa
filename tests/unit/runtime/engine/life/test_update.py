from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fcntl", reason="the engine locks files as POSIX systems do")

from labkit.errors import ConflictError, KernelError, NotFoundError
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.engine.life import update
from labkit.runtime.engine.record import eventlog, record
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container, State

OPTIONS = Options("redis")
CONTAINER = Container("0123456789ab" + "c" * 52, "box", "redis:latest", "f" * 64, ["redis-server"], 0.0, OPTIONS)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of a running container and of its group on v2, all of them in a directory of the test's own."""
    data, group = tmp_path / "data", tmp_path / "cgroup/labkit" / CONTAINER.id
    monkeypatch.setattr(record, "DATA", str(data))
    monkeypatch.setattr(eventlog, "LOG", str(tmp_path / "events/log"))
    monkeypatch.setattr(update, "UPDATES", str(tmp_path / "updates"))
    monkeypatch.setattr(update, "here", lambda: Hierarchies(v2=str(tmp_path / "cgroup")))
    monkeypatch.setattr(Container, "state", lambda _: State("running"))
    Path(CONTAINER.directory).mkdir(parents=True)
    limits: dict[str, Any] = {"cpu": {"quota": 50000, "period": 100000}}
    Path(CONTAINER.directory, "config.json").write_text(json.dumps({"linux": {"resources": limits}}))
    group.mkdir(parents=True)
    (tmp_path / "cgroup/cgroup.controllers").write_text("cpu memory pids\n")
    (group / "cgroup.controllers").write_text("cpu memory pids\n")
    (group / "cpu.max").write_text("50000 100000\n")
    (group / "pids.max").write_text("max\n")
    return tmp_path


def files(tree: Path) -> dict[str, str]:
    """Everything that an update may change."""
    group = tree / "cgroup/labkit" / CONTAINER.id
    found = {name: (group / name).read_text().split("\n")[0] for name in ("cpu.max", "pids.max")}
    return {**found, "record": Path(CONTAINER.directory, "config.json").read_text()}


def test_files_and_record_say_the_new_limit(tree: Path) -> None:
    update.update(CONTAINER, {"cpu": {"quota": 25000}, "pids": {"limit": 7}})
    now = files(tree)
    assert (now["cpu.max"], now["pids.max"][:1]) == ("25000 100000", "7")
    resources = json.loads(now["record"])["linux"]["resources"]
    assert resources == {"cpu": {"quota": 25000, "period": 100000}, "pids": {"limit": 7}}
    assert os.listdir(tree / "updates") == []


def test_what_is_refused_changes_nothing(tree: Path) -> None:
    before = files(tree)
    (tree / "cgroup/cgroup.controllers").write_text("cpu pids\n")
    with pytest.raises(NotFoundError, match="no memory controller on cgroup v2"):
        update.update(CONTAINER, {"cpu": {"quota": 25000}, "memory": {"limit": 1 << 24}})
    with pytest.raises(ConflictError, match="would be less than that of memory alone"):
        update.update(CONTAINER, {"cpu": {"quota": 25000}, "memory": {"swap": 1 << 24}})
    assert files(tree) == before
    assert os.listdir(tree / "updates") == []


def test_a_record_that_cannot_be_written_takes_the_limits_back(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files(tree)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(update.textfile, "replace", full)
    with pytest.raises(KernelError, match=r"config\.json cannot be written: No space left"):
        update.update(CONTAINER, {"cpu": {"quota": 25000}})
    assert files(tree) == before
    assert os.listdir(tree / "updates") == []


def test_a_lock_that_was_left_is_removed(tree: Path) -> None:
    (tree / "updates").mkdir()
    (tree / "updates" / CONTAINER.id).write_text("")
    update.recover_all()
    assert os.listdir(tree / "updates") == []
