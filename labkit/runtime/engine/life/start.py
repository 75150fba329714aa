"""``labkit run``, ``start``, ``attach`` and ``wait``.

A start is the host's part of it, the hand-over to the shim, and the wait until the program runs; then the command is
attached, or leaves.
"""

from __future__ import annotations

from labkit import log
from labkit.errors import ConflictError, InfrastructureError, LabkitError
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.config import bundle, steps
from labkit.runtime.engine.life import create
from labkit.runtime.engine.record import lease, record
from labkit.runtime.engine.record.lease import Lease
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container
from labkit.runtime.engine.shim import shim
from labkit.runtime.engine.shim.attached import PASSED_ON, Foreground
from labkit.runtime.engine.shim.wire import SHIM_ERRORS, Line, Pipes, Wire
from labkit.runtime.images import imagestore
from labkit.runtime.images.imagestore import Image
from labkit.runtime.oci.errors import StartError
from labkit.runtime.std import json, signal, socket
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import asdict, dataclass
from labkit.runtime.text import textfile


@dataclass(frozen=True)
class Started:
    """A container that runs, seen from the command that has started it. ``PASSED_ON`` are blocked."""

    wire: Line
    pid: int
    pipes: Pipes

    def let_go(self) -> None:
        """Leave it to its shim."""
        self.wire.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def again(container: Container, attached: bool = False) -> Started:
    """Start one that is there. ConflictError if it runs. Whatever fails: it is as it was before."""
    create.refuse_chroot()
    image = imagestore.find(container.image)
    taken = lease.take(container.id)
    if taken is None:
        raise ConflictError(f"the container {container.name} is running", "see 'labkit ps'")
    try:
        known = record.load(container.id)
        if known is None or not known.is_complete():
            raise ConflictError(f"the container {container.name} is being removed")
        record.undo_run(container.id)  # what a dead shim has left
        textfile.remove(container.stop_mark)
    except BaseException:
        taken.release()
        raise
    return _launch(known, image, taken, attached, fresh=False)


def _launch(container: Container, image: Image, taken: Lease, attached: bool, fresh: bool) -> Started:
    pipes = Pipes.make(container.options.tty) if attached else Pipes()
    wire = shim.fork(taken, pipes)
    try:
        if fresh:
            create.make(container)
        container = _prepare(container, image)
        wire.go(asdict(container), fresh, log.is_heard())
        pid = _wait_for_start(wire)
        taken.let_go()  # from here on the shim alone is responsible
    except BaseException:
        wire.abort()
        _abandon(container, taken, fresh)
        raise
    return Started(wire, pid, pipes)


def _prepare(container: Container, image: Image) -> Container:
    """Everything up to the network; returns the container with its address."""
    container = steps.run(container, image, record.run_journal(container.id).run_sections)
    container.save()
    document = bundle.specification(container, image, here())
    textfile.save(f"{container.directory}/config.json", json.dumps(document))
    return container


def _wait_for_start(wire: Wire) -> int:
    """Pass the shim's events on until the container runs; its pid. The shim's error is raised as our own."""
    while True:
        event = wire.read()
        kind = event.pop("event")
        if kind == "started":
            return int(event["pid"])
        if kind == "created":
            # Nobody may interrupt us between the word and its answer: we would not know which of us takes it back.
            signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
            wire.start()
            continue
        if kind == "error":
            raise StartError(event["message"], event["hint"], event["status"])
        if kind == "end":
            raise InfrastructureError("the container's shim died while it started", f"see {SHIM_ERRORS}")
        event.pop("time", None)
        log.emit(kind, **event)


def _abandon(container: Container, taken: Lease, fresh: bool) -> None:
    """Take back a start that failed: first the run, then what would have outlived it."""
    with suppress(LabkitError):  # what cannot be undone stays in its journal, and gc tries it again
        record.undo_run(container.id)
    if fresh:
        create.take_back(container, taken)
    else:
        taken.release()


def run(options: Options, detach: bool) -> int:
    """Make and start a container; its exit status, or 0 once it runs when ``detach``.

    Prints the id when detached, as docker does. Whatever fails: nothing is left of it.
    """
    image = imagestore.find(options.image)
    container = create.new_container(options, image)
    create.refuse_chroot()
    started = _launch(container, image, lease.take_new(container.id), attached=not detach, fresh=True)
    if detach:
        started.let_go()
        print(container.id, flush=True)
        return 0
    return _wait(started, container, stdin=options.interactive)


def start_again(container: Container, attached: bool, stdin: bool) -> int:
    """Start a container that does not run; its exit status when ``attached``, or 0."""
    started = again(container, attached)
    if not attached:
        started.let_go()
        return 0
    return _wait(started, container, stdin and container.options.interactive)


def _wait(started: Started, container: Container, stdin: bool, signals: bool = True) -> int:
    # What it reads from: its terminal's master, or the end of a pipe.
    given = started.wire.descriptors[0] if started.wire.descriptors else -1
    return Foreground(started.wire, started.pid, started.pipes, given, container.options.tty, signals).wait(stdin)


def attach(container: Container, stdin: bool, signals: bool) -> int:
    """Show what it writes from now on, and pass our input on; its exit status. ConflictError where it does not run."""
    record.running(container)
    pipes = Pipes.make(container.options.tty)
    line = Line(_connect(container))
    line.write([end for end in (pipes.stdout[0], pipes.stderr[0]) if end >= 0], attach="output")
    pipes.close(0)
    event = line.read()
    if event["event"] != "started":
        raise ConflictError(f"the container {container.name} has just ended")
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    return _wait(Started(line, int(event["pid"]), pipes), container, stdin, signals)


def wait(container: Container) -> int:
    """Its exit status, when it has ended; at once where it does not run."""
    if container.state().lives:
        with suppress(ConflictError):
            line = Line(_connect(container))
            line.write(attach="end")
            while (event := line.read())["event"] != "end":
                if event["event"] == "exited":
                    return int(event["code"])
    return container.state().exit_code


def _connect(container: Container) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(container.attach_path)
    except OSError:
        connection.close()
        raise ConflictError(f"the container {container.name} has just ended", "see 'labkit ps -a'") from None
    return connection
