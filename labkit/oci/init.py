"""What the container's first process does, from its first breath in the new namespaces to execve(2)."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import socket
import time
from shlex import join, quote
from typing import Any, NoReturn

from labkit.errors import LabkitError
from labkit.kernel import capabilities, namespaces
from labkit.oci.plan import Plan
from labkit.oci.spec import Process, Spec
from labkit.operations.journal import perform


def main(spec: Spec, plan: Plan, channel: socket.socket, stdio: tuple[int, int, int]) -> NoReturn:
    """Run the plan's part inside, then the program. It ends in another program or in _exit: it is a copy of the
    parent.
    """
    tell = Teller(channel)
    try:
        _wait_for(channel, "go")
        os.setsid()
        place_stdio(stdio)
        _join_and_unshare(spec, tell)
        for operation in plan.init:
            perform(operation, "init", tell)
        # Our PATH search must not run as root's with the host's rights; the change of user comes first.
        tell("ready")
        _wait_for(channel, "start")
        # No operation: from here on it is the program's life, and not the making of its container.
        tell("program", where="init", command=_last_command(spec.process), seconds=0.0)
        execute(spec.process, tell)
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
        if path and kind != "pid":
            namespaces.join(path, namespaces.FLAGS[kind])
            tell("operation", where="init", command=f"nsenter --{kind}={path}  # setns(2)", seconds=0.0)
    if spec.namespaces.get("cgroup") == "":
        # Only now: the group that the process is in becomes the root of what it sees (cgroup_namespaces(7)).
        namespaces.unshare(namespaces.FLAGS["cgroup"])
        tell("operation", where="init", command="unshare --cgroup", seconds=0.0)


def execute(process: Process, tell: Any) -> NoReturn:
    """Become the user, give up what the specification does not grant, and execute the program.

    The order matters: the bounding set needs CAP_SETPCAP, the groups CAP_SETGID, and both go with the change of user.
    """
    os.umask(0o022)
    try:
        os.chdir(process.cwd)
    except OSError as refused:
        message = f"the working directory {process.cwd} cannot be entered: {refused.strerror}"
        tell("error", message=message, hint="it must be a directory of the container", status=126)
        os._exit(126)
    sets = {name: capabilities.numbers(members) for name, members in process.capabilities.items()}
    capabilities.limit_bounding(sets["bounding"])
    capabilities.keep_over_setuid(True)
    os.setgroups(process.additional_gids)
    os.setresgid(process.gid, process.gid, process.gid)
    os.setresuid(process.uid, process.uid, process.uid)
    capabilities.set_sets(sets["effective"], sets["permitted"], sets["inheritable"], sets["ambient"])
    if process.no_new_privileges:
        capabilities.no_new_privileges()
    _restore_signals()
    environment = dict(variable.partition("=")[::2] for variable in process.env)
    error = _execve_on_path(process.args, environment)
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    tell(
        "error",
        message=f"'{process.args[0]}' cannot be executed in the container: {error.strerror}",
        hint="it must be in the container's root file system, on its PATH or given with its path",
        status=127 if missing else 126,
    )
    os._exit(127 if missing else 126)


def _last_command(process: Process) -> str:
    """The last step as setpriv(1) and a shell would do it: give up rights, then become the program."""
    words = capabilities.setpriv_words(process.capabilities["bounding"])
    return f"cd {quote(process.cwd)} && exec setpriv --bounding-set={words} {join(process.args)}"


def _execve_on_path(args: list[str], environment: dict[str, str]) -> OSError:
    """execve(2) in each directory of PATH, as execvp(3) does; returns the error that tells most."""
    candidates = [args[0]]
    if "/" not in args[0]:
        path = environment.get("PATH", "/usr/local/bin:/usr/bin:/bin")
        candidates = [os.path.join(directory or ".", args[0]) for directory in path.split(":")]
    telling = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    for candidate in candidates:
        try:
            os.execve(candidate, args, environment)  # noqa: S606 - this is the container's program
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                telling = error
    return telling


def _restore_signals() -> None:
    """What Python changed: ignored signals stay ignored over execve(2), and so does the mask (signal(7))."""
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
