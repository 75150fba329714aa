"""stop, rm, exec, pause: what is done to a container that is there."""

from __future__ import annotations

import contextlib
import signal
import time

from labkit.cgroups import freezer, group
from labkit.cgroups.detect import here
from labkit.engine import gc, lease, record
from labkit.engine.record import Container, State
from labkit.errors import ConflictError, KernelError, UsageError
from labkit.kernel import process
from labkit.oci import exec as oci_exec
from labkit.oci import spec
from labkit.operations.journal import perform

#: Seconds for a shim to take everything back after the end of its container, on a slow machine.
_PATIENCE = 30.0


def stop(container: Container, seconds: float = 10.0) -> None:
    """SIGTERM, and SIGKILL after ``seconds``; returns when its shim has taken everything back. No-op if it does not
    run.

    Pid 1 of a namespace has no default actions: a program that does not handle SIGTERM runs on until SIGKILL. A paused
    one is told first, then let go on, as docker does: it hears of nothing before.
    """
    _wait_until_started(container)
    state = container.state()
    if state.status in ("running", "paused"):
        process.kill(state.pid, state.pid_started, signal.SIGTERM)
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            freezer.thaw(container.cgroups_path, here())
        if not process.wait_for_end(state.pid, state.pid_started, seconds):
            process.kill(state.pid, state.pid_started, signal.SIGKILL)
    _wait_until_settled(container)


def remove(container: Container, force: bool = False) -> None:
    """Take back its making: name, writable layer, log. ConflictError if it runs and ``force`` is not given."""
    status = container.state().status
    if not force and (status in ("running", "paused") or lease.is_held(container.id)):
        hint = f"stop it first, or: labkit rm -f {container.name}"
        raise ConflictError(f"the container {container.name} is {'paused' if status == 'paused' else 'running'}", hint)
    stop(container, seconds=0)
    taken = lease.take(container.id)
    if taken is None:
        raise ConflictError(f"another command is at work on {container.name}", "try again in a moment")
    try:
        container.forget_state()
        record.creation_journal(container.id).undo()
        taken.release()
    except BaseException:
        taken.let_go()
        raise


def _wait_until_started(container: Container) -> None:
    """A container whose making another command has just begun cannot be stopped before it runs."""
    deadline = time.monotonic() + _PATIENCE
    while lease.is_held(container.id) and not container.is_complete() and time.monotonic() < deadline:
        time.sleep(0.01)


def _wait_until_settled(container: Container) -> None:
    """Until nobody holds its lease: its shim is through, or dead, and then gc does the rest."""
    deadline = time.monotonic() + _PATIENCE
    while lease.is_held(container.id):
        if time.monotonic() > deadline:
            raise KernelError(f"the container {container.name} does not stop", "see its processes with ps, and dmesg")
        time.sleep(0.01)
    gc.collect(only=container.id)


def execute(container: Container, args: list[str], env: list[str], workdir: str) -> int:
    """Run a program beside the container's first process; its exit status as a shell counts it."""
    if not args:
        raise UsageError("no program to execute", "labkit exec CONTAINER PROGRAM [ARGUMENT …]")
    if workdir and not workdir.startswith("/"):
        raise UsageError(f"the working directory '{workdir}' is no absolute path", "as -w /data")
    state = running(container)
    base = spec.load(container.directory).process
    beside = base.changed(args=args, env=[*base.env, *env], cwd=workdir or base.cwd)
    return oci_exec.run(beside, state.pid, container.cgroups_path, here())


def running(container: Container) -> State:
    """Its state. ConflictError if it is not running, or paused."""
    state = container.state()
    if state.status == "paused":
        raise ConflictError(f"the container {container.name} is paused", f"labkit unpause {container.name}")
    if state.status != "running":
        raise ConflictError(f"the container {container.name} is not running", "see 'labkit ps -a'")
    return state


def pause(container: Container) -> None:
    """Stop all of its processes where they are. ConflictError if it does not run, or is paused already."""
    running(container)
    perform(freezer.operation(container.cgroups_path, here(), frozen=True), "host")


def unpause(container: Container) -> None:
    """Let its processes go on. ConflictError if it is not paused."""
    if container.state().status != "paused":
        raise ConflictError(f"the container {container.name} is not paused", "see 'labkit ps -a'")
    perform(freezer.operation(container.cgroups_path, here(), frozen=False), "host")


def processes(container: Container) -> list[int]:
    """The host's pids of all its processes."""
    return group.pids(container.cgroups_path, here())
