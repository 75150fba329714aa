"""A service that tells its manager that it is ready (sd_notify(3)), from within a container.

The manager's socket is out of the container's reach. So the container gets one of its own, at the place that runc gives
it, and whoever starts the container listens there: it passes the word READY on, and says which process is meant, since
the manager knows only the one that it started itself. Then it listens no more.

Imported only where somebody wants to hear of it.
"""

from __future__ import annotations

import array
import os
import select

from labkit.errors import KernelError
from labkit.runtime.kernel.blocks import short_path
from labkit.runtime.oci.spec import MountPoint, Spec
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import MakeTree
from labkit.runtime.std import socket
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import replace

_INSIDE = "/run/notify"
_NAME = "notify.sock"
_OPTIONS = ["bind", "nosuid", "noexec", "nodev", "ro"]

#: Seconds that the manager has for what it was told, as systemd-notify(1) waits.
_PATIENCE = 5.0


def announced(specification: Spec, directory: str) -> tuple[Spec, list[Operation]]:
    """The specification with the socket's directory and the variable that names it, and what makes that directory."""
    place = _place(directory)
    process = specification.process
    changed = replace(
        specification,
        mounts=[*specification.mounts, MountPoint(_INSIDE, "bind", place, _OPTIONS)],
        process=replace(process, env=[*process.env, f"NOTIFY_SOCKET={_INSIDE}/{_NAME}"]),
    )
    return changed, [MakeTree(place, 0o755)]  # the container's users look into it


def _place(directory: str) -> str:
    return os.path.join(directory, "notify")


class Listener:
    """The container's socket, and whom to tell."""

    def __init__(self, directory: str, manager: str) -> None:
        """``directory`` is the container's, ``manager`` a path, or a name after ``@`` (unix(7), "abstract").

        KernelError where the socket cannot be made.
        """
        self._manager = manager
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            with short_path(f"{_place(directory)}/{_NAME}") as path:
                with suppress(FileNotFoundError):
                    os.unlink(path)  # of a ``start`` that was killed here
                self._socket.bind(path)
                os.chmod(path, 0o777)  # noqa: S103 - each of the container's users may send
        except OSError as error:
            self._socket.close()
            raise KernelError(f"the socket for NOTIFY_SOCKET cannot be made: {error.strerror}") from None

    def pass_on(self, main_pid: int, is_alive: Callable[[], bool], leaving: bool) -> None:
        """Wait until the container is ready, or gone, and tell the manager that ``main_pid`` is the one to watch.

        A manager that cannot be reached is no error: the container runs. ``leaving`` says that we end right after it:
        then it must have read what we said, since it asks who sent it.
        """
        with self._socket:
            word = self._ready(is_alive)
        if not word:
            return
        address = "\0" + self._manager[1:] if self._manager.startswith("@") else self._manager
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
            wire.connect(address)
            wire.send(word + b"\n")
            wire.send(f"MAINPID={main_pid}\n".encode())
            if leaving:
                _wait_for(wire)

    def _ready(self, is_alive: Callable[[], bool]) -> bytes:
        """The line that says so, or nothing."""
        while True:
            living = is_alive()  # first: what it said last is still to be read
            if select.select([self._socket], [], [], 0.1)[0]:
                for line in self._socket.recv(4096).split(b"\n"):
                    if line.startswith(b"READY="):
                        return line
            elif not living:
                return b""


def _wait_for(wire: socket.socket) -> None:
    """sd_notify_barrier(3): what the manager was given is closed when it has read all that came before it."""
    reader, writer = os.pipe()
    try:
        given = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer]))]
        wire.sendmsg([b"BARRIER=1"], given)
    finally:
        os.close(writer)
        wire.close()
    select.select([reader], [], [], _PATIENCE)
    os.close(reader)


def wanted(directory: str) -> Listener | None:
    """What a command listens with for the container of that directory; None where nobody wants to hear, or the
    container was made without.
    """
    manager = os.environ.get("NOTIFY_SOCKET", "")
    return Listener(directory, manager) if manager and os.path.isdir(_place(directory)) else None
