"""``labkit run``: the host's part of a start, the hand-over to the shim, and the wait in the foreground."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from types import FrameType

from labkit import log, storage, textfile
from labkit.cgroups.detect import here
from labkit.engine import bundle, networking, plan, record, shim
from labkit.engine.lease import Lease, take_new
from labkit.engine.options import Options
from labkit.engine.record import Container
from labkit.engine.shim import Pipes, Wire
from labkit.errors import InfrastructureError, LabkitError
from labkit.images import store
from labkit.images.store import Image
from labkit.kernel import namespaces, process
from labkit.oci.launch import StartError

#: Signals that go to the container when they are sent to the command in the foreground.
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

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
        options=options,
        storage_driver=storage.choose(options.storage_driver),
    )


def run(options: Options, detach: bool) -> int:
    """Make and start a container; its exit status, or 0 once it runs when ``detach``.

    Prints the id when detached, as docker does. Whatever fails: nothing is left of it.
    """
    image = store.find(options.image)
    container = new_container(options, image)
    if namespaces.is_chrooted():
        raise InfrastructureError(
            "labkit does not run in a chroot: pivot_root would leave the real root within the container's reach",
            "start it outside, or enter that root by pivot_root (unshare, systemd-nspawn)",
        )
    lease = take_new(container.id)
    pipes = Pipes.make(stdin=options.interactive, output=not detach)
    wire = shim.fork(lease, pipes)
    try:
        container = _prepare(container, image)
        wire.go(container)
        pid = _wait_for_start(wire)
        lease.let_go()  # from here on the shim alone is responsible
    except BaseException:
        wire.abort()
        _abandon(container, lease)
        raise
    if detach:
        wire.close()
        print(container.id, flush=True)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        return 0
    foreground = _Foreground(wire, pid, pipes)
    foreground.listen_to_signals()
    return foreground.wait()


def _prepare(container: Container, image: Image) -> Container:
    """Everything up to the network; returns the container with its address."""
    record.creation_journal(container.id).run(plan.creation(container))
    running = record.run_journal(container.id)
    container = networking.join(container, running)
    container.save()
    running.run(plan.root_filesystem(container, image))
    running.run(networking.name_file_operations(container))
    running.run(networking.operations(container))
    document = bundle.specification(container, image, here())
    textfile.write(f"{container.directory}/config.json", json.dumps(document, indent=1))
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
    """Waits for the end of a container, carries its standard input, output and error, and passes signals on to it."""

    def __init__(self, wire: Wire, pid: int, pipes: Pipes) -> None:
        self.wire = wire
        self.pid = pid
        self.pid_started = process.start_time(pid)
        self.stdin = pipes.stdin[1]
        self.outputs = {pipes.stdout[1]: 1, pipes.stderr[1]: 2}
        self.interrupts = 0

    def listen_to_signals(self) -> None:
        """From now on they are the container's; those that came since its start, too."""
        for number in PASSED_ON:
            signal.signal(number, self._pass_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)

    def wait(self) -> int:
        """Its exit status, when all of its output is written. If our reader goes away, the container is killed."""
        channel = self.wire.channel.fileno()
        code = None
        while code is None or self.outputs:
            sources = [*self.outputs, *([0] if self.stdin >= 0 else []), *([channel] if code is None else [])]
            ready, _, _ = select.select(sources, [], [])
            for descriptor in ready:
                if descriptor == 0:
                    self._feed()
                elif descriptor == channel:
                    code = self._exit_code()
                else:
                    self._copy(descriptor)
        return code

    def _exit_code(self) -> int:
        """It is in the shim's last event; what comes before it is what the shim takes back."""
        event = self.wire.read()
        while event["event"] not in ("exited", "end"):
            event = self.wire.read()
        if event["event"] == "end":
            raise InfrastructureError("the container's shim died", "clean up with: labkit gc")
        return int(event["code"])

    def _copy(self, descriptor: int) -> None:
        data = os.read(descriptor, 65536)
        if not data:
            os.close(descriptor)
            del self.outputs[descriptor]
            return
        try:
            while data:
                select.select([], [self.outputs[descriptor]], [])  # it may be one that does not block
                data = data[os.write(self.outputs[descriptor], data) :]
        except BrokenPipeError:
            process.kill(self.pid, self.pid_started, signal.SIGKILL)
            raise

    def _pass_on(self, number: int, _: FrameType | None) -> None:
        """The second Ctrl-C kills it: pid 1 of a namespace ignores signals that it does not handle."""
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
