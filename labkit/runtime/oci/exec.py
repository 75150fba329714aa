"""Another process beside a container's first one: its namespaces, its cgroup, its root (setns(2)).

Two forks: a helper enters the namespaces, and what it forks is the program, since only a child is in a pid namespace
that one has entered. CLONE_PARENT makes it our child, and not the helper's, which ends at once (clone(2)).

Nothing in the container can reach us on the way: helper and program cannot be traced or looked into until execve(2)
(PR_SET_DUMPABLE), everything of the host's that they need is open before they enter, and the pid namespace, where
others could see them, is the program's only.
"""

from __future__ import annotations

import os
import time

from labkit import log
from labkit.errors import ConflictError, KernelError
from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.kernel import namespaces
from labkit.runtime.kernel.process import start_time
from labkit.runtime.oci import become, entry, launch
from labkit.runtime.oci.channel import Teller, read_events, wait_for
from labkit.runtime.oci.errors import LABKIT_FAILED
from labkit.runtime.oci.init import place_stdio
from labkit.runtime.oci.launch import Created
from labkit.runtime.oci.spec import Process
from labkit.runtime.std import socket
from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.std.typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from labkit.runtime.kernel.seccomp import Filter
    from labkit.runtime.oci.spec.seccomp import Profile


@dataclass(frozen=True)
class Beside:
    """What is to run, and beside whom."""

    process: Process
    target: int
    """The pid of a process whose namespaces are the container's."""
    cgroups_path: str
    seccomp: Profile | None = None
    personality: int | None = None
    console: socket.socket | None = None
    """Connected: it takes the master of the process's terminal."""
    preserve_fds: int = 0
    explained: bool = False
    """Whether anybody wants to hear of each operation inside."""
    sub_groups: list[str] = field(default_factory=list)
    """Groups below the container's to be in, as cgroups/group.py reads them; none for the container's own."""


def create(beside: Beside, hierarchies: Hierarchies) -> Created:
    """A process in the container, a child of ours, that has done everything but execute its program.

    StartError if it cannot be executed, ConflictError if the container ends meanwhile.
    """
    began = time.monotonic()
    links = _open_namespaces(beside.target)
    filter_ = launch.compiled(beside.seccomp)
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    try:
        helper = namespaces.clone(0)
    except KernelError as error:
        raise ConflictError(
            f"no process can be started: {os.strerror(error.errno)}", "a limit of processes is reached"
        ) from error
    if helper == 0:
        ours.close()
        os.close(reader)
        _enter(beside, links, hierarchies, filter_, theirs, writer)
    theirs.close()
    for descriptor in (writer, *links.values()):
        os.close(descriptor)
    with open(reader, encoding="utf-8") as answer:
        pid = int(answer.read() or "0")
    os.waitpid(helper, 0)
    words = " ".join(launch.UNSHARE_WORDS[kind] for kind in links)
    launch.told(began, f"nsenter --target {beside.target} {words}  # it becomes process {pid}")
    created = Created(pid, start_time(pid), ours)
    try:
        read_events(ours, until="ready")
    except BaseException:
        created.abandon()
        raise
    return created


def entered(target: int) -> list[str]:
    """The kinds of namespaces of that process that are not our own, in the order in which they are entered."""
    kinds = [kind for kind in ("user", *entry.ORDER) if os.path.exists(f"/proc/self/ns/{kind}")]  # time: Linux 5.6
    return [kind for kind in kinds if namespaces.inode(target, kind) != namespaces.inode("self", kind)]


def _open_namespaces(target: int) -> dict[str, int]:
    """Open the links of those that are to be entered."""
    links = {}
    try:
        for kind in entered(target):
            links[kind] = os.open(f"/proc/{target}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        raise ConflictError("the container has just ended") from None
    return links


def _enter(
    beside: Beside,
    links: dict[str, int],
    hierarchies: Hierarchies,
    filter_: Filter | None,
    channel: socket.socket,
    writer: int,
) -> NoReturn:
    """In the helper, and in the process that it makes: its pid goes to ``writer``, the rest to ``channel``."""
    tell = Teller(channel)
    log.listen_no_more()  # as init does
    try:
        become.protect(beside.process)
        place_stdio((0, 1, 2), beside.preserve_fds)
        doors = _doors(beside, hierarchies)
        # Now: the container may have no /proc to look into.
        entered = [os.readlink(f"/proc/self/fd/{door}") for door in doors] if beside.explained else []
        become.take_no_modules()
        entry.join(links)
        child = namespaces.clone(namespaces.CLONE_PARENT)
        if child == 0:
            os.close(writer)
            _become(beside, doors, entered, filter_, channel, tell)
        # The pid as we see it: entering a pid namespace has not moved ourselves.
        os.write(writer, str(child).encode())
        os._exit(0)
    except OSError as error:
        message = f"nothing can be executed in the container: {error.strerror}"
        tell.failure(KernelError(message, "it is ending, or has reached a limit"))
    except Exception as error:
        tell.failure(error)
    finally:
        os._exit(LABKIT_FAILED)


def _doors(beside: Beside, hierarchies: Hierarchies) -> list[int]:
    if beside.sub_groups:
        return group.doors_below(beside.cgroups_path, beside.sub_groups, hierarchies)
    return group.doors(beside.cgroups_path, hierarchies, beside.target) if beside.cgroups_path else []


def _become(
    beside: Beside,
    doors: list[int],
    entered: list[str],
    filter_: Filter | None,
    channel: socket.socket,
    tell: Teller,
) -> NoReturn:
    """``entered`` are the names of the ``doors``, for who wants to hear of them."""
    # The program alone enters the group: its limits are not for the helper, which could be killed for want of memory.
    group.enter(doors)
    if entered:
        tell("operation", where="init", command="\n".join(f"echo $$ > {file}" for file in entered), seconds=0.0)
    # A session of its own: without our terminal as its controlling one it cannot type into it (TIOCSTI).
    os.setsid()
    if beside.console:
        from labkit.runtime.oci import console  # loaded by whoever made the connection

        console.take(beside.console, beside.process)
    program = become.prepare(beside.process, tell, filter_, beside.personality)
    tell("ready")
    wait_for(channel, "start")
    if beside.explained:
        tell("program", where="init", command=become.last_command(beside.process), seconds=0.0)
    become.execute(program, tell, channel.fileno())
