"""``labkit logs``: the log's entries, and what shows them."""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from collections.abc import Iterator

from labkit.engine import lease
from labkit.engine.record import Container
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def entries(container: Container, follow: bool = False) -> Iterator[dict[str, Any]]:
    """The log's entries from the first on; with ``follow`` until the container's shim has written the last.

    A line without an end is being written at this moment, so it is not there yet.
    """
    try:
        file = open(container.log_path, encoding="utf-8")  # noqa: SIM115 - closed below, when the caller has enough
    except FileNotFoundError:
        return
    with file:
        pending = ""
        last_look = not follow
        while True:
            line = file.readline()
            pending += line
            if pending.endswith("\n"):
                yield json.loads(pending)
                pending = ""
            elif not line and last_look:
                return
            elif not line:
                last_look = not lease.is_held(container.id)  # the shim is through: once more, and that is all
                time.sleep(0 if last_look else 0.1)


def show(container: Container, follow: bool, tail: int | None) -> None:
    """Write the log to our own standard output and error, as the container did."""
    if tail is not None and not follow:
        wanted: Iterator[dict[str, Any]] = iter(deque(entries(container), maxlen=tail))
    elif tail is not None:
        skip = max(0, sum(1 for _ in entries(container)) - tail)
        wanted = (entry for number, entry in enumerate(entries(container, follow)) if number >= skip)
    else:
        wanted = entries(container, follow)
    for entry in wanted:
        stream = sys.stdout if entry["stream"] == "stdout" else sys.stderr
        stream.write(entry["log"])
        stream.flush()
