"""One small process for each container: its parent, the keeper of its output and its exit status (as containerd-shim).

It is forked from the command that starts the container, early, before that command loads what it needs for networks,
and waits for ``go``. From then on it reports what happens (events, ``created``, ``started``, ``exited``) over a
socket. Until ``started`` the command must be there to answer; afterwards nobody has to read.
"""

from __future__ import annotations

import os

from labkit import log
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.lease import Lease
from labkit.runtime.engine.shim.wire import SHIM_ERRORS, Line, Pipes, Wire
from labkit.runtime.kernel import process
from labkit.runtime.std import signal, socket
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import NoReturn


def fork(lease: Lease, pipes: Pipes) -> Wire:
    """Fork the shim. It keeps ``lease`` and its ends of ``pipes``, and nothing else of ours."""
    ours, theirs = socket.socketpair()
    between = process.fork_apart()
    if between:
        theirs.close()
        pipes.close(0)
        os.waitpid(between, 0)
        return Wire(ours)
    return _main(ours, theirs, lease, pipes)


def _main(command: socket.socket, channel: socket.socket, lease: Lease, pipes: Pipes) -> NoReturn:
    try:
        process.set_title("labkit-shim")  # now: when our command goes on, whoever looks for a shim sees this one
        if os.fork():  # a second one makes it a child of init (or the nearest subreaper)
            os._exit(0)
        command.close()
        pipes.close(1)
        sinks = (pipes.stdout[0], pipes.stderr[0])
        _become_nobodys(keep=[channel.fileno(), lease.descriptor, *sinks])
        # Now, and not before: meanwhile the command makes mounts and networks, on another processor.
        from labkit.runtime.engine.shim import keeper

        line = Line(channel)
        request = line.read()
        if "container" in request:
            if request["heard"]:
                log.listen(lambda event: line.tell(**event))
            at_work = keeper.Keeper(line, record.from_record(request["container"]), sinks, request["fresh"])
            code = at_work.run()
            lease.release()
            at_work.deliver_rest()
            at_work.tell_all(event="exited", code=code)
    except BaseException:
        import traceback  # local: for bugs only

        with suppress(OSError), open(SHIM_ERRORS, "a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
    finally:
        os._exit(0)


def _become_nobodys(keep: list[int]) -> None:
    """Let go of what we have from the command: its descriptors, directory and listeners, and its terminal's signals.

    A shim that kept them would hold a pipe open for which somebody waits, or a file system that is to be unmounted.
    """
    for number in process.ENDING:
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    log.listen_no_more()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with suppress(OSError):
                os.close(int(name))
