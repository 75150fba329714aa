"""What a container wrote: JSON lines ``{"time", "stream", "log"}``, as docker's json-file driver keeps them."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from labkit.engine.record import Container


class LogWriter:
    """Writes the log, and copies to two descriptors (-1 for none) for as long as somebody reads there."""

    def __init__(self, path: str, copies: tuple[int, int]) -> None:
        self.file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed by __exit__
        self.copies = dict(zip(("stdout", "stderr"), copies))
        self.partial = {"stdout": b"", "stderr": b""}

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *_: object) -> None:
        for stream, rest in self.partial.items():
            if rest:
                self._line(stream, rest)
        self.file.close()

    def write(self, stream: str, data: bytes) -> None:
        """One line of the log for each line of the output; a line's beginning waits for its end."""
        if self.copies[stream] >= 0:
            try:
                _write_all(self.copies[stream], data)
            except OSError:
                self.copies[stream] = -1
        lines = (self.partial[stream] + data).split(b"\n")
        for line in lines[:-1]:
            self._line(stream, line + b"\n")
        self.partial[stream] = lines[-1]

    def _line(self, stream: str, line: bytes) -> None:
        entry = {"time": time.time(), "stream": stream, "log": line.decode(errors="replace")}
        self.file.write(json.dumps(entry) + "\n")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def entries(container: Container, follow: bool = False) -> Iterator[dict[str, Any]]:
    """The log's entries from the first on; with ``follow`` until the container has ended."""
    try:
        file = open(container.log_path, encoding="utf-8")  # noqa: SIM115 - closed below, a generator outlives its callers' with
    except FileNotFoundError:
        return
    with file:
        while True:
            line = file.readline()
            if line:
                yield json.loads(line)
            elif follow and container.state().status == "running":
                time.sleep(0.1)
            else:
                return


def show(container: Container, follow: bool, tail: int | None) -> None:
    """Write the log to our own standard output and error, as the container did."""
    found = entries(container, follow)
    if tail is not None:
        from collections import deque

        already = deque(entries(container), maxlen=tail)
        skip = sum(1 for _ in entries(container)) - len(already)
        found = (entry for number, entry in enumerate(found) if number >= skip)
    with contextlib.suppress(BrokenPipeError):
        for entry in found:
            stream = sys.stdout if entry["stream"] == "stdout" else sys.stderr
            stream.write(entry["log"])
            stream.flush()
