"""What the container's first process does, from its first breath in the new namespaces to execve(2)."""

from __future__ import annotations

import errno
import os

from labkit import log
from labkit.errors import KernelError
from labkit.runtime.cgroups import group
from labkit.runtime.kernel import libc, namespaces
from labkit.runtime.oci import become, entry
from labkit.runtime.oci.channel import Inherited, Start, Teller, heard, wait_for
from labkit.runtime.oci.errors import LABKIT_FAILED
from labkit.runtime.oci.spec import Spec
from labkit.runtime.operations import Operation
from labkit.runtime.operations.journal import perform
from labkit.runtime.std import signal, socket
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any, NoReturn

_PR_SET_NAME = 15
_KEYCTL_JOIN_SESSION_KEYRING = 1


def main(start: Start, given: Inherited) -> NoReturn:
    """Run the plan's part inside, then the program. It ends in another program or in _exit: it is a copy of the
    parent.
    """
    spec, tell = start.spec, Teller(given.channel)
    log.listen_no_more()  # the parent's own: here their files would be the container's
    if start.explained:
        log.listen(lambda event: tell(**event))
    try:
        # Of ourselves alone, while our parent writes down that we are here.
        become.protect(spec.process, by_scout=entry.is_needed(spec))
        os.setsid()
        place_stdio(start.stdio, start.preserve_fds)
        wait_for(given.channel, "go")
        group.enter(given.doors)
        if start.gate:
            close_others({given.channel.fileno(), *_descriptors(start), *given.links.values(), *given.copies})
        if start.keyring:
            _join_keyring(start.keyring)
        _join_and_unshare(spec, tell, given.links)
        _perform(start.plan.filling, tell, start)
        if spec.hooks:
            _hooks_between(spec, tell, start)
        if spec.process.terminal:
            _take_terminal(start)
        become.take_no_modules()
        _perform(start.plan.closing, tell, start)
        for copy in given.copies:
            os.close(copy)  # no mount of the host may stay open while we wait
        hooks = spec.hooks.get("startContainer", [])
        program = become.prepare(spec.process, tell, given.seccomp, spec.personality, len(hooks))
        if start.gate:
            tell = Teller(_wait_at_gate(start.gate, tell))
        else:
            tell("ready")
            wait_for(given.channel, "start")
        if hooks:
            _run_start_hooks(start, program)
        if start.explained:
            # No operation: from here on it is the program's life, and not the making of its container.
            tell("program", where="init", command=become.last_command(spec.process), seconds=0.0)
        become.execute(program, tell, tell.channel.fileno())
    except Exception as error:
        tell.failure(error)
    finally:
        os._exit(LABKIT_FAILED)


def _wait_at_gate(gate: socket.socket, tell: Teller) -> socket.socket:
    """Until somebody connects and says ``start``; that connection. Our parent goes meanwhile.

    The first process of a pid namespace hears of no signal that it has no handler for (pid_namespaces(7)), and a
    container that was created can be killed.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, _: os._exit(128 + number))
    from labkit.runtime.oci.state import WAITING  # local: the engine's containers wait at no gate

    libc.call("prctl", _PR_SET_NAME, WAITING, 0, 0, 0, what="prctl(PR_SET_NAME)")
    tell("ready")
    tell.channel.close()
    while True:
        connection, _ = gate.accept()
        if heard(connection, "start"):
            gate.close()
            return connection
        connection.close()  # it was killed before it could say so: the next one will


def _descriptors(start: Start) -> set[int]:
    sockets = {end.fileno() for end in (start.gate, start.console) if end}
    return sockets | set(range(3, 3 + start.preserve_fds))


def place_stdio(stdio: tuple[int, int, int], preserved: int = 0) -> None:
    """Make the three descriptors 0, 1 and 2, and let no other pass execve(2) but the ``preserved`` ones from 3 on.

    Copies first: a descriptor in the list may itself be 0, 1 or 2.
    """
    copies = [os.dup(descriptor) for descriptor in stdio]
    for number, copy in enumerate(copies):
        os.dup2(copy, number, inheritable=True)
        os.close(copy)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with suppress(OSError):  # the descriptor that listdir itself had open
                os.set_inheritable(int(name), int(name) < 3 + preserved)


def close_others(keep: set[int]) -> None:
    """Close what came from the parent, standard input, output and error excepted: we may wait for long."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with suppress(OSError):
                os.close(int(name))


def _join_keyring(name: str) -> None:
    """A session keyring of its own: the host's keys are not the container's (session-keyring(7)).

    A kernel without keys, or a user with too many, is no reason not to start, as runc has it.
    """
    try:
        libc.syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, name, what=f"keyctl(JOIN_SESSION_KEYRING, {name})")
    except KernelError as error:
        if error.errno not in (errno.ENOSYS, errno.EDQUOT, errno.EPERM):
            raise


def _join_and_unshare(spec: Spec, tell: Teller, links: dict[str, int]) -> None:
    """``links``: the namespaces to join, by kind, opened before anything was made (entry.py)."""
    for kind in entry.ORDER:
        if kind in links:
            if kind != "pid":  # which our parent has joined, since it takes effect for children only
                namespaces.setns(links[kind], namespaces.FLAGS[kind])
                command = f"nsenter --{kind}={spec.namespaces[kind]}  # setns(2)"
                tell("operation", where="init", command=command, seconds=0.0)
            os.close(links[kind])
    if spec.namespaces.get("cgroup") == "":
        # Only now: the group that the process is in becomes the root of what it sees (cgroup_namespaces(7)).
        namespaces.unshare(namespaces.FLAGS["cgroup"])
        tell("operation", where="init", command="unshare --cgroup", seconds=0.0)


def _perform(operations: list[Operation], tell: Teller, start: Start) -> None:
    for operation in operations:
        if start.explained:
            perform(operation, "init", tell)
        else:
            operation.do()


def _hooks_between(spec: Spec, tell: Teller, start: Start) -> None:
    """The parent's hooks (prestart, createRuntime), and then ours (createContainer).

    Everything is made then, both roots can be seen, and nothing is read-only or hidden yet: as in runc, whose hooks
    bring devices and files into the root file system.
    """
    if "createContainer" in spec.hooks or "startContainer" in spec.hooks:
        from labkit.runtime.oci import (
            hooks,  # local: few containers have any; and now: later there are no modules to be had
        )
    tell("rooted")
    wait_for(tell.channel, "hooked")
    if "createContainer" in spec.hooks:
        # As runc has it: where the new root is, and with the variables of the container's process.
        setting = hooks.Setting(spec.rootfs, dict(entry.partition("=")[::2] for entry in spec.process.env))
        hooks.run("createContainer", spec.hooks["createContainer"], _state(start, "creating"), setting)


def _run_start_hooks(start: Start, program: become.Program) -> None:
    """Programs of the container's own: nothing is granted to them that is not granted to its first one."""
    from labkit.runtime.oci import hooks  # it is there, see _hooks_between

    setting = hooks.Setting(program=program, kept=start.preserve_fds)
    hooks.run("startContainer", start.spec.hooks["startContainer"], _state(start, "created"), setting)


def _state(start: Start, status: str) -> dict[str, Any]:
    # Our pid as this namespace counts: from here the host's cannot be seen.
    return {**start.state, "pid": os.getpid(), "status": status}


def _take_terminal(start: Start) -> None:
    from labkit.runtime.oci import console  # local: few containers have one

    assert start.console is not None, "who asks for a terminal says who takes its other end"
    spec = start.spec
    console.take(start.console, spec.process, spec.rootfs, on_console="mnt" in spec.namespaces)
