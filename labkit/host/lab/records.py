"""What is remembered on disk, as JSON: one object in a file; and the locks of those who change it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock

from labkit import log


def read(file: Path) -> dict[str, Any]:
    """The object; an empty one where the file is not there or holds something else."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(file: Path, value: dict[str, Any]) -> None:
    """Replace the file at once: a reader finds what was there before, or all of this. OSError where it fails."""
    partial = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def locked(path: Path, doing: str) -> Iterator[None]:
    """One labkit at a time. Who has to wait says so (``doing``: "builds the image"); Ctrl-C ends the waiting.

    The kernel lets go of a lock when its process ends, however that ends.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=0.2)
    except filelock.Timeout:
        with log.step(f"Waiting for another labkit that {doing}"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
