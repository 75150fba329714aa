"""Who is responsible for a container: whoever holds the lock on /run/labkit/leases/ID.

The command that starts a container takes it, and its shim, a copy of that command, goes on holding it. The kernel frees
the lock when the last of them is dead, however it died (flock(2)), so that ``gc`` needs no pids to know an orphan.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from labkit.engine.record import RUN

_DIRECTORY = f"{RUN}/leases"


class Lease:
    """A held lock; ``release`` removes the file as well."""

    def __init__(self, container_id: str, descriptor: int) -> None:
        self.path = f"{_DIRECTORY}/{container_id}"
        self.descriptor = descriptor

    def release(self) -> None:
        """Remove the file while it is locked: whoever waits for it finds that it is no longer the one at that path."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        os.close(self.descriptor)


def take(container_id: str) -> Lease | None:
    """The lease, or None if somebody holds it."""
    os.makedirs(_DIRECTORY, exist_ok=True)
    path = f"{_DIRECTORY}/{container_id}"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        try:
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:
                return Lease(container_id, descriptor)
        except FileNotFoundError:
            pass
        os.close(descriptor)  # its last holder removed it between our two calls: try again


def held() -> list[str]:
    """The ids for which there is a lease, held or orphaned."""
    try:
        return os.listdir(_DIRECTORY)
    except FileNotFoundError:
        return []
