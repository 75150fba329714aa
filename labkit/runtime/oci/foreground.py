"""``run`` and ``exec`` in the foreground: a terminal of their own, signals passed on, and the wait for the end.

Detached they return when the program runs.
"""

from __future__ import annotations

import os

from labkit.runtime.kernel.process import as_shell
from labkit.runtime.oci.launch import Created
from labkit.runtime.std import signal, socket
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.contextlib import suppress


def start_and_wait(
    create: Callable[[socket.socket | None], Created],
    terminal: bool,
    detach: bool,
    console_socket: str = "",
    started: Callable[[int], None] = lambda pid: None,
) -> int:
    """Create a process, start it, and wait for its end: its status as a shell counts it, or 0 at once if ``detach``.

    ``create`` gets the connection that takes the terminal's master, where there is to be a terminal; it leads to
    ``console_socket``, or to our own terminal. ``started`` is called with the pid when the program runs. Whatever
    fails: the process is ended and waited for.
    """
    console, ours, master = None, None, -1
    if terminal:
        console, ours = _ends(console_socket)
    created = create(console)
    if console:
        console.close()
    try:
        if ours:
            master = _take_terminal(ours)
        if not detach:  # until somebody passes them on, signals wait
            signal.pthread_sigmask(signal.SIG_BLOCK, _passed_on())
        created.start()
        started(created.pid)
    except BaseException:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(created.pid, signal.SIGKILL)
            os.waitpid(created.pid, 0)
        raise
    return 0 if detach else _wait(created.pid, master)


def _ends(path: str) -> tuple[socket.socket, socket.socket | None]:
    """The connection for the process, and our own end of it, where we are the one that shows the terminal."""
    from labkit.runtime.oci import console  # local: most processes have no terminal

    if path:
        return console.connect(path), None

    theirs, ours = socket.socketpair()
    return theirs, ours


def _take_terminal(ours: socket.socket) -> int:
    """The master of the process's terminal, of our own terminal's size before the program can ask for it."""
    from labkit.runtime.oci import console  # local: most processes have no terminal

    master = console.receive(ours)
    console.copy_size(master, console.own_terminal())
    return master


def _wait(pid: int, master: int) -> int:
    def pass_on(number: int, _: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in _passed_on():
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _passed_on())
    if master >= 0:
        from labkit.runtime.oci import console  # local: most processes have no terminal

        terminal = console.own_terminal()
        with console.raw_mode(terminal):
            console.relay(master, pid, terminal)
    return as_shell(os.waitpid(pid, 0)[1])


def _passed_on() -> list[int]:
    return [number for number in signal.valid_signals() if number not in _SPARED]


#: Not passed on: those of a fault of our own, what we hear of a child's end and of our window, and the two of the
#: kernel's.
_SPARED = frozenset(
    getattr(signal, f"SIG{name}")
    for name in "CHLD URG PIPE WINCH SEGV BUS FPE ILL ABRT TRAP KILL STOP TSTP TTIN TTOU CONT".split()
)
