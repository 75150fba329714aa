"""``labkit exec``: another program in a container that runs, and one small process for each, as the container's shim is
for the first: its parent.

It is forked from the command, and in a session of its own: whatever ends the command, the program goes on, and its end
is seen. It carries nothing as long as the command is there, which has the other ends of the program's pipes, or its
terminal's master. When the command is gone, what the program writes is read and thrown away, so that the program
neither waits for a reader nor dies for want of one; what it reads is at its end.
"""

from __future__ import annotations

import os

from labkit.errors import InfrastructureError
from labkit.runtime.engine.record.options import ExecRequest
from labkit.runtime.engine.record.record import Container, State, running
from labkit.runtime.engine.shim.wire import SHIM_ERRORS, Line, Pipes, end_after
from labkit.runtime.kernel import process
from labkit.runtime.oci.errors import StartError
from labkit.runtime.std import socket


def execute(container: Container, request: ExecRequest) -> int:
    """Run a program beside the container's first process; its exit status as a shell counts it, or 0 if detached.

    It has pipes, a terminal or nothing, and we carry what goes through them. If we are killed, or our reader goes away,
    it goes on. ConflictError where the container does not run; StartError where the program cannot be executed.
    """
    line, pipes, given = fork(container, request, running(container))
    from labkit.runtime.engine.shim.attached import Foreground  # local: meanwhile the other process is at work

    event = line.read()
    if event["event"] == "error":
        raise StartError(event["message"], event["hint"], event["status"])
    if event["event"] == "end":
        raise InfrastructureError("the process that was to run the program died", f"see {SHIM_ERRORS}")
    if request.detach:
        return 0
    if request.tty:
        given = line.descriptors[0]
        pipes = Pipes((-1, os.dup(given)))
    foreground = Foreground(line, event["pid"], pipes, given, request.tty, signals=False, alone=False)
    foreground.lost = (
        "the process that kept the program died, so nobody knows how it ends",
        f"it may still run: labkit top {container.name}",
    )
    return foreground.wait(request.interactive)


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
    ours.close()
    return end_after(lambda: _keep(Line(theirs), container, request, state, pipes, (reader, writer)))


def _keep(
    line: Line, container: Container, request: ExecRequest, state: State, pipes: Pipes, given: tuple[int, int]
) -> None:
    reader, writer = given
    if writer >= 0:
        os.close(writer)
    if not request.tty:
        errors = pipes.stderr[0] if pipes.stderr[0] >= 0 else pipes.stdout[0]
        _stand_in(reader, pipes.stdout[0], errors)
    # Now, and not before: meanwhile the command loads what it needs.
    from labkit.runtime.engine.shim import execkeeper

    execkeeper.keep(line, container, request, state, [pipes.stdout[1], pipes.stderr[1]])


def _stand_in(*stdio: int) -> None:
    """The program's input and output as our own, -1 for none; so the program gets them."""
    null = os.open(os.devnull, os.O_WRONLY)
    for number, descriptor in enumerate(stdio):
        os.dup2(descriptor if descriptor >= 0 else null, number)
    os.close(null)
