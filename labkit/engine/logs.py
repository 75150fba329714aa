"""``labkit logs``: the log's entries, and what shows them."""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections import deque

from labkit.engine import lease, moments
from labkit.engine.record import Container
from labkit.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from collections.abc import Iterator
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


class Choice(Value):
    """Which entries are shown, and how."""

    tail: int | None = None
    """The last so many of those that are there."""
    since: float | None = None
    until: float | None = None
    """Seconds since the epoch; with ``follow`` nothing later is waited for."""
    timestamps: bool = False


def show(container: Container, follow: bool, choice: Choice) -> None:
    """Write the log to our own standard output and error, as the container did."""
    if choice.tail is not None and not follow:
        wanted: Iterator[dict[str, Any]] = iter(deque(_between(entries(container), choice), maxlen=choice.tail))
    elif choice.tail is not None:
        skip = max(0, sum(1 for _ in _between(entries(container), choice)) - choice.tail)
        wanted = itertools.islice(_between(entries(container, follow), choice), skip, None)
    else:
        wanted = _between(entries(container, follow), choice)
    for entry in wanted:
        stream = sys.stdout if entry["stream"] == "stdout" else sys.stderr
        stream.write(f"{moments.rfc3339(entry['time'])} {entry['log']}" if choice.timestamps else entry["log"])
        stream.flush()


def _between(found: Iterator[dict[str, Any]], choice: Choice) -> Iterator[dict[str, Any]]:
    for entry in found:
        if choice.until is not None and entry["time"] > choice.until:
            return  # they are in the order of their times
        if choice.since is None or entry["time"] >= choice.since:
            yield entry
