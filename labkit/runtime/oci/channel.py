"""What the two halves of a start have in common: what is to be started, and what they say to one another.

Parent and child share a socket pair. The parent says words (``go``, ``hooked``, ``start``), the child tells events, one
JSON object a line; both by lines, and the end of one is an end of file for the other.
"""

from __future__ import annotations

import os
import time

from labkit import log
from labkit.errors import LabkitError
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.oci.become import RefusedError, refusal_in
from labkit.runtime.oci.errors import LABKIT_FAILED, StartError
from labkit.runtime.oci.plan import Plan
from labkit.runtime.oci.spec import Spec
from labkit.runtime.std import json, socket
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.std.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.runtime.kernel.seccomp import Filter


@dataclass(frozen=True)
class Start:
    """All that a start needs. From ``gate`` on it is what only the low-level runtime's own command line asks for."""

    spec: Spec
    plan: Plan
    hierarchies: Hierarchies
    stdio: tuple[int, int, int] = (0, 1, 2)
    """The descriptors that the process gets as 0, 1 and 2."""
    explained: bool = True
    """Whether anybody wants to hear of each operation inside: telling takes half as long as doing."""
    console: socket.socket | None = None
    """Connected: it takes the master of the process's terminal."""
    gate: socket.socket | None = None
    """Listening: the first process waits there for ``start``, and its parent may go."""
    preserve_fds: int = 0
    """How many descriptors from 3 on the program keeps."""
    keyring: str = ""
    """The name of a new session keyring; empty for the caller's own."""
    state: dict[str, Any] = field(default_factory=dict)
    """What hooks get on standard input; the pid is filled in."""


@dataclass(frozen=True)
class Inherited:
    """What the first process has from its parent, which lets go of it when the process is there."""

    channel: socket.socket
    seccomp: Filter | None
    """Compiled before anything else was made."""
    links: dict[str, int]
    """The namespaces to join, by kind (entry.py)."""
    doors: list[int]
    """Those of the groups to enter (cgroups/group.py)."""
    copies: list[int]
    """Mounts that lie nowhere yet (sources.py)."""

    def close(self) -> None:
        """Let go of all."""
        self.channel.close()
        for descriptor in (*self.links.values(), *self.doors, *self.copies):
            os.close(descriptor)


class Teller:
    """Events to the parent."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def __call__(self, event: str, **fields: Any) -> None:
        """Send one; a parent that is gone does not matter here, since the next wait for its word ends then."""
        with suppress(OSError):
            line = json.dumps({"event": event, "time": time.time(), **fields}) + "\n"
            self.channel.sendall(line.encode())

    def failure(self, error: Exception) -> None:
        """Send what keeps this process from its program."""
        if isinstance(error, LabkitError):
            status = error.exit_status if isinstance(error, RefusedError) else LABKIT_FAILED
            self("error", message=error.message, hint=error.hint, status=status)
        else:
            hint = "this is a bug of labkit: please report it"
            self("error", message=f"labkit's init failed: {error!r}", hint=hint, status=LABKIT_FAILED)


def wait_for(channel: socket.socket, word: str) -> None:
    """The parent's word; its end means that it died, and then there is nothing to prepare for."""
    if not heard(channel, word):
        os._exit(LABKIT_FAILED)


def heard(channel: socket.socket, word: str) -> bool:
    """Whether that is what the other end says, and not its end."""
    expected = f"{word}\n".encode()
    with suppress(ConnectionResetError):
        return channel.recv(len(expected), socket.MSG_WAITALL) == expected
    return False


def send(channel: socket.socket, word: str) -> None:
    """Say a word to the child."""
    with suppress(BrokenPipeError):  # the child is gone: what it said before, or its status, tells why
        channel.sendall(f"{word}\n".encode())


def start_through(channel: socket.socket) -> None:
    """Say ``start`` to a first process, and hear how it went. StartError if the program cannot be executed."""
    send(channel, "start")
    try:
        read_events(channel, until="")
    finally:
        channel.close()


def read_events(channel: socket.socket, until: str) -> None:
    """Pass the child's events on until the one named; an empty name means end of file, as execve(2) makes it."""
    with open(channel.fileno(), encoding="utf-8", closefd=False) as lines, suppress(ConnectionResetError):
        for line in lines:
            event: dict[str, Any] = json.loads(line)
            refused = refusal_in(event)
            if refused:
                raise StartError(refused.message, refused.hint, refused.exit_status)
            kind = event.pop("event")
            if kind == "error":
                raise StartError(event["message"], event["hint"], event["status"])
            if kind == until:
                return
            log.emit(kind, **event)
    if until:
        raise StartError(
            "the container's first process died while it prepared itself",
            "was it killed for want of memory? see dmesg",
            LABKIT_FAILED,
        )
