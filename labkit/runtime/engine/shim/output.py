"""What a container writes, on its way to the log and to the commands that are attached to it.

The shim must never wait for a reader: it has to see the container's end whatever a terminal, a pager or a pipe does. So
what a command has not read yet is held back here, and the container's own pipe fills up behind it, as it would if it
wrote to that reader itself. The log takes what comes.

Nothing here looks at the bytes: what one read(2) gives is written to the log and to each command as it is.
"""

from __future__ import annotations

import errno
import os
import select
import time

from labkit.runtime.engine.shim.logfile import LogWriter
from labkit.runtime.engine.shim.wire import enlarge
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std.collections.abc import Callable, Sequence

_CHUNK = 1 << 19
_FULL = 1 << 16
"""As many bytes as a pipe holds by itself (pipe(7))."""
_BUSY = 0.001
"""Seconds between two reads that make a container one that writes without a pause."""
_PAUSE = 0.0005
"""Seconds that such a one gets to write some more: it would wake us for each of its writes, or we it for each read."""
_WHILE = 0.1
"""Seconds after which a container counts as one that stays."""


class Sink:
    """An attached command's pipe, and what it has not taken yet."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.waiting = b""
        self.enlarged = False

    def take(self, data: memoryview) -> bool:
        """Write what it takes of something new, and keep the rest for later; whether it is still there.

        Something waits already when the container has ended and the last that is in its pipes is read.
        """
        if self.waiting:
            self.waiting += data
            return True
        try:
            written = os.write(self.descriptor, data)
        except BlockingIOError:
            written = 0
        except OSError:
            return self._is_gone()
        self.waiting = bytes(data[written:])
        if self.waiting and not self.enlarged:
            enlarge(self.descriptor)
            self.enlarged = True
        return True

    def offer(self) -> bool:
        """Write what it takes; whether it is still there."""
        try:
            self.waiting = self.waiting[os.write(self.descriptor, self.waiting) :]
        except BlockingIOError:
            pass
        except OSError:
            return self._is_gone()
        return True

    def _is_gone(self) -> bool:
        """The command is; the container goes on without it."""
        os.close(self.descriptor)
        return False

    def deliver_rest(self) -> None:
        """As slowly as the command likes, and close the pipe."""
        os.set_blocking(self.descriptor, True)
        while self.waiting:
            if not self.offer():
                return
        os.close(self.descriptor)


class _Stream:
    def __init__(self, number: int) -> None:
        self.number = number
        self.source = -1
        self.sinks: list[Sink] = []
        self.open = False
        """Whether somebody may still write to the source."""

    def waits(self) -> bool:
        return any(sink.waiting for sink in self.sinks)

    def offer(self) -> None:
        self.sinks = [sink for sink in self.sinks if not sink.waiting or sink.offer()]


class OutputCopier:
    """Copies the output of one process after the other."""

    def __init__(self, log: LogWriter | None) -> None:
        self.log = log
        self.streams = [_Stream(1), _Stream(2)]
        self.buffer = memoryview(bytearray(_CHUNK))  # one for all: memory that was just made has to be cleared
        self.last_read, self.last_count = 0.0, 0
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
        with kept_open(os.pidfd_open(pid)) as ended:
            while self._step(ended, listener, called):
                pass
        # What is in the pipes now is all that will come, and no more than two pipes hold.
        for stream in self.streams[: len(sources)]:
            while self._read(stream):
                pass
            os.close(stream.source)
            stream.open = False
        if self.log:
            self.log.begin_lines()

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
                self._pause_if_busy()
                self._read(stream)
        if listener in readable:
            called()
        return ended not in readable

    def _pause_if_busy(self) -> None:
        if self.last_count < _FULL and time.monotonic() - self.last_read < _BUSY:
            time.sleep(_PAUSE)
        self.last_read = time.monotonic()

    def _read(self, stream: _Stream) -> bool:
        """Take what is there; whether that was anything."""
        try:
            count = os.readv(stream.source, [self.buffer]) if stream.open else 0
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno != errno.EIO:  # a terminal whose last process has closed it (pty(7))
                raise
            count = 0
        if not count:
            stream.open = False  # select would call it readable for ever
            return False
        self.last_count = count
        data = self.buffer[:count]
        if self.log:
            self.log.write(stream.number, data)
        stream.sinks = [sink for sink in stream.sinks if sink.take(data)]
        if count == _FULL:  # it writes more than fits: fewer and larger turns
            enlarge(stream.source)
        return True

    def deliver_rest(self) -> None:
        """Give the commands what they have not read: by now nothing else is left to do."""
        if self.log:
            self.log.close()
        for stream in self.streams:
            for sink in stream.sinks:
                sink.deliver_rest()
            stream.sinks = []
