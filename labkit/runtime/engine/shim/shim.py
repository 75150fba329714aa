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
from labkit.runtime.engine.shim.wire import Line, Pipes, Wire, end_after, let_go
from labkit.runtime.kernel import process
from labkit.runtime.std import socket


def fork(lease: Lease, pipes: Pipes) -> Wire:
    """Fork the shim. It keeps ``lease`` and its ends of ``pipes``, and nothing else of ours."""
    ours, theirs = socket.socketpair()
    between = process.fork_apart()
    if between:
        theirs.close()
        pipes.close(0)
        os.waitpid(between, 0)
        return Wire(ours)
    return end_after(lambda: _work(ours, theirs, lease, pipes))


def _work(command: socket.socket, channel: socket.socket, lease: Lease, pipes: Pipes) -> None:
    process.set_title("labkit-shim")  # now: when our command goes on, whoever looks for a shim sees this one
    if os.fork():  # a second one makes it a child of init (or the nearest subreaper)
        os._exit(0)
    command.close()
    pipes.close(1)
    sinks = (pipes.stdout[0], pipes.stderr[0])
    log.listen_no_more()
    let_go(keep=[channel.fileno(), lease.descriptor, *sinks])
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
        at_work.copier.deliver_rest()
        at_work.tell_all(event="exited", code=code)
