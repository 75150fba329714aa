"""What a container writes, on its way to the log and, in the foreground, to the command that started it.

The shim must never wait for a reader: it has to see the container's end whatever a terminal, a pager or a pipe does. So
what the command has not read yet is held back here, and the container's own pipe fills up behind it, as it would if it
wrote to that reader itself. The log takes what comes.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import time

#: As docker cuts them: a line's beginning waits for its end no longer than this many bytes.
LONGEST_LINE = 16384
_CHUNK = 65536


class LogWriter:
    """The log: JSON lines ``{"time", "stream", "log"}``, as docker's json-file driver keeps them."""

    def __init__(self, path: str) -> None:
        self.file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed by close()
        self.partial = {"stdout": b"", "stderr": b""}

    def write(self, stream: str, data: bytes) -> None:
        """An entry for each whole line, and for each LONGEST_LINE bytes of one that does not end."""
        *lines, rest = (self.partial[stream] + data).split(b"\n")
        for line in lines:
            self._entry(stream, line + b"\n")
        while len(rest) >= LONGEST_LINE:
            self._entry(stream, rest[:LONGEST_LINE])
            rest = rest[LONGEST_LINE:]
        self.partial[stream] = rest

    def _entry(self, stream: str, line: bytes) -> None:
        entry = {"time": time.time(), "stream": stream, "log": line.decode(errors="replace")}
        with contextlib.suppress(OSError):  # a full disk costs lines of the log, not the container
            self.file.write(json.dumps(entry) + "\n")

    def close(self) -> None:
        """Write what had no end, and close."""
        for stream, rest in self.partial.items():
            if rest:
                self._entry(stream, rest)
        with contextlib.suppress(OSError):
            self.file.close()


class _Stream:
    def __init__(self, name: str, source: int, sink: int) -> None:
        self.name = name
        self.source = source
        self.sink = sink
        """Where a copy goes, or -1."""
        self.waiting = b""
        """What the sink has not taken yet."""
        self.open = True
        """Whether somebody may still write to the source."""


class Copier:
    """Copies two streams until a process has ended; ``sinks`` are the command's pipes for them, or -1."""

    def __init__(self, log: LogWriter, sources: tuple[int, int], sinks: tuple[int, int]) -> None:
        self.log = log
        self.streams = [_Stream(*parts) for parts in zip(("stdout", "stderr"), sources, sinks)]
        for stream in self.streams:
            os.set_blocking(stream.source, False)
            if stream.sink >= 0:
                os.set_blocking(stream.sink, False)

    def run(self, pid: int) -> None:
        """Until the process ``pid`` has ended and what it wrote is read.

        Not until end of file: another process may hold the pipe's other end for ever.
        """
        ended = os.pidfd_open(pid)
        try:
            while self._step(ended):
                pass
        finally:
            os.close(ended)
        # What is in the pipes now is all that will come, and no more than two pipes hold.
        for stream in self.streams:
            while self._read(stream):
                pass
            os.close(stream.source)
        self.log.close()

    def _step(self, ended: int) -> bool:
        """Wait for something to do, and do it; False when the process has ended."""
        sources = [stream.source for stream in self.streams if stream.open and not stream.waiting]
        sinks = [stream.sink for stream in self.streams if stream.waiting]
        readable, writable, _ = select.select([*sources, ended], sinks, [])
        for stream in self.streams:
            if stream.waiting and stream.sink in writable:
                self._offer(stream)
            elif stream.source in readable:
                self._read(stream)
        return ended not in readable

    def _read(self, stream: _Stream) -> bool:
        """Take what is there; whether that was anything."""
        try:
            data = os.read(stream.source, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            stream.open = False  # select would call it readable for ever
            return False
        self.log.write(stream.name, data)
        if stream.sink >= 0:
            stream.waiting += data
            self._offer(stream)
        return True

    def _offer(self, stream: _Stream) -> None:
        try:
            stream.waiting = stream.waiting[os.write(stream.sink, stream.waiting) :]
        except BlockingIOError:
            return
        except OSError:  # the command is gone; the container goes on without it
            stream.sink, stream.waiting = -1, b""

    def deliver_rest(self) -> None:
        """Give the command what it has not read, as slowly as it likes: by now nothing else is left to do."""
        for stream in self.streams:
            if stream.sink >= 0:
                os.set_blocking(stream.sink, True)
                while stream.waiting:
                    self._offer(stream)
            if stream.sink >= 0:  # its reader may have gone away meanwhile
                os.close(stream.sink)
