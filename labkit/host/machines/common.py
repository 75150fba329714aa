"""What back ends share: one command at a time for a machine, and how its user types a task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import filelock

from labkit import log
from labkit.errors import InfrastructureError, LabkitError
from labkit.host.lab import config as lab
from labkit.host.lab import paths


@contextlib.contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """One command at a time changes a machine. Who has to wait says so; Ctrl-C ends the waiting."""
    path = paths.state_dir() / "locks" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"Cannot make {path.parent}: {error.strerror}"
        raise InfrastructureError(reason, "LABKIT_STATE chooses another.") from error
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0.2)
    except filelock.Timeout:
        with log.step(f"Waiting for another labkit that works on the machine {name}"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def task(verb: str, machine: str) -> str:
    """How the user types a task for this machine: backquotes included."""
    with contextlib.suppress(LabkitError):
        if lab.load().default_machine == machine:
            return f"`invoke {verb}`"
    return f"`invoke {verb} --machine {machine}`"
