"""The parent's half of a start: clone the container's first process, put it into its cgroup, tell it when to go on.

Parent and child share a socket pair. The child waits for ``go``, enters its cgroups, does the plan's operations, says
``ready`` and waits for ``start``; then it executes the program, which closes its end. So nothing of the program runs
before the container is complete, and the parent learns how far the child came, also when either of them dies: the
other reads end of file.

Where ``start`` is another command, later, the child waits at a gate instead: a listening socket with a name
(``Extras.gate``). What connects to it is heard even if the child is not there yet, so that a start cannot be lost.
"""

from __future__ import annotations

import os
import time

from labkit import log
from labkit.errors import KernelError, LabkitError
from labkit.runtime.cgroups import group
from labkit.runtime.kernel import namespaces, process
from labkit.runtime.oci import become, entry, init
from labkit.runtime.oci.errors import StartError
from labkit.runtime.std import json, signal, socket
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import dataclass, field, replace
from labkit.runtime.std.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.runtime.cgroups.detect import Hierarchies
    from labkit.runtime.kernel.seccomp import Filter
    from labkit.runtime.oci.plan import Plan
    from labkit.runtime.oci.spec import Spec
    from labkit.runtime.oci.spec.seccomp import Profile

#: Kind of namespace -> unshare(1)'s option, and nsenter(1)'s.
UNSHARE_WORDS = {
    "mnt": "--mount",
    "uts": "--uts",
    "ipc": "--ipc",
    "net": "--net",
    "pid": "--pid",
    "cgroup": "--cgroup",
    "user": "--user",
    "time": "--time",
}


@dataclass(frozen=True)
class Extras:
    """What the low-level runtime's own command line asks of a start, and the engine does not."""

    gate: socket.socket | None = None
    """Listening: the first process waits there for ``start``, and its parent may go."""
    console: socket.socket | None = None
    """Connected: it takes the master of the process's terminal."""
    preserve_fds: int = 0
    """How many descriptors from 3 on the program keeps."""
    keyring: str = ""
    """The name of a new session keyring; empty for the caller's own."""
    explained: bool = True
    """Whether anybody wants to hear of each operation inside: telling takes half as long as doing."""
    state: dict[str, Any] = field(default_factory=dict)
    """What hooks get on standard input; the pid is filled in."""


@dataclass(frozen=True)
class Created:
    """A process that has done everything but execute its program."""

    pid: int
    started: int
    """Its start time in clock ticks: with the pid its name for ever."""
    channel: socket.socket

    def abandon(self) -> None:
        """End it before it has executed anything."""
        self.channel.close()
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def start(self) -> None:
        """Let it execute its program. StartError if that fails; what it wrote to its output is the container's own."""
        start_through(self.channel)


def create(
    spec: Spec,
    plan: Plan,
    hierarchies: Hierarchies,
    stdio: tuple[int, int, int],
    extras: Extras = Extras(),  # noqa: B008 - a Value cannot be changed
    born: Callable[[int, int], None] = lambda pid, started: None,
) -> Created:
    """Clone the process and let it prepare itself. ``stdio`` are the descriptors that it gets as 0, 1 and 2.

    ``born`` hears its pid and start time before it does anything. The caller has one thread, has done ``plan.host``,
    and will wait for the child.
    """
    filter_ = compiled(spec.seccomp)
    ours, theirs = socket.socketpair()
    new = [kind for kind, path in spec.namespaces.items() if not path and kind != "cgroup"]
    by_scout = entry.is_needed(spec)
    links = {} if by_scout else entry.open_links(spec)
    began = time.monotonic()
    flags = namespaces.flags_of(new)
    # The child enters v1's trees by itself, and is born in v2's: the kernel makes it wait for neither.
    doors = group.doors(spec.cgroups_path, replace(hierarchies, v2="")) if spec.cgroups_path else []
    inside, pid = False, -1
    drop_sources = _take_sources(spec, plan)
    if spec.namespaces.get("mnt"):
        from labkit.runtime.oci import copyup, hooks  # noqa: F401 - what the child may need, and will not get: see below
    try:
        with _children_in("" if by_scout else spec.namespaces.get("pid", "")):
            if by_scout:
                pid = entry.clone(spec, flags)
            else:
                pid, inside = _clone_into_group(spec.cgroups_path, hierarchies.v2, flags)
    finally:
        if pid:  # in the child they are for init
            drop_sources()
    if pid == 0:
        ours.close()
        if spec.namespaces.get("mnt"):  # the host's paths are already (entry.py), or soon, somebody else's files
            become.take_no_modules()
        init.main(spec, plan, theirs, stdio, extras, filter_, links, doors)  # never returns
    theirs.close()
    for descriptor in (*links.values(), *doors):
        os.close(descriptor)
    told(began, f"unshare {' '.join(UNSHARE_WORDS[kind] for kind in new)} --fork  # one clone(2): process {pid}")
    created = Created(pid, process.start_time(pid), ours)
    try:
        born(pid, created.started)
        if spec.cgroups_path:
            began = time.monotonic()
            if not inside:
                group.add_process(spec.cgroups_path, pid, replace(hierarchies, v1={}))
            places = group.directories(spec.cgroups_path, hierarchies)
            told(began, "\n".join(f"echo {pid} > {place}/cgroup.procs" for place in places))
        send(ours, "go")
        if spec.hooks:
            read_events(ours, until="rooted")
            _run_hooks(spec, {**extras.state, "pid": pid})
            send(ours, "hooked")
        read_events(ours, until="ready")
    except BaseException:
        created.abandon()
        raise
    return created


