"""A start: the host's part of it, the hand-over to the shim, and the wait until the program runs."""

from __future__ import annotations

from labkit import log
from labkit.errors import ConflictError, InfrastructureError, LabkitError
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.life import create
from labkit.runtime.engine.record import lease, record
from labkit.runtime.engine.record.lease import Lease
from labkit.runtime.engine.record.record import Container
from labkit.runtime.engine.shim import shim
from labkit.runtime.engine.shim.foreground import PASSED_ON
from labkit.runtime.engine.shim.wire import SHIM_ERRORS, Pipes, Wire
from labkit.runtime.engine.spec import bundle, plan
from labkit.runtime.images import store
from labkit.runtime.images.store import Image
from labkit.runtime.oci.errors import StartError
from labkit.runtime.std import json, signal
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import asdict, dataclass
from labkit.runtime.text import textfile


@dataclass(frozen=True)
class Started:
    """A container that runs, seen from the command that has started it. ``PASSED_ON`` are blocked."""

    wire: Wire
    pid: int
    pipes: Pipes
    input: int
    """What it reads from, or -1: its terminal's master, or the end of a pipe."""

    def let_go(self) -> None:
        """Leave it to its shim."""
        self.wire.close()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)


def first(container: Container, image: Image, attached: bool) -> Started:
    """Make a new container and start it. Whatever fails: nothing is left of it."""
    create.refuse_chroot()
    return _launch(container, image, lease.take_new(container.id), attached, fresh=True)


def again(container: Container, attached: bool = False) -> Started:
    """Start one that is there. ConflictError if it runs. Whatever fails: it is as it was before."""
    create.refuse_chroot()
    image = store.find(container.image)
    taken = lease.take(container.id)
    if taken is None:
        raise ConflictError(f"the container {container.name} is running", "see 'labkit ps'")
    try:
        known = record.load(container.id)
        if known is None or not known.is_complete():
            raise ConflictError(f"the container {container.name} is being removed")
        record.undo_run(container.id)  # what a dead shim has left
        record.forget_stop(container)
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
    return Started(wire, pid, pipes, wire.descriptors[0] if wire.descriptors else -1)


def _prepare(container: Container, image: Image) -> Container:
    """Everything up to the network; returns the container with its address."""
    container = plan.run(container, image, record.run_journal(container.id).run_sections)
    container.save()
    document = bundle.specification(container, image, here())
    textfile.write(f"{container.directory}/config.json", json.dumps(document))
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
    with suppress(LabkitError):
        record.undo_run(container.id)
        if fresh:
            create.take_back(container, taken)
        else:
            taken.release()
