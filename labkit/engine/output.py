"""What a container writes, on its way to the log and to the commands that are attached to it.

The shim must never wait for a reader: it has to see the container's end whatever a terminal, a pager or a pipe does. So
what a command has not read yet is held back here, and the container's own pipe fills up behind it, as it would if it
wrote to that reader itself. The log takes what comes.
"""

from __future__ import annotations

import errno
import os
import select
import time

from labkit import jsontext
from labkit.basics import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: As docker cuts them: a line's beginning waits for its end no longer than this many bytes.
LONGEST_LINE = 16384
_CHUNK = 65536
_WHILE = 0.1
"""Seconds after which a container counts as one that stays."""


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
        with suppress(OSError):  # a full disk costs lines of the log, not the container
            self.file.write(jsontext.dumps(entry) + "\n")

    def finish_lines(self) -> None:
        """Write what had no end: its program is through."""
        for stream, rest in self.partial.items():
            if rest:
                self._entry(stream, rest)
        self.partial = dict.fromkeys(self.partial, b"")

    def close(self) -> None:
        """Close it, with everything written."""
        self.finish_lines()
        with suppress(OSError):
            self.file.close()


class Sink:
    """An attached command's pipe, and what it has not taken yet."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.waiting = b""

    def offer(self) -> bool:
        """Write what it takes; whether it is still there."""
        try:
            self.waiting = self.waiting[os.write(self.descriptor, self.waiting) :]
        except BlockingIOError:
            pass
        except OSError:  # the command is gone; the container goes on without it
            os.close(self.descriptor)
            return False
        return True

    def deliver_rest(self) -> None:
        """As slowly as the command likes, and close the pipe."""
        os.set_blocking(self.descriptor, True)
        while self.waiting:
            if not self.offer():
                return
        os.close(self.descriptor)


class _Stream:
    def __init__(self, name: str) -> None:
        self.name = name
        self.source = -1
        self.sinks: list[Sink] = []
        self.open = False
        """Whether somebody may still write to the source."""

    def waits(self) -> bool:
        return any(sink.waiting for sink in self.sinks)

    def offer(self) -> None:
        self.sinks = [sink for sink in self.sinks if not sink.waiting or sink.offer()]


class Copier:
    """Copies the output of one process after the other."""

    def __init__(self, log: LogWriter) -> None:
        self.log = log
        self.streams = [_Stream("stdout"), _Stream("stderr")]
        self.rest: Callable[[], None] | None = None
        """Called once, when nothing has happened for a while."""

    def attach(self, sinks: Sequence[int]) -> None:
        """Copy to those pipes, too: standard output's and standard error's, -1 for none."""
        for stream, descriptor in zip(self.streams, sinks):
            if descriptor >= 0:
                stream.sinks.append(Sink(descriptor))

    def run(self, pid: int, sources: Sequence[int], listener: int, called: Callable[[], None]) -> None:
        """Until the process ``pid`` has ended and what it wrote is read. ``called`` when ``listener`` is readable.

        Not until end of file: another process may hold the pipe's other end for ever.
        """
        for stream, source in zip(self.streams, sources):
            os.set_blocking(source, False)
            stream.source, stream.open = source, True
        ended = os.pidfd_open(pid)
        try:
            while self._step(ended, listener, called):
                pass
        finally:
            os.close(ended)
        # What is in the pipes now is all that will come, and no more than two pipes hold.
        for stream in self.streams[: len(sources)]:
            while self._read(stream):
                pass
            os.close(stream.source)
            stream.open = False
        self.log.finish_lines()

    def _step(self, ended: int, listener: int, called: Callable[[], None]) -> bool:
        """Wait for something to do, and do it; False when the process has ended."""
        sources = [stream.source for stream in self.streams if stream.open and not stream.waits()]
        sinks = [sink.descriptor for stream in self.streams for sink in stream.sinks if sink.waiting]
        readable, writable, _ = select.select([*sources, ended, listener], sinks, [], _WHILE if self.rest else None)
        if self.rest and not readable and not writable:
            self.rest()
            self.rest = None
        for stream in self.streams:
            if stream.waits():
                if writable:
                    stream.offer()
            elif stream.source in readable:
                self._read(stream)
        if listener in readable:
            called()
        return ended not in readable

    def _read(self, stream: _Stream) -> bool:
        """Take what is there; whether that was anything."""
        try:
            data = os.read(stream.source, _CHUNK) if stream.open else b""
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose last process has closed it (pty(7))
                raise
            data = b""
        if not data:
            stream.open = False  # select would call it readable for ever
            return False
        self.log.write(stream.name, data)
        for sink in stream.sinks:
            sink.waiting += data
        stream.offer()
        return True

    def deliver_rest(self) -> None:
        """Give the commands what they have not read: by now nothing else is left to do."""
        self.log.close()
        for stream in self.streams:
            for sink in stream.sinks:
                sink.deliver_rest()
            stream.sinks = []
