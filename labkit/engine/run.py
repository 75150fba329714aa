"""``labkit run``: the host's part of a start, the hand-over to the shim, and the wait in the foreground."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import FrameType

from labkit import log
from labkit.engine import bundle, plan, record, shim
from labkit.engine.bundle import Options
from labkit.engine.lease import Lease, take
from labkit.engine.record import Container
from labkit.engine.shim import Shim
from labkit.errors import InfrastructureError, LabkitError
from labkit.images import store
from labkit.images.store import Image
from labkit.kernel import process
from labkit.oci.launch import StartError

_ADJECTIVES = "brave calm clever eager gentle happy keen lucky merry quiet quick shy sunny swift tidy witty".split()
_ANIMALS = "ant bear crab crow deer duck finch fox frog gull hare heron lynx mole newt otter owl seal swan wren".split()


def new_container(options: Options, image: Image) -> Container:
    """Its record, not yet written anywhere. The id is 256 random bits, as docker's is."""
    random = os.urandom(32)  # the kernel's, as secrets.token_hex would take it, without the import of 14 modules
    container_id = random.hex()
    words = _ADJECTIVES[random[-1] % len(_ADJECTIVES)], _ANIMALS[random[-2] % len(_ANIMALS)]
    name = options.name or f"{'_'.join(words)}_{container_id[:4]}"
    return Container(
        id=container_id,
        name=record.check_name(name),
        image=image.reference,
        image_id=image.id,
        command=bundle.command_of(image, options),
        created=time.time(),
        network=options.network,
        ports=[str(mapping) for mapping in options.ports],
        auto_remove=options.auto_remove,
    )


def run(options: Options) -> int:
    """Make and start a container; its exit status, or 0 once it runs when ``options.detach``.

    Prints the id when detached, as docker does. Whatever fails: nothing is left of it.
    """
    image = store.find(options.image)
    container = new_container(options, image)
    lease = take(container.id)
    assert lease is not None
    stdin = os.pipe() if options.interactive else (-1, -1)
    wire = shim.fork(lease, stdin, foreground=not options.detach)
    try:
        container = _prepare(container, image, options)
        wire.go(container)
        pid = _wait_for_start(wire)
        # From here on the shim alone is responsible; it keeps the lease.
        os.close(lease.descriptor)
    except BaseException:
        wire.abort()
        _abandon(container, lease)
        raise
    if options.detach:
        wire.close()
        print(container.id)
        return 0
    return _Foreground(wire, pid, stdin[1]).wait()


def _prepare(container: Container, image: Image, options: Options) -> Container:
    """Everything up to the network; returns the container with its address."""
    record.creation_journal(container.id).run(plan.creation(container))
    running = record.run_journal(container.id)
    if options.network == "bridge":
        from labkit.network import store as networks  # local, so that a container without a network starts faster
        from labkit.network.model import DEFAULT

        address = networks.join(DEFAULT, container.id, options.ports, running)
        container = replace(container, address=address)
    container.save()
    running.run(plan.root_filesystem(container, image))
    running.run(plan.name_file_operations(container))
    running.run(plan.network(container, options.network, options.ports))
    document = bundle.specification(container, image, options)
    Path(container.directory, "config.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
    return container


def _wait_for_start(wire: Shim) -> int:
    """Pass the shim's events on until the container runs; its pid. The shim's error is raised as our own."""
    while True:
        event = wire.read()
        kind = event.pop("event")
        if kind == "started":
            return int(event["pid"])
        if kind == "created":
            wire.start()
            continue
        if kind == "error":
            raise StartError(event["message"], event["hint"], event["status"])
        if kind == "end":
            raise InfrastructureError("the container's shim died while it started", f"see {record.RUN}/shim-errors.log")
        event.pop("time", None)
        log.emit(kind, **event)


def _abandon(container: Container, lease: Lease) -> None:
    """Take back a start that failed: first the run, then what would have outlived it."""
    with contextlib.suppress(LabkitError):
        record.run_journal(container.id).undo()
        record.creation_journal(container.id).undo()
        lease.release()


class _Foreground:
    """Waits for the end of a container, feeds its standard input, and passes signals on to it."""

    def __init__(self, wire: Shim, pid: int, stdin: int) -> None:
        self.wire = wire
        self.pid = pid
        self.pid_started = process.start_time(pid)
        self.stdin = stdin
        self.interrupts = 0

    def wait(self) -> int:
        """Its exit status. The second Ctrl-C kills it: pid 1 of a namespace ignores signals that it does not handle."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, self._pass_on)
        while True:
            sources: list[int] = [self.wire.channel.fileno()]
            if self.stdin >= 0:
                sources.append(0)
            ready, _, _ = select.select(sources, [], [])
            if 0 in ready:
                self._feed()
            if sources[0] in ready:
                event = self.wire.read()
                if event["event"] == "exited":
                    return int(event["code"])
                if event["event"] == "end":
                    raise InfrastructureError("the container's shim died", "clean up with: labkit gc")

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        self.interrupts += number == signal.SIGINT
        if self.interrupts == 1 and number == signal.SIGINT:
            print("labkit: passed Ctrl-C on to the container; once more kills it", file=sys.stderr)
        process.kill(self.pid, self.pid_started, signal.SIGKILL if self.interrupts > 1 else number)

    def _feed(self) -> None:
        data = os.read(0, 65536)
        try:
            if data:
                os.write(self.stdin, data)
                return
        except BrokenPipeError:
            pass
        os.close(self.stdin)
        self.stdin = -1
