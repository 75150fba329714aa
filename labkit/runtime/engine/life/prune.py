"""``labkit prune``: remove what nothing runs in."""

from __future__ import annotations

import os

from labkit.errors import ConflictError
from labkit.runtime.engine.life import lifecycle
from labkit.runtime.engine.record import lease, record
from labkit.runtime.engine.record.record import Container


def candidates() -> list[Container]:
    """Containers that do not run and that no command is at work on."""
    return [
        container
        for container in record.everything()
        if container.state().status in ("created", "exited") and not lease.is_held(container.id)
    ]


def remove(containers: list[Container]) -> tuple[list[Container], int]:
    """Those of them that were still not running, and how many bytes their writable layers and logs took."""
    removed = []
    freed = 0
    for container in containers:
        size = size_of(container.directory)
        try:
            lifecycle.remove(container)
        except ConflictError:  # started meanwhile
            continue
        removed.append(container)
        freed += size
    return removed, freed


def size_of(directory: str) -> int:
    """Bytes on the disk of all that is in it; what goes while we look does not count."""
    total = 0
    for place, _, files in os.walk(directory):
        for name in files:
            try:
                total += os.lstat(f"{place}/{name}").st_blocks * 512
            except FileNotFoundError:
                continue
    return total
