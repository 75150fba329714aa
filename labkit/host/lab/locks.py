"""One labkit at a time does this or that. (The kernel lets go of a lock when its process ends, however that ends.)"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import filelock

from labkit import log


@contextlib.contextmanager
def held(path: Path, doing: str) -> Iterator[None]:
    """Who has to wait says so (``doing``: "builds the image"); Ctrl-C ends the waiting."""
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
