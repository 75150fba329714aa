"""The exec's shim at work: it makes the program's process, and answers for its end."""

from __future__ import annotations

import os
import select

from labkit.errors import LabkitError
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.config import beside
from labkit.runtime.engine.record import eventlog
from labkit.runtime.engine.record.options import ExecRequest
from labkit.runtime.engine.record.record import OWN_RUNTIME, Container, State
from labkit.runtime.engine.shim.wire import Line, let_go
from labkit.runtime.kernel import process
from labkit.runtime.oci import exec as oci_exec
from labkit.runtime.oci.errors import LABKIT_FAILED
from labkit.runtime.std import signal, socket
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import replace

_WHILE = 0.1
"""Seconds after which a program counts as one that stays."""


def keep(line: Line, container: Container, request: ExecRequest, state: State, outputs: list[int]) -> None:
    """Until the program has ended. ``outputs`` are the ends of its pipes that the command reads."""
    try:
        pid, master = _start(container, request, state)
    except LabkitError as error:
        status = error.exit_status if error.passes_status_on else LABKIT_FAILED
        line.tell(event="error", status=status, message=error.message, hint=error.hint)
        return
    line.tell([master] if master >= 0 else [], event="started", pid=pid)
    sources = [descriptor for descriptor in (*outputs, master) if descriptor >= 0]
    let_go([line.channel.fileno(), *sources])
    eventlog.note("exec_start", container, command=request.args)
    process.set_title(f"labkit-shim-exec {container.short_id} {container.name}")
    code = _attend(line, pid, sources)
    eventlog.note("exec_die", container, exit_code=code)
    line.tell(event="exited", code=code)


def _start(container: Container, request: ExecRequest, state: State) -> tuple[int, int]:
    """The program's pid, and its terminal's master (-1 for none). LabkitError if it cannot be executed."""
    if container.runtime != OWN_RUNTIME:
        return _start_by_runtime(container, request)
    wanted = beside.of(container, request, state)
    if not request.tty:
        created = oci_exec.create(wanted, here())
        created.start()
        return created.pid, -1
    from labkit.runtime.oci import console  # local: most programs have no terminal

    theirs, ours = socket.socketpair()
    created = oci_exec.create(replace(wanted, console=theirs), here())
    theirs.close()
    try:
        master = console.receive(ours)
        if not request.detach:
            console.copy_size(master)  # our standard input is the command's still: before the program asks for it
        created.start()
    except BaseException:
        created.abandon()
        raise
    return created.pid, master


def _start_by_runtime(container: Container, request: ExecRequest) -> tuple[int, int]:
    """The same by the other runtime's own exec, which stays as the program's parent; its status is the program's."""
    words = beside.by_runtime(container, request)
    master = -1
    if request.tty:
        import pty  # local, as above

        pid, master = pty.fork()
    else:
        pid = os.fork()
    if pid == 0:
        try:
            for number in process.ENDING:
                signal.signal(number, signal.SIG_DFL)
            os.execv(words[0], words)  # noqa: S606 - no shell is meant
        finally:
            os._exit(LABKIT_FAILED)
    return pid, master


def _attend(line: Line, pid: int, sources: list[int]) -> int:
    """Until the program has ended: its status as a shell counts it. ``sources`` are read when the command is gone."""
    ended, command = os.pidfd_open(pid), line.channel.fileno()
    watched = [ended, command]
    patience: float | None = _WHILE
    while True:
        ready, _, _ = select.select(watched, [], [], patience)
        if ended in ready:
            return process.as_shell(os.waitpid(pid, 0)[1])
        if not ready and patience:
            process.let_code_go()
            patience = None
        if command in ready:
            watched = [ended, *sources]
        for source in sources:
            if source in ready and not _read(source):
                watched.remove(source)


def _read(source: int) -> bytes:
    with suppress(OSError):  # a terminal that nobody has open any more (pty(7), EIO)
        return os.read(source, 65536)
    return b""
