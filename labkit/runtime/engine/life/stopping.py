"""stop, pause, rm, prune: what is done to a container that is there."""

from __future__ import annotations

import time

from labkit import log
from labkit.errors import ConflictError, KernelError
from labkit.runtime.cgroups import freezer
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.life import gc
from labkit.runtime.engine.record import eventlog, lease, record
from labkit.runtime.engine.record.record import Container, State
from labkit.runtime.kernel import process, signals
from labkit.runtime.operations.journal import perform
from labkit.runtime.std import signal
from labkit.runtime.std.contextlib import suppress

#: Seconds for a shim to take everything back after the end of its container, on a slow machine.
_PATIENCE = 30.0
_FOR_EVER = 7 * 86400.0


def stop(container: Container, seconds: float | None = None) -> None:
    """Its stop signal (SIGTERM), and SIGKILL after ``seconds`` (10); returns when its shim has taken everything back.

    No-op if it does not run. Pid 1 of a namespace has no default actions: a program that does not handle the signal
    runs on until SIGKILL. A paused one is told first, then let go on, as docker does: it hears of nothing before.
    """
    _wait_until_started(container)
    state = container.state()
    if state.lives:
        record.note_stop(container)
    if state.runs:
        seconds = patience(container, seconds)
        _send(state, stop_signal(container))
        _thaw(container)
        if not process.wait_for_end(state.pid, state.pid_started, seconds):
            _send(state, signal.SIGKILL)
    _wait_until_settled(container)
    if state.lives:
        eventlog.note("stop", container)


def end_of_run(container: Container) -> list[str]:
    """The commands that take back what its run consists of, the last first."""
    return [line for journal in record.journals_of_run(container.id) for line in journal.describe_undo()]


def patience(container: Container, seconds: float | None) -> float:
    """How long it has to end after its stop signal: ``seconds`` if given, or its own option, or 10.

    docker's -1 is for ever; poll(2) cannot wait that long in one call, and a week is enough.
    """
    if seconds is None:
        seconds = 10.0 if container.options.stop_timeout is None else container.options.stop_timeout
    return seconds if seconds >= 0 else _FOR_EVER


def stop_signal(container: Container) -> int:
    """The one that asks it to end: the option's, or the image's, or SIGTERM."""
    return signals.number(container.options.stop_signal or "TERM")


def kill(container: Container, number: int) -> None:
    """Send a signal to its first process; SIGKILL and its stop signal end its restart policy, too."""
    state = record.running(container, or_paused=True)
    if number in (signal.SIGKILL, stop_signal(container)):
        record.note_stop(container)
    _send(state, number)
    eventlog.note("kill", container, signal=int(number))
    if number == signal.SIGKILL:
        _thaw(container)  # v1: what is frozen does not die


def _send(state: State, number: int) -> None:
    began = time.monotonic()
    process.kill(state.pid, state.pid_started, number)
    seconds = time.monotonic() - began
    log.emit("operation", where="host", command=f"kill -{signals.name(number)} {state.pid}", seconds=seconds)


def _thaw(container: Container) -> None:
    with suppress(FileNotFoundError):  # it has just ended
        freezer.thaw(container.cgroups_path, here())


def remove(container: Container, force: bool = False, with_volumes: bool = False) -> None:
    """Take back its making: name, writable layer, log; its volumes without names ``with_volumes``.

    ConflictError if it runs and ``force`` is not given.
    """
    check_removable(container, force)
    stop(container, seconds=0)
    taken = lease.take(container.id)
    if taken is None:
        raise ConflictError(f"another command is at work on {container.name}", "try again in a moment")
    try:
        if container.options.mounts:
            from labkit.runtime.engine import volumes  # local: most have none

            volumes.keep(container, with_volumes)
        record.unmake(container)
        taken.release()
    except BaseException:
        taken.let_go()
        raise


def check_removable(container: Container, force: bool) -> None:
    """ConflictError if it runs and ``force`` is not given."""
    state = container.state()
    if not force and (state.lives or lease.is_held(container.id)):
        hint = f"stop it first, or: labkit rm -f {container.name}"
        now = state.status if state.lives else "running"
        raise ConflictError(f"the container {container.name} is {now}", hint)


def _wait_until_started(container: Container) -> None:
    """A container whose making another command has just begun cannot be stopped before it runs."""
    deadline = time.monotonic() + _PATIENCE
    while lease.is_held(container.id) and time.monotonic() < deadline:
        if container.state().lives:
            return
        time.sleep(0.01)


def _wait_until_settled(container: Container) -> None:
    """Until nobody holds its lease: its shim is through, or dead, and then gc does the rest."""
    began = time.monotonic()
    while lease.is_held(container.id):
        waited = time.monotonic() - began
        if waited > _PATIENCE:
            raise KernelError(f"the container {container.name} does not stop", "see its processes with ps, and dmesg")
        # Many who look a hundred times a second take the processor from those whom they wait for.
        time.sleep(0.01 + waited / 20)
    gc.collect(only=container.id)


def pause(container: Container) -> None:
    """Stop all of its processes where they are. ConflictError if it does not run, or is paused already."""
    record.running(container)
    perform(freezer.operation(container.cgroups_path, here(), frozen=True), "host")
    eventlog.note("pause", container)


def unpause(container: Container) -> None:
    """Let its processes go on. ConflictError if it is not paused."""
    if container.state().status != "paused":
        raise ConflictError(f"the container {container.name} is not paused", "see 'labkit ps -a'")
    perform(freezer.operation(container.cgroups_path, here(), frozen=False), "host")
    eventlog.note("unpause", container)


def prunable() -> list[Container]:
    """Containers that do not run and that no command is at work on."""
    return [
        container
        for container in record.everything()
        if container.state().status in ("created", "exited") and not lease.is_held(container.id)
    ]


def prune(containers: list[Container]) -> tuple[list[Container], int]:
    """Those of them that were still not running, and how many bytes their writable layers and logs took."""
    from labkit.runtime.engine.volumes import size_of  # local, as above

    removed = []
    freed = 0
    for container in containers:
        size = size_of(container.directory)
        try:
            remove(container)
        except ConflictError:  # started meanwhile
            continue
        removed.append(container)
        freed += size
    return removed, freed
