"""``labkit run``: make a container and start it; ``labkit start``: start one that is there; ``labkit attach``."""

from __future__ import annotations

from labkit.errors import ConflictError
from labkit.runtime.engine.life import create, start
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container, running
from labkit.runtime.engine.shim.foreground import PASSED_ON, Foreground
from labkit.runtime.engine.shim.wire import Line, Pipes
from labkit.runtime.images import store
from labkit.runtime.std import signal, socket

DETACHED = 0


def run(options: Options, detach: bool) -> int:
    """Make and start a container; its exit status, or 0 once it runs when ``detach``.

    Prints the id when detached, as docker does. Whatever fails: nothing is left of it.
    """
    image = store.find(options.image)
    container = create.new_container(options, image)
    started = start.first(container, image, attached=not detach)
    if detach:
        started.let_go()
        print(container.id, flush=True)
        return 0
    return _wait(started, container, stdin=options.interactive)


def start_again(container: Container, attached: bool, stdin: bool) -> int:
    """Start a container that does not run; its exit status when ``attached``, or 0."""
    started = start.again(container, attached)
    if not attached:
        started.let_go()
        return 0
    return _wait(started, container, stdin and container.options.interactive)


def _wait(started: start.Started, container: Container, stdin: bool) -> int:
    foreground = Foreground(started.wire, started.pid, started.pipes, started.input, container.options.tty)
    code = foreground.wait(stdin)
    return DETACHED if code is None else code


def attach(container: Container, stdin: bool, signals: bool) -> int:
    """Show what it writes from now on, and pass our input on; its exit status. ConflictError where it does not run."""
    running(container)
    pipes = Pipes.make(container.options.tty)
    line = Line(_connect(container))
    line.write([end for end in (pipes.stdout[0], pipes.stderr[0]) if end >= 0], attach="output")
    pipes.close(0)
    event = line.read()
    if event["event"] != "started":
        raise ConflictError(f"the container {container.name} has just ended")
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    given = line.descriptors[0] if line.descriptors else -1
    code = Foreground(line, int(event["pid"]), pipes, given, container.options.tty, signals).wait(stdin)
    return DETACHED if code is None else code


def wait(container: Container) -> int:
    """Its exit status, when it has ended; at once where it does not run."""
    if container.state().status in ("running", "paused", "restarting"):
        try:
            line = Line(_connect(container))
        except ConflictError:
            return container.state().exit_code
        line.write(attach="end")
        while True:
            event = line.read()
            if event["event"] == "exited":
                return int(event["code"])
            if event["event"] == "end":
                break
    return container.state().exit_code


def _connect(container: Container) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(container.attach_path)
    except OSError:
        connection.close()
        raise ConflictError(f"the container {container.name} has just ended", "see 'labkit ps -a'") from None
    return connection
