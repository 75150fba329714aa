"""A command that is attached to a container: it carries input and output, passes signals on, and waits for the end."""

from __future__ import annotations

import errno
import os
import select
import sys

from labkit.errors import InfrastructureError
from labkit.runtime.engine.shim.wire import Line, Pipes
from labkit.runtime.kernel import process
from labkit.runtime.std import signal
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.types import FrameType
from labkit.runtime.std.typing import NoReturn

#: Signals that go to the container when they are sent to the command in the foreground.
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

_CHUNK = 1 << 18
_DETACH = b"\x10\x11"
"""Ctrl-P Ctrl-Q, as docker has it."""


class Foreground:
    """``pid`` is the container's first process, ``wire`` brings its shim's events, ``input`` is what it reads from.

    ``terminal``: it has one, and our own passes every key on. ``signals``: those that we get are the container's.
    ``alone``: nobody but the process has the other ends of the pipes; otherwise they may stay open after its end.
    """

    def __init__(
        self,
        wire: Line,
        pid: int,
        pipes: Pipes,
        given: int,
        terminal: bool,
        signals: bool = True,
        alone: bool = True,
    ) -> None:
        self.wire = wire
        self.pid = pid
        self.pid_started = process.start_time(pid)
        self.input = given
        self.terminal = terminal
        self.signals = signals
        self.alone = alone
        self.lost = ("the container's shim died", "clean up with: labkit gc")
        """What is wrong, and what to do about it, where the wire's other end goes without a word."""
        self.reads = False
        """Whether more may come from our own standard input."""
        self.unsent = b""
        """What was typed and it has not taken yet: we must not wait for that, since it may wait for us to read."""
        self.outputs = {ends[1]: number for number, ends in ((1, pipes.stdout), (2, pipes.stderr)) if ends[1] >= 0}
        self.buffer = memoryview(bytearray(_CHUNK))
        self.interrupts = 0
        self.held = b""
        """The first of the detach keys, until it is known what follows."""
        self.detached = False

    def wait(self, stdin: bool = True) -> int:
        """Its exit status, when all of its output is written; 0 when the user has left by the detach keys.

        If our reader goes away, the container is killed. ``stdin``: read our own.
        """
        if not stdin and not self.terminal:
            self._close_input()
        if self.input >= 0:
            os.set_blocking(self.input, False)
        self.reads = stdin and self.input >= 0
        with self._as_terminal(stdin):
            if self.signals:
                for number in PASSED_ON:
                    signal.signal(number, self._pass_on)
            elif self.terminal:  # ours is to be as it was before we go
                for number in (signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, _leave)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
            return self._carry() or 0

    @contextmanager
    def _as_terminal(self, stdin: bool) -> Iterator[None]:
        """Where the container has a terminal: it has the size of ours, which passes every key on."""
        if not (self.terminal and self.input >= 0):
            yield
            return
        from labkit.runtime.oci import console  # local: most containers have no terminal

        console.copy_size(self.input)
        signal.signal(signal.SIGWINCH, lambda *_: console.copy_size(self.input))
        with console.raw_mode(0) if stdin else suppress():
            yield

    def _carry(self) -> int | None:
        channel = self.wire.channel.fileno()
        code: int | None = None
        while code is None or self.outputs:
            sources = [*self.outputs]
            if code is None:
                sources += [channel, *([0] if self.reads and not self.unsent else [])]
            patience = None if code is None or self.alone else 0
            ready, takes, _ = select.select(sources, [self.input] if self.unsent and code is None else [], [], patience)
            if not ready and not takes:
                return code  # what it wrote is in the pipes by now, and another one holds them open
            if takes:
                self._send()
            for descriptor in ready:
                if descriptor == 0:
                    self._feed()
                elif descriptor == channel:
                    code = self._exit_code(code)
                else:
                    self._copy(descriptor)
            if self.detached:
                return None
        return code

    def _exit_code(self, code: int | None) -> int | None:
        """It is in the shim's last event; what comes before it is what the shim takes back."""
        event = self.wire.read()
        if event["event"] == "end":
            raise InfrastructureError(*self.lost)
        return int(event["code"]) if event["event"] == "exited" else code

    def _copy(self, descriptor: int) -> None:
        count = _read_into(self.buffer, descriptor)
        if not count:
            os.close(descriptor)
            del self.outputs[descriptor]
            return
        data = self.buffer[:count]
        try:
            while data:
                try:
                    data = data[os.write(self.outputs[descriptor], data) :]
                except BlockingIOError:  # it may be one that does not block
                    select.select([], [self.outputs[descriptor]], [])
        except BrokenPipeError:
            if self.signals:
                process.kill(self.pid, self.pid_started, signal.SIGKILL)
            raise

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        """The second Ctrl-C kills it: pid 1 of a namespace ignores signals that it does not handle."""
        self.interrupts += number == signal.SIGINT
        if self.interrupts == 1 and number == signal.SIGINT:
            print("labkit: passed Ctrl-C on to the container; once more kills it", file=sys.stderr)
        process.kill(self.pid, self.pid_started, signal.SIGKILL if self.interrupts > 1 else number)

    def _feed(self) -> None:
        """Pass on what is typed."""
        data = os.read(0, 65536)
        self.reads = bool(data)
        if self.terminal:
            # The end of our input is Ctrl-D in there.
            self.unsent = self._without_detach_keys(data) if data else b"" if os.isatty(0) else b"\x04"
        else:
            self.unsent = data
        self._send()
        if not data and not self.terminal:
            self._close_input()

    def _send(self) -> None:
        """Give it what it takes of ``unsent``."""
        try:
            self.unsent = self.unsent[os.write(self.input, self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:  # it reads no more
            self.unsent, self.reads = b"", False
            if not self.terminal:
                self._close_input()

    def _close_input(self) -> None:
        if self.input >= 0:
            os.close(self.input)
            self.input = -1

    def _without_detach_keys(self, data: bytes) -> bytes:
        """What the container gets of it. The two keys may come one by one, and the first alone is the container's."""
        data = self.held + data
        before, found, _ = data.partition(_DETACH)
        self.detached = bool(found)
        self.held = _DETACH[:1] if not found and data.endswith(_DETACH[:1]) else b""
        return before[: len(before) - len(self.held)]


def _read_into(buffer: memoryview, descriptor: int) -> int:
    try:
        return os.readv(descriptor, [buffer])
    except OSError as error:
        if error.errno == errno.EIO:  # a terminal whose last process has closed it (pty(7))
            return 0
        raise


def _leave(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)
