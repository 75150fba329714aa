"""Taking back what the dead left: the processes, mounts, links, rules, groups and files of containers without a
keeper.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path

from labkit.cgroups import group
from labkit.cgroups.detect import detect
from labkit.engine import lease, record
from labkit.engine.record import DATA, RUN, State
from labkit.errors import LabkitError
from labkit.images.store import LAYERS


def collect() -> list[str]:
    """Clean up after every container whose lease nobody holds; the ids of those that needed it.

    What cannot be undone now stays in its journal; the first such error is raised when all others are cleaned up.
    """
    cleaned = []
    first_error: LabkitError | None = None
    for container_id in sorted(_candidates()):
        taken = lease.take(container_id)
        if taken is None:
            continue
        try:
            cleaned.append(container_id)
            _clean(container_id)
        except LabkitError as error:
            first_error = first_error or error
        finally:
            taken.release()
    _networks()
    _half_unpacked_layers()
    if first_error:
        raise first_error
    return cleaned


def is_needed() -> bool:
    """Whether ``collect`` might find something: quick, for the beginning of every command."""
    return any(_is_orphan(container_id) for container_id in _candidates())


def _is_orphan(container_id: str) -> bool:
    taken = lease.take(container_id)
    if taken is None:
        return False
    taken.release()
    return True


def _candidates() -> set[str]:
    """Containers that are or were running, and those whose making was not finished."""
    made = {name for name in _names(f"{DATA}/journals") if not _was_started(name)}
    return made | set(lease.held()) | set(_names(f"{RUN}/journals"))


def _names(directory: str) -> list[str]:
    try:
        return [name.partition(".")[0] for name in os.listdir(directory)]
    except FileNotFoundError:
        return []


def _was_started(container_id: str) -> bool:
    return Path(DATA, "containers", container_id, "state.json").exists()


def _clean(container_id: str) -> None:
    group.kill(f"/labkit/{container_id}", detect())
    record.run_journal(container_id).undo()
    container = next((found for found in record.everything() if found.id == container_id), None)
    if container is None or not _was_started(container_id):
        # It never ran: a start that was cut short leaves nothing.
        record.creation_journal(container_id).undo()
        return
    state = container.state()
    if state.status == "running" or not state.finished_at:
        container.save_state(State("exited", exit_code=137, started_at=state.started_at, finished_at=time.time()))
    if container.auto_remove:
        record.creation_journal(container_id).undo()


def _networks() -> None:
    from labkit.network import store  # local: only needed where there are networks

    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(store.RUN_DIRECTORY):
            if entry.is_dir() and entry.name != "ports":
                with store.locked(entry.name):
                    store.take_down_if_unused(entry.name)


def _half_unpacked_layers() -> None:
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(LAYERS):
            pid = name.rpartition(".")[2]
            if name.startswith(".") and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
                shutil.rmtree(f"{LAYERS}/{name}", ignore_errors=True)
