"""Another process beside a container's first one: its namespaces, its cgroup, its root (setns(2)).

Two forks: a helper enters the namespaces, and its child is the program, since only a child is in a pid namespace that
one has entered. We wait, and pass signals on.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
from types import FrameType

from labkit.cgroups import group
from labkit.cgroups.detect import Hierarchies
from labkit.errors import ConflictError, LabkitError
from labkit.kernel import namespaces
from labkit.oci import become, entry, init
from labkit.oci.launch import LABKIT_FAILED, StartError
from labkit.oci.spec import Process
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any, NoReturn

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def run(process: Process, target: int, cgroups_path: str, hierarchies: Hierarchies) -> int:
    """Run a process in the namespaces of the process ``target``; its exit status as a shell counts it.

    It has our standard input, output and error, a session of its own, and nothing else of ours. StartError if it cannot
    be executed, ConflictError if the container ends meanwhile.
    """
    links = _open_namespaces(target)
    reader, writer = os.pipe()
    # Until we know whom to pass them on to, signals wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    try:
        helper = os.fork()
    except OSError as error:
        raise ConflictError(
            f"no process can be started: {error.strerror}", "a limit of processes is reached"
        ) from error
    if helper == 0:
        os.close(reader)
        _enter_and_run(process, links, cgroups_path, hierarchies, writer)
    os.close(writer)
    for descriptor in links.values():
        os.close(descriptor)
    with open(reader, encoding="utf-8") as answers:
        told = answers.readline()
        if told.endswith("\n"):
            _pass_signals_on(int(told))
            told = answers.read()
    _, status = os.waitpid(helper, 0)
    if told:
        if told.startswith("{"):
            refused = become.refusal_in(json.loads(told))
            assert refused, told
            raise StartError(refused.message, refused.hint, refused.exit_status)
        message, hint, code = told.split("\0")
        raise StartError(message, hint, int(code))
    return _as_shell(status)


def _open_namespaces(target: int) -> dict[str, int]:
    """Open the links of those namespaces that are not our own."""
    links = {}
    try:
        for kind in ("user", *entry.ORDER):
            if namespaces.inode(target, kind) != namespaces.inode("self", kind):
                links[kind] = os.open(f"/proc/{target}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        raise ConflictError("the container has just ended", "see 'labkit ps -a'") from None
    return links


def _pass_signals_on(pid: int) -> None:
    def pass_on(number: int, _: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in _PASSED_ON:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)


def _enter_and_run(
    process: Process, links: dict[str, int], cgroups_path: str, hierarchies: Hierarchies, writer: int
) -> NoReturn:
    """In the helper. To ``writer`` goes a line with the program's pid, and an error after it or instead."""

    def tell(event: str, **fields: Any) -> None:
        if event != "error":
            return
        with contextlib.suppress(OSError):
            os.write(writer, "\0".join((fields["message"], fields["hint"], str(fields["status"]))).encode())

    try:
        # A session of its own: without our terminal as its controlling one it cannot type into it (TIOCSTI).
        become.protect(process)
        os.setsid()
        doors = group.doors(cgroups_path, hierarchies) if cgroups_path else []
        entry.join(links)
        child = os.fork()
        if child == 0:
            # The program alone: its limits are not for us, and we could be the one that is killed for want of memory.
            for door in doors:
                os.write(door, b"0")  # whoever writes
            init.place_stdio((0, 1, 2))
            become.execute(become.prepare(process, tell), tell, writer)
        # The pid as we see it: entering a pid namespace has not moved ourselves.
        os.write(writer, f"{child}\n".encode())
        os.close(writer)
        os._exit(_wait(child))
    except become.RefusedError as error:
        tell("error", message=error.message, hint=error.hint, status=error.exit_status)
    except LabkitError as error:
        tell("error", message=error.message, hint=error.hint, status=LABKIT_FAILED)
    except OSError as error:
        message = f"nothing can be executed in the container: {error.strerror}"
        tell("error", message=message, hint="it is ending, or has reached a limit", status=LABKIT_FAILED)
    finally:
        os._exit(LABKIT_FAILED)


def _wait(child: int) -> int:
    return _as_shell(os.waitpid(child, 0)[1])


def _as_shell(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code
