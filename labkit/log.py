"""What is going on, as events: one dictionary each, to whoever listens.

Nothing here prints. The host side listens with a progress display, ``labkit run --explain`` with a list of
operations, and ``LABKIT_LOG=FILE`` with JSON lines, so that one description of the work serves all of them.

Every event has ``event`` (its kind), ``time`` (seconds since the epoch) and the fields of its kind:

==============  ==========================================================================
``step-start``  ``step`` (a number), ``title``
``step-note``   ``step``, ``text``: how far it is
``step-end``    ``step``, ``title``, ``ok``, ``seconds``
``notice``      ``text``: a sentence for the user, of something that was not asked for
anything else   the caller's own
==============  ==========================================================================
"""

from __future__ import annotations

import itertools
import os
import time

from labkit.errors import UsageError

TYPE_CHECKING = False  # (both worlds log, and in a machine ``typing`` is not imported for it)
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Event = dict[str, Any]
    Listener = Callable[[Event], None]


_listeners: list[Listener] = []
_numbers = itertools.count(1)


def listen(listener: Listener) -> Callable[[], None]:
    """Send every later event to ``listener``; the function that is returned ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def listen_no_more() -> None:
    """Forget all listeners: for a process that was forked, whose parent goes on telling them."""
    _listeners.clear()


def is_heard() -> bool:
    """Whether anybody listens: what takes long to describe need not be described for nobody."""
    return bool(_listeners)


def emit(event: str, **fields: Any) -> None:
    """Tell all listeners."""
    record: Event = {"event": event, "time": time.time(), **fields}
    for listener in tuple(_listeners):
        listener(record)


class Step:
    """One piece of work that takes long enough to be shown."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.number = next(_numbers)
        self.started = 0.0

    def note(self, text: str) -> None:
        """Say how far the step is."""
        emit("step-note", step=self.number, text=text)

    def __enter__(self) -> Step:
        self.started = time.monotonic()
        emit("step-start", step=self.number, title=self.title)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        seconds = time.monotonic() - self.started
        emit("step-end", step=self.number, title=self.title, ok=kind is None, seconds=seconds)


def step(title: str) -> Step:
    """Announce a piece of work, and its end: ``with step("Booting the machine") as booting: …``."""
    return Step(title)


def write_json_lines(path: str) -> Callable[[], None]:
    """Append every event to ``path``, one JSON object and one write a line: processes can share the file."""
    try:
        with open(path, "a", encoding="utf-8"):
            pass
    except OSError as error:
        raise UsageError(f"the log {path} cannot be written: {error.strerror}", "LABKIT_LOG names a file") from error

    import json  # local: few commands write a log

    def listener(record: Event) -> None:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(record, default=str) + "\n")

    return listen(listener)


def listen_as_environment_says() -> None:
    """``LABKIT_LOG=FILE`` asks for JSON lines in FILE."""
    path = os.environ.get("LABKIT_LOG")
    if path:
        write_json_lines(path)
