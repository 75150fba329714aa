"""Machines that are not the participant's: those of the tests and of the matrix, in a state directory of their own."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import filelock

from labkit.errors import ConflictError, NotFoundError
from labkit.host import machines
from labkit.host.lab import config
from labkit.host.lab.config import MachineConfig


@contextmanager
def machines_in(directory: Path, whose: str) -> Iterator[None]:
    """Within this, machines live in ``directory``, and are destroyed at its end.

    One run at a time: ConflictError where another one has the directory, since they would reset the machines under one
    another's feet. ``whose`` is for that sentence ("the tests").
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory.with_name(f"{directory.name}.lock"))
    try:
        held = lock.acquire(timeout=0)
    except filelock.Timeout:
        raise ConflictError(f"Another run of {whose} is going on.", "Wait until it has ended.") from None
    with held, mock.patch.dict(os.environ, LABKIT_STATE=str(directory)):
        try:
            yield
        finally:
            destroy_all(directory / "machines")


def destroy_all(directory: Path) -> None:
    """Destroy each machine that has left something in ``directory``, also one that lab.yaml no longer names."""
    lab = config.load()
    for name in sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []:
        try:
            machine = lab.machine(name)
        except NotFoundError:
            machine = MachineConfig(name)
        machines.open_machine(machine).destroy()


@contextmanager
def ended_properly() -> Iterator[None]:
    """SIGTERM (a cancelled job, timeout(1)) and SIGHUP (a closed terminal) become SystemExit within this.

    So no machine that was started within outlives it.
    """

    def leave(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    with handled([getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)], leave):
        yield


@contextmanager
def handled(numbers: Iterable[int], handler: Any) -> Iterator[None]:
    """Within this, signals have another handler (signal.SIG_IGN: none)."""
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
