"""Taking back what the dead left: the processes, mounts, links, rules, groups and files of containers without a keeper.

It is for where nobody is left. A start that failed is taken back by ``start.py`` itself, and one whose command alone
died by the container's shim (``shim/keeper.py``).
"""

from __future__ import annotations

import os
import time

from labkit import log
from labkit.errors import LabkitError
from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.record import eventlog, lease, record
from labkit.runtime.engine.record.options import RestartPolicy
from labkit.runtime.engine.record.record import DATA, RUN, UPDATES, Container
from labkit.runtime.images.imagestore import LAYERS
from labkit.runtime.operations.files import remove_tree
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.text import textfile


def collect(only: str = "") -> list[str]:
    """Clean up after every container that nobody is responsible for (or after ``only``); the ids of those that needed
    it. Those that were running and have a restart policy are started again.

    What cannot be undone now stays in its journal; the first such error is raised when all others are cleaned up.
    """
    cleaned = []
    to_restart: list[Container] = []
    first_error: LabkitError | None = None
    for container_id in sorted(_candidates() & {only} if only else _candidates()):
        taken = lease.take(container_id)
        if taken is None:
            continue
        try:
            ended = _clean(container_id)
            taken.release()
            cleaned.append(container_id)
            if ended and RestartPolicy(ended.options.restart).wants(137, record.is_stopped_by_hand(ended)):
                to_restart.append(ended)
        except LabkitError as error:
            taken.let_go()
            first_error = first_error or error
    _networks()
    _half_unpacked_layers()
    if os.path.isdir(f"{DATA}/volumes"):
        from labkit.runtime.engine import volumes  # local, as all below: only needed where there are any

        volumes.clean_up()
    if _names(UPDATES):
        from labkit.runtime.engine.life import update

        update.recover_all()
    for container in to_restart:
        from labkit.runtime.engine.life import start

        log.emit("restart", container=container.id, name=container.name)
        try:
            start.again(container).let_go()
        except LabkitError as error:
            first_error = first_error or error
    if first_error:
        raise first_error
    return cleaned


def collect_quietly() -> None:
    """For the beginning of other commands: nothing where nobody died, and no error that is not their own."""
    if _names(UPDATES) or any(not lease.is_held(container_id) for container_id in _candidates()):
        with suppress(LabkitError):
            collect()


def _candidates() -> set[str]:
    """Containers that are or were running, and those whose making or removal was not finished."""
    found = set(lease.everything()) | set(_names(f"{RUN}/journals"))
    for container_id in _names(f"{DATA}/journals"):
        if container_id not in found and _is_unfinished(container_id):
            found.add(container_id)
    return found


def _is_unfinished(container_id: str) -> bool:
    """Whether its making or removal was cut short, or the machine while it ran. Its record is not read for that: every
    command that lists containers asks this of all of them.
    """
    try:
        state = record.state_of(container_id)
    except FileNotFoundError:
        return True
    # "running" in the file, and no lease: that was before the last boot.
    has_record = os.path.exists(f"{DATA}/containers/{container_id}/container.json")
    return state.status in ("running", "restarting") or not has_record


def _names(directory: str) -> list[str]:
    return [name.partition(".")[0] for name in textfile.names(directory)]


def _clean(container_id: str) -> Container | None:
    """Take back what it has left; the container, if it was running when its shim died or the machine was cut off."""
    group.kill(f"/labkit/{container_id}", here())
    record.undo_run(container_id)
    container = record.load(container_id)
    if container is None or not container.is_complete():
        # It never ran, or its removal was cut short: nothing of it stays.
        record.creation_journal(container_id).undo()
        return None
    state = container.written_state()
    was_running = state.status in ("running", "restarting")
    if was_running:
        container.save_state(replace(state, status="exited", pid=0, exit_code=137, finished_at=time.time()))
        eventlog.note("die", container, exit_code=137)
    if container.options.auto_remove:
        record.unmake(container)
        return None
    return container if was_running else None


def _networks() -> None:
    from labkit.runtime.network import reservations  # local: only needed where there are networks

    for name in textfile.names(reservations.RUN_DIRECTORY):
        if os.path.isdir(f"{reservations.RUN_DIRECTORY}/{name}") and name != "ports":
            with reservations.locked(name):
                reservations.forget_dead(name, _is_someones)


def _is_someones(container_id: str) -> bool:
    return lease.is_held(container_id) or os.path.exists(record.run_journal(container_id).path)


def _half_unpacked_layers() -> None:
    for name in textfile.names(LAYERS):
        pid = name.rpartition(".")[2]
        if name.startswith(".") and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            with suppress(OSError):
                remove_tree(f"{LAYERS}/{name}")
