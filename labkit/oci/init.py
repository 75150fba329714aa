"""What the container's first process does, from its first breath in the new namespaces to execve(2)."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from typing import Any, NoReturn

from labkit.errors import LabkitError
from labkit.kernel import namespaces
from labkit.kernel.process import set_dumpable, set_oom_score_adj
from labkit.oci import become, entry
from labkit.oci.plan import Plan
from labkit.oci.spec import Process, Spec
from labkit.operations.journal import perform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from labkit.kernel.seccomp import Filter


def main(
    spec: Spec, plan: Plan, channel: socket.socket, stdio: tuple[int, int, int], seccomp: Filter | None = None
) -> NoReturn:
    """Run the plan's part inside, then the program. It ends in another program or in _exit: it is a copy of the
    parent.
    """
    tell = Teller(channel)
    try:
        _wait_for(channel, "go")
        protect(spec.process, by_scout=entry.is_needed(spec))
        os.setsid()
        place_stdio(stdio)
        _join_and_unshare(spec, tell)
        for operation in plan.init:
            perform(operation, "init", tell)
        program = become.prepare(spec.process, tell, seccomp, spec.personality)
        tell("ready")
        _wait_for(channel, "start")
        # No operation: from here on it is the program's life, and not the making of its container.
        tell("program", where="init", command=become.last_command(spec.process), seconds=0.0)
        become.execute(program, tell)
    except become.RefusedError as error:
        tell("error", message=error.message, hint=error.hint, status=error.exit_status)
    except LabkitError as error:
        tell("error", message=error.message, hint=error.hint, status=125)
    except Exception as error:
        tell(
            "error",
            message=f"labkit's init failed: {error!r}",
            hint="this is a bug of labkit: please report it",
            status=125,
        )
    finally:
        os._exit(125)


def protect(process: Process, by_scout: bool = False) -> None:
    """Before the first step into a container: nobody in there may look into us (our /proc/PID/exe is the host's
    Python), and the kernel knows whom to kill first.
    """
    set_dumpable(False)
    if process.oom_score_adj is not None and not by_scout:  # which has done it, with more rights
        set_oom_score_adj(process.oom_score_adj)


class Teller:
    """Events to the parent, one JSON object a line."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel

    def __call__(self, event: str, **fields: Any) -> None:
        """Send one; a parent that is gone does not matter here, since the next wait for its word ends then."""
        with contextlib.suppress(OSError):
            line = json.dumps({"event": event, "time": time.time(), **fields}) + "\n"
            self.channel.sendall(line.encode())


def _wait_for(channel: socket.socket, word: str) -> None:
    """The parent's word; its end means that it died, and then there is nothing to prepare for."""
    expected = f"{word}\n".encode()
    heard = b""
    with contextlib.suppress(ConnectionResetError):
        heard = channel.recv(len(expected), socket.MSG_WAITALL)
    if heard != expected:
        os._exit(125)


def place_stdio(stdio: tuple[int, int, int]) -> None:
    """Make the three descriptors 0, 1 and 2, and let no other pass execve(2).

    Copies first: a descriptor in the list may itself be 0, 1 or 2.
    """
    copies = [os.dup(descriptor) for descriptor in stdio]
    for number, copy in enumerate(copies):
        os.dup2(copy, number, inheritable=True)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # the descriptor that listdir itself had open
                os.set_inheritable(int(name), False)


def _join_and_unshare(spec: Spec, tell: Teller) -> None:
    for kind, path in spec.namespaces.items():
        if path and kind != "pid" and not entry.is_needed(spec):
            namespaces.join(path, namespaces.FLAGS[kind])
            tell("operation", where="init", command=f"nsenter --{kind}={path}  # setns(2)", seconds=0.0)
    if spec.namespaces.get("cgroup") == "":
        # Only now: the group that the process is in becomes the root of what it sees (cgroup_namespaces(7)).
        namespaces.unshare(namespaces.FLAGS["cgroup"])
        tell("operation", where="init", command="unshare --cgroup", seconds=0.0)