def _clone_into_group(path: str, tree: str, flags: int) -> tuple[int, bool]:
    """The child's pid, and whether it was born in the group ``path`` of the v2 tree."""
    if path and tree:
        with suppress(OSError, KernelError):  # before Linux 5.7; why a group takes no process, a move says
            place = os.open(os.path.join(tree, path.lstrip("/")), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                return namespaces.clone(flags, place), True
            finally:
                os.close(place)
    return namespaces.clone(flags), False


def _take_sources(spec: Spec, plan: Plan) -> Callable[[], None]:
    """Open what init is to mount and cannot take by itself (sources.py); what is returned closes it again."""
    if "user" not in spec.namespaces and not any(mount.users for mount in spec.mounts):
        return lambda: None
    from labkit.runtime.oci import sources  # local: few containers have a user namespace, or map numbers

    sources.take(plan.init, "user" in spec.namespaces)
    return sources.drop


def compiled(profile: Profile | None) -> Filter | None:
    """The filter of a profile, made before anything else is."""
    if profile is None:
        return None
    from labkit.runtime.oci import filtercache  # local: many have no profile

    return filtercache.compiled(profile)


def start_through(channel: socket.socket) -> None:
    """Say ``start`` to a first process, and hear how it went. StartError if the program cannot be executed."""
    send(channel, "start")
    try:
        read_events(channel, until="")
    finally:
        channel.close()


@contextmanager
def _children_in(path: str) -> Any:
    """Children of ours are in that pid namespace meanwhile (setns(2): it takes effect for the next child only)."""
    if not path:
        yield
        return
    home = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    try:
        namespaces.join(path, namespaces.FLAGS["pid"])
        yield
    finally:
        # The hooks that we start are in our own. (In the clone it is refused, and does not matter.)
        with suppress(LabkitError):
            namespaces.setns(home, namespaces.FLAGS["pid"])
        os.close(home)


def _run_hooks(spec: Spec, state: dict[str, Any]) -> None:
    from labkit.runtime.oci import hooks  # local: few containers have any

    for kind in ("prestart", "createRuntime"):
        hooks.run(kind, spec.hooks.get(kind, []), {**state, "status": "creating"})


def told(began: float, command: str) -> None:
    """Tell the listeners of an operation that is done, and was begun at that time."""
    log.emit("operation", where="host", command=command, seconds=time.monotonic() - began)


def send(channel: socket.socket, word: str) -> None:
    """Say a word to the child."""
    with suppress(BrokenPipeError):  # the child is gone: what it said before, or its status, tells why
        channel.sendall(f"{word}\n".encode())


def read_events(channel: socket.socket, until: str) -> None:
    """Pass the child's events on until the one named; an empty name means end of file, as execve(2) makes it."""
    with open(channel.fileno(), encoding="utf-8", closefd=False) as lines, suppress(ConnectionResetError):
        for line in lines:
            event: dict[str, Any] = json.loads(line)
            refused = become.refusal_in(event)
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
            125,
        )
