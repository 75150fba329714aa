"""``labkit exec``: another program in a container that runs.

A process of ours keeps it (execshim.py), as the container's shim keeps the first one: a command that dies takes nothing
with it. The command is left with input and output.
"""

from __future__ import annotations

import os

from labkit.errors import InfrastructureError
from labkit.runtime.engine.record.execrequest import ExecRequest, checked
from labkit.runtime.engine.record.record import Container
from labkit.runtime.engine.shim import execshim
from labkit.runtime.engine.shim.wire import SHIM_ERRORS, Pipes
from labkit.runtime.oci.errors import StartError


def execute(container: Container, request: ExecRequest) -> int:
    """Run a program beside the container's first process; its exit status as a shell counts it, or 0 if detached.

    It has pipes, a terminal or nothing, and we carry what goes through them. If we are killed, or our reader goes away,
    it goes on. ConflictError where the container does not run; StartError where the program cannot be executed.
    """
    line, pipes, given = execshim.fork(container, request, checked(container, request))
    from labkit.runtime.engine.shim.foreground import Foreground  # local: meanwhile the other process is at work

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
    return foreground.wait(request.interactive) or 0  # None: the user has left by the detach keys
