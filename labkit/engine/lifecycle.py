"""stop, rm, exec: what is done to a container that is there."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace

from labkit.cgroups import group
from labkit.cgroups.detect import detect
from labkit.engine import gc, record
from labkit.engine.lease import take
from labkit.engine.record import Container
from labkit.errors import ConflictError, InfrastructureError, KernelError, UsageError
from labkit.kernel import process
from labkit.oci import exec as oci_exec
from labkit.oci import spec


def stop(container: Container, seconds: float = 10.0) -> None:
    """SIGTERM, and SIGKILL after ``seconds``; returns when its shim has taken everything back. No-op if it does not
    run.

    Pid 1 of a namespace has no default actions: a program that does not handle SIGTERM runs on until SIGKILL.
    """
    state = container.state()
    if state.status == "running":
        process.kill(state.pid, state.pid_started, signal.SIGTERM)
        if not process.wait_for_end(state.pid, state.pid_started, seconds):
            kill(container, signal.SIGKILL)
    _wait_until_settled(container)


def kill(container: Container, number: int) -> None:
    """Send a signal to its first process."""
    state = container.state()
    process.kill(state.pid, state.pid_started, number)


def _wait_until_settled(container: Container, seconds: float = 20.0) -> None:
    """Until nobody holds its lease: its shim is through, or dead, and then gc does the rest."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.path.exists(f"{record.RUN}/leases/{container.id}"):
            taken = take(container.id)
            if taken is None:
                time.sleep(0.01)
                continue
            taken.release()
        gc.collect()
        return
    raise KernelError(f"the container {container.name} does not stop", "see its processes with ps, and dmesg")


def remove(container: Container, force: bool = False) -> None:
    """Take back its making: name, writable layer, log. ConflictError if it runs and ``force`` is not given."""
    if container.state().status == "running":
        if not force:
            raise ConflictError(
                f"the container {container.name} is running", f"stop it first, or: labkit rm -f {container.name}"
            )
        kill(container, signal.SIGKILL)
    _wait_until_settled(container)
    taken = take(container.id)
    if taken is None:
        raise ConflictError(f"another command is at work on {container.name}", "try again in a moment")
    try:
        record.creation_journal(container.id).undo()
    finally:
        taken.release()


def execute(container: Container, args: list[str], env: list[str], workdir: str) -> int:
    """Run a program beside the container's first process; its exit status as a shell counts it."""
    if not args:
        raise UsageError("no program to execute", "labkit exec CONTAINER PROGRAM [ARGUMENT …]")
    state = container.state()
    if state.status != "running":
        raise ConflictError(f"the container {container.name} is not running", "see 'labkit ps -a'")
    base = spec.load(container.directory).process
    beside = replace(base, args=args, env=[*base.env, *env], cwd=workdir or base.cwd)
    status = oci_exec.run(beside, state.pid, container.cgroups_path, detect())
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        raise InfrastructureError(f"the helper of exec was killed by signal {-code}")
    return code


def processes(container: Container) -> list[int]:
    """The host's pids of all its processes."""
    return group.pids(container.cgroups_path, detect())
