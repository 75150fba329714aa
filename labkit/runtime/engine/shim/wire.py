"""Between a command and a container's shim: JSON lines over a socket, and descriptors with them (unix(7), SCM_RIGHTS).

The command that starts a container has one end of a socket pair; whoever attaches later connects to a socket of the
shim. Both hear the same events (``started``, ``exited``), and with ``started`` comes what the container reads from: its
terminal's master, or the writing end of its standard input.
"""

from __future__ import annotations

import fcntl
import os

from labkit.errors import InfrastructureError
from labkit.runtime.kernel import process
from labkit.runtime.std import json, signal, socket
from labkit.runtime.std.collections.abc import Callable, Sequence
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.typing import Any, NoReturn

SHIM_ERRORS = "/run/labkit/shim-errors.log"
_F_SETPIPE_SZ = 1031
"""linux/fcntl.h; fcntl has it only from Python 3.10 on."""
_ROOM_FOR_DESCRIPTORS = socket.CMSG_SPACE(3 * 4) if hasattr(socket, "CMSG_SPACE") else 0


@dataclass(frozen=True)
class Pipes:
    """A container's output on its way to a command: (the shim's end, the command's end) each, (-1, -1) for none."""

    stdout: tuple[int, int] = (-1, -1)
    stderr: tuple[int, int] = (-1, -1)

    @classmethod
    def make(cls, one: bool) -> Pipes:
        """With ``one``, standard error goes the way of standard output: a terminal has none of its own."""
        # os.pipe() gives (reading end, writing end), and the shim writes.
        return cls(os.pipe()[::-1], (-1, -1) if one else os.pipe()[::-1])

    def close(self, side: int) -> None:
        """Close the shim's ends (0) or the command's (1)."""
        for ends in (self.stdout, self.stderr):
            if ends[side] >= 0:
                os.close(ends[side])


def enlarge(pipe: int) -> None:
    """Let it hold a megabyte, where we may (/proc/sys/fs/pipe-user-pages-soft); no-op for what is no pipe.

    For those only that are seen to be full: what all pipes of a user may hold together is limited, and those that are
    made beyond that get two pages.
    """
    with suppress(OSError):
        fcntl.fcntl(pipe, _F_SETPIPE_SZ, 1 << 20)


def let_go(keep: list[int]) -> None:
    """Of what a shim has from the command that it is a copy of: its directory, and all descriptors but those.

    A shim that kept them would hold a pipe open for whose end somebody waits, or a file system that is to be unmounted.
    """
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with suppress(OSError):  # the one that listdir itself had open
                os.close(int(name))


def end_after(work: Callable[[], None]) -> NoReturn:
    """A shim's work, and its end. What goes wrong is our bug, and written down, since nobody sees our standard error.

    Signals that end a command are not for its shim.
    """
    try:
        for number in process.ENDING:
            signal.signal(number, signal.SIG_IGN)
        work()
    except BaseException:
        import traceback  # local: for bugs only

        with suppress(OSError), open(SHIM_ERRORS, "a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
    finally:
        os._exit(0)


class Line:
    """One end: reads and writes JSON lines."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self._pending = b""
        self.descriptors: list[int] = []
        """Those that came with the lines read so far."""

    def read(self) -> dict[str, Any]:
        """The next line; ``{"event": "end"}`` when the peer is gone, also by a reset."""
        while b"\n" not in self._pending:
            try:
                data, ancillary, _, _ = self.channel.recvmsg(65536, _ROOM_FOR_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC)
            except (ConnectionResetError, socket.timeout):
                data, ancillary = b"", []
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    self.descriptors += memoryview(payload[: len(payload) // 4 * 4]).cast("i")
            if not data:
                return {"event": "end"}
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        return document

    def write(self, descriptors: Sequence[int] = (), /, **fields: Any) -> None:
        """A line, with descriptors. OSError where the peer is gone."""
        line = f"{json.dumps(fields)}\n".encode()
        rights = b"".join(number.to_bytes(4, "little") for number in descriptors)
        if rights:
            sent = self.channel.sendmsg([line], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            line = line[sent:]
        self.channel.sendall(line)

    def tell(self, descriptors: Sequence[int] = (), /, **fields: Any) -> None:
        """As ``write``, to a peer that may be gone."""
        with suppress(OSError):
            self.write(descriptors, **fields)

    def close(self) -> None:
        """Stop listening; the peer goes on."""
        self.channel.close()


class Wire(Line):
    """The starting command's end of the socket to the shim."""

    def go(self, container: dict[str, Any], fresh: bool, heard: bool) -> None:
        """The host's part is done: make the process. ``fresh``: a failure takes the container's making back, too.

        ``heard``: we want to hear of each operation.
        """
        self._say(container=container, fresh=fresh, heard=heard)

    def start(self) -> None:
        """The answer to ``created``: let the program run. A shim whose command died before this takes all back."""
        self._say(word="start")

    def _say(self, **fields: Any) -> None:
        try:
            self.write(**fields)
        except OSError:
            raise InfrastructureError(
                "the container's shim died while it started", f"see {SHIM_ERRORS}, and dmesg"
            ) from None

    def abort(self) -> None:
        """Tell a shim that has not started the program to take back what it did, and wait until it has."""
        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)
        while self.read()["event"] != "end":
            pass
        self.close()
