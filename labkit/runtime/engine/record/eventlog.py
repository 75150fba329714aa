"""What happens to containers, for whoever wants to know: one JSON line each, appended by whoever does it.

/run/labkit/events/log, and log.old with those before; together never much more than two megabytes.
"""

from __future__ import annotations

import fcntl
import os
import time

from labkit.runtime.engine.record.record import RUN, Container
from labkit.runtime.std import json
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any

LOG = f"{RUN}/events/log"
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
        descriptor = _opened()
        try:
            os.write(descriptor, (json.dumps(event) + "\n").encode())
            if os.fstat(descriptor).st_size > _LONGEST:
                _turn_over(descriptor)
        finally:
            os.close(descriptor)


def _opened() -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(LOG, flags, 0o600)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(LOG), mode=0o700, exist_ok=True)
        return os.open(LOG, flags, 0o600)


def _turn_over(descriptor: int) -> None:
    """The log becomes the old one; by one process, and once."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.stat(LOG).st_ino == os.fstat(descriptor).st_ino:
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
    file = None
    try:
        while True:
            if file is None:
                with suppress(FileNotFoundError):
                    file = open(LOG, encoding="utf-8")  # noqa: SIM115 - closed below
                    file.seek(0, os.SEEK_END if from_now else os.SEEK_SET)
            from_now = False  # what comes later is all new
            last = until is not None and time.time() >= until
            turned_over = file is not None and _is_another(file.fileno())
            if file is not None:
                yield from _lines(file)
            if turned_over and file is not None:
                file.close()
                file = None
            elif last:
                return
            else:
                time.sleep(_PAUSE)
    finally:
        if file is not None:
            file.close()


def _is_another(descriptor: int) -> bool:
    try:
        return os.stat(LOG).st_ino != os.fstat(descriptor).st_ino
    except FileNotFoundError:
        return True


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
