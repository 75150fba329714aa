"""Who is responsible for a container: whoever holds the lock on /run/labkit/leases/ID.

The command that starts a container takes it, and its shim, a copy of that command, goes on holding it. The kernel frees
the lock when the last of them is dead, however it died (flock(2)), so that ``gc`` needs no pids to know an orphan. The
file itself stays until somebody has cleaned up: it is what remembers the container.
"""

from __future__ import annotations

import fcntl
import os

from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.text import textfile

_DIRECTORY = "/run/labkit/leases"


class Lease:
    """A held lock."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def release(self) -> None:
        """Nothing is left to be responsible for: remove the file while it is locked, so that who waits sees it."""
        textfile.remove(self.path)
        self.let_go()

    def let_go(self) -> None:
        """Hold it no longer; the file stays, for another holder or for gc."""
        os.close(self.descriptor)


def take(container_id: str, directory: str = _DIRECTORY) -> Lease | None:
    """The lease, made where there is none; None if somebody holds it. In another ``directory`` it is for something
    else.
    """
    os.makedirs(directory, exist_ok=True)
    path = f"{directory}/{container_id}"
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(descriptor):
            os.close(descriptor)
            return None
        if textfile.leads_to(path, descriptor):
            return Lease(path, descriptor)
        os.close(descriptor)  # its last holder removed it between our two calls: try again


def take_new(container_id: str) -> Lease:
    """The lease of a container that nobody else knows; somebody may look at the file just now, but not for long."""
    while (lease := take(container_id)) is None:
        pass
    return lease


def is_held(container_id: str) -> bool:
    """Whether somebody is responsible now. It looks, and takes nothing."""
    try:
        with kept_open(os.open(f"{_DIRECTORY}/{container_id}", os.O_RDWR | os.O_CLOEXEC)) as descriptor:
            return not _lock(descriptor)
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def everything() -> list[str]:
    """The ids for which there is a lease, held or orphaned."""
    return textfile.names(_DIRECTORY)
