"""One small process for each program that ``labkit exec`` runs: its parent, as the container's shim is the first one's.

It is forked from the command, and in a session of its own: whatever ends the command, the program goes on, and its end
is seen. It carries nothing as long as the command is there, which has the other ends of the program's pipes, or its
terminal's master. When the command is gone, what the program writes is read and thrown away, so that the program
neither waits for a reader nor dies for want of one; what it reads is at its end.
"""

from __future__ import annotations

import os

from labkit.runtime.engine.record.execrequest import ExecRequest
from labkit.runtime.engine.record.record import Container, State
from labkit.runtime.engine.shim.wire import SHIM_ERRORS, Line, Pipes
from labkit.runtime.kernel import process
from labkit.runtime.std import signal, socket
from labkit.runtime.std.contextlib import suppress


def fork(container: Container, request: ExecRequest, state: State) -> tuple[Line, Pipes, int]:
    """The command's line to it, its ends of the program's output, and of its input (-1 for none).

    It tells ``started`` (with the terminal's master, if there is one) or ``error``, and then ``exited``.
    """
    ours, theirs = socket.socketpair()
    piped = not (request.tty or request.detach)
    # Where our own two lead to one place (a terminal, `2>&1`), one pipe keeps the order in which the program writes.
    pipes = Pipes.make(os.path.sameopenfile(1, 2)) if piped else Pipes()
    reader, writer = os.pipe() if piped and request.interactive else (os.open(os.devnull, os.O_RDONLY), -1)
    if process.fork_apart():
        theirs.close()
        pipes.close(0)
        os.close(reader)
        return Line(ours), pipes, writer
    try:
        ours.close()
        if writer >= 0:
            os.close(writer)
        for number in process.ENDING:
            signal.signal(number, signal.SIG_IGN)
        if not request.tty:
            errors = pipes.stderr[0] if pipes.stderr[0] >= 0 else pipes.stdout[0]
            _stand_in(reader, pipes.stdout[0], errors)
        from labkit.runtime.engine.shim import (
            execkeeper,  # now, and not before: meanwhile the command loads what it needs
        )

        execkeeper.keep(Line(theirs), container, request, state, [pipes.stdout[1], pipes.stderr[1]])
    except BaseException:
        import traceback  # local: for bugs only

        with suppress(OSError), open(SHIM_ERRORS, "a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
    os._exit(0)


def _stand_in(*stdio: int) -> None:
    """The program's input and output as our own, -1 for none; so the program gets them."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number, descriptor in enumerate(stdio):
        os.dup2(descriptor if descriptor >= 0 else null, number)
    os.close(null)
