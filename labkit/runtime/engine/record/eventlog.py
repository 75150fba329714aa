"""What happens to containers, for whoever wants to know: one JSON line each, appended by whoever does it.

/run/labkit/events/log, and log.old with those before; together never much more than two megabytes.
"""

from __future__ import annotations

import fcntl
import os
import time

from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std import json
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import TYPE_CHECKING, Any
from labkit.runtime.text import textfile

if TYPE_CHECKING:
    from labkit.runtime.engine.record.record import Container

LOG = "/run/labkit/events/log"
_LONGEST = 1 << 20
_PAUSE = 0.1


def note(action: str, container: Container, **attributes: Any) -> None:
    """Write an event down. What cannot be written is lost: no container fails for that.

    One write(2) with O_APPEND, so that processes share the file without a lock.
    """
    event = {
        "time": time.time(),
        "type": "container",
        "action": action,
        "id": container.id,
        "name": container.name,
        "image": container.image,
        "labels": container.options.labels,
        **attributes,
    }
    with suppress(OSError):
        os.makedirs(os.path.dirname(LOG), mode=0o700, exist_ok=True)
        with kept_open(os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)) as descriptor:
            os.write(descriptor, (json.dumps(event) + "\n").encode())
            if os.fstat(descriptor).st_size > _LONGEST:  # the log becomes the old one; by one process, and once
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if textfile.leads_to(LOG, descriptor):
                    os.rename(LOG, f"{LOG}.old")


def read(since: float | None, until: float | None) -> Iterator[dict[str, Any]]:
    """The events from ``since`` on, or from now on without it; it waits for more, for ever or until ``until``."""
    if since is not None:
        with suppress(FileNotFoundError), open(f"{LOG}.old", encoding="utf-8") as file:
            yield from _between(_lines(file), since, until)
    yield from _between(_followed(since is None, until), since, until)


def _between(found: Iterator[dict[str, Any]], since: float | None, until: float | None) -> Iterator[dict[str, Any]]:
    for event in found:
        if (since is None or event["time"] >= since) and (until is None or event["time"] <= until):
            yield event


def _followed(from_now: bool, until: float | None) -> Iterator[dict[str, Any]]:
    """What is appended, also when another file takes the log's place."""
    place, last = os.SEEK_END if from_now else os.SEEK_SET, False
    while not last:
        last = _is_past(until)
        with suppress(FileNotFoundError), open(LOG, encoding="utf-8") as file:
            file.seek(0, place)
            goes_on = True
            while goes_on:
                # Both before what is there is read: all that was written before them is among it.
                last, goes_on = _is_past(until), textfile.leads_to(LOG, file.fileno())
                yield from _lines(file)
                if last and goes_on:
                    return
                time.sleep(_PAUSE if goes_on else 0)
            last = False  # another file has what came later
        place = os.SEEK_SET
        time.sleep(0 if last else _PAUSE)


def _is_past(moment: float | None) -> bool:
    return moment is not None and time.time() >= moment


def _lines(file: Any) -> Iterator[dict[str, Any]]:
    """The whole lines that are there."""
    while True:
        place = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(place)
            return
        with suppress(ValueError):  # a full disk may have cut one
            yield json.loads(line)
