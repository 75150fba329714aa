"""Create a container, start it, wait for its end, delete it. The exit status is the program's own."""

from __future__ import annotations

import contextlib
import os
import signal

from labkit.cli.oci import making
from labkit.cli.oci.options import Command, Option
from labkit.oci import lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.cli.oci.main import Call
    from labkit.oci.launch import Created
    from labkit.oci.state import Container

COMMAND = Command(
    "CONTAINER",
    (
        *making.OPTIONS,
        Option(("detach", "d"), "return when it runs"),
        Option(("keep",), "do not delete the container after its end"),
        Option(("no-subreaper",), "accepted: labkit-oci is no subreaper"),
    ),
    examples=("run --bundle /srv/redis redis", "run --detach --pid-file redis.pid redis"),
)


def main(call: Call) -> int:
    """Run it."""
    options = call.options
    making.check_descriptors(options.preserve_fds)
    pid_file = os.path.abspath(options.pid_file) if options.pid_file else ""
    wanted = making.request(call, False)
    terminal = wanted.specification.process.terminal
    making.check_terminal(terminal, options.console_socket, options.detach)
    signals = _Signals()
    master = -1
    if options.console_socket:
        from labkit.oci import console  # local: most containers have no terminal

        wanted = wanted.changed(console=console.connect(options.console_socket))
        container, created = lifecycle.create(wanted)
    elif terminal:
        import socket

        from labkit.oci import console  # local, as above

        ours, theirs = socket.socketpair()
        container, created = lifecycle.create(wanted.changed(console=theirs))
        theirs.close()
        master = console.receive(ours)
    else:
        container, created = lifecycle.create(wanted)
    stays = options.keep
    try:
        making.write_pid_file(pid_file, created.pid)
        created.start()
        lifecycle.run_poststart(container, call.report.warning)
        if options.detach:
            stays = True
            return 0
        return signals.wait(created, master)
    except BaseException:
        stays = False
        raise
    finally:
        if not stays:
            _delete(call, container, created)


def _delete(call: Call, container: Container, created: Created) -> None:
    lifecycle.delete(container.root, container.id, True, call.report.warning)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(created.pid, 0)


class _Signals:
    """Signals are held back until the program runs; then they go to it."""

    def __init__(self) -> None:
        # Not those of a fault of our own; of a child's end we hear anyway; the kernel does not let go of two.
        spared = {signal.SIGCHLD, signal.SIGURG, signal.SIGPIPE, signal.SIGWINCH, signal.SIGSEGV, signal.SIGBUS}
        spared |= {signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP, signal.SIGKILL, signal.SIGSTOP}
        self.passed_on = [number for number in signal.Signals if number not in spared]

    def wait(self, created: Created, master: int) -> int:
        """Until the program ends; its status as a shell counts it. ``master`` is its terminal's, or -1."""

        def pass_on(number: int, _: object) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(created.pid, number)

        for number in self.passed_on:
            signal.signal(number, pass_on)
        if master >= 0:
            from labkit.oci import console  # local: most containers have no terminal

            with console.raw_mode(0):
                console.relay(master, created.pid)
        code = os.waitstatus_to_exitcode(os.waitpid(created.pid, 0)[1])
        return code if code >= 0 else 128 - code
