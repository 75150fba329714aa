"""The parent's half of a start: clone the container's first process, put it into its cgroup, tell it when to go on.

The child waits for ``go``, enters its cgroups, does the plan's operations, says ``ready`` and waits for ``start``; then
it executes the program, which closes its end of the channel (channel.py). So nothing of the program runs before the
container is complete, and the parent learns how far the child came, also when either of them dies.

Where ``start`` is another command, later, the child waits at a gate instead: a listening socket with a name
(``Start.gate``). What connects to it is heard even if the child is not there yet, so that a start cannot be lost.
"""

from __future__ import annotations

import os
import time

from labkit import log
from labkit.errors import KernelError, LabkitError
from labkit.runtime.cgroups import group
from labkit.runtime.kernel import namespaces, process
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.oci import become, entry, init
from labkit.runtime.oci.channel import Inherited, Start, read_events, send, start_through
from labkit.runtime.oci.plan import Plan
from labkit.runtime.oci.spec import Spec
from labkit.runtime.std import signal, socket
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import dataclass, replace
from labkit.runtime.std.typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.runtime.kernel.seccomp import Filter
    from labkit.runtime.oci.spec.seccomp import Profile

#: Kind of namespace -> unshare(1)'s option, and nsenter(1)'s.
UNSHARE_WORDS = {kind: "--mount" if kind == "mnt" else f"--{kind}" for kind in namespaces.FLAGS}


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


def create(start: Start, born: Callable[[int, int], None] = lambda pid, started: None) -> Created:
    """Clone the process and let it prepare itself.

    ``born`` hears its pid and start time before it does anything. The caller has one thread, has done ``plan.host``,
    and will wait for the child.
    """
    spec, hierarchies = start.spec, start.hierarchies
    filter_ = compiled(spec.seccomp)
    ours, theirs = socket.socketpair()
    new = [kind for kind, path in spec.namespaces.items() if not path and kind != "cgroup"]
    by_scout = entry.is_needed(spec)
    links = {} if by_scout else entry.open_links(spec)
    began = time.monotonic()
    # The child enters v1's trees by itself, and is born in v2's: the kernel makes it wait for neither.
    doors = group.doors(spec.cgroups_path, replace(hierarchies, v2="")) if spec.cgroups_path else []
    plan, copies = _with_sources(spec, start.plan)
    given = Inherited(theirs, filter_, links, doors, copies)
    if spec.namespaces.get("mnt"):
        from labkit.runtime.oci import hooks  # noqa: F401 - what the child may need, and will not get: see below
        from labkit.runtime.oci.root import copyup  # noqa: F401 - what the child may need, and will not get: see below
    inside, pid = False, -1
    try:
        with _children_in("" if by_scout else spec.namespaces.get("pid", "")):
            if by_scout:
                pid = entry.clone(spec, namespaces.flags_of(new))
            else:
                pid, inside = _clone_into_group(spec.cgroups_path, hierarchies.v2, namespaces.flags_of(new))
    finally:
        if pid:  # in the child they are for init
            given.close()
    if pid == 0:
        ours.close()
        if spec.namespaces.get("mnt"):  # the host's paths are already (entry.py), or soon, somebody else's files
            become.take_no_modules()
        init.main(replace(start, plan=plan), given)  # never returns
    told(began, f"unshare {' '.join(UNSHARE_WORDS[kind] for kind in new)} --fork  # one clone(2): process {pid}")
    created = Created(pid, process.start_time(pid), ours)
    try:
        born(pid, created.started)
        if spec.cgroups_path:
            _enter_groups(start, pid, inside)
        send(ours, "go")
        if spec.hooks:
            read_events(ours, until="rooted")
            _run_hooks(spec, {**start.state, "pid": pid})
            send(ours, "hooked")
        read_events(ours, until="ready")
    except BaseException:
        created.abandon()
        raise
    return created


def _enter_groups(start: Start, pid: int, inside: bool) -> None:
    """Move the process into v2's group, unless it was born in there, and tell of all that it is in then."""
    began, path = time.monotonic(), start.spec.cgroups_path
    if not inside:
        group.add_process(path, pid, replace(start.hierarchies, v1={}))
    places = group.directories(path, start.hierarchies)
    told(began, "\n".join(f"echo {pid} > {place}/cgroup.procs" for place in places))


def _clone_into_group(path: str, tree: str, flags: int) -> tuple[int, bool]:
    """The child's pid, and whether it was born in the group ``path`` of the v2 tree."""
    if path and tree:
        directory = os.path.join(tree, path.lstrip("/"))
        # KernelError before Linux 5.7; why a group takes no process, a move says.
        with suppress(OSError, KernelError), kept_open(os.open(directory, os.O_RDONLY | os.O_DIRECTORY)) as place:
            return namespaces.clone(flags, place), True
    return namespaces.clone(flags), False


def _with_sources(spec: Spec, plan: Plan) -> tuple[Plan, list[int]]:
    """The plan with what init is to mount and cannot take by itself (sources.py), and the descriptors of that."""
    if "user" not in spec.namespaces and not any(mount.users for mount in spec.mounts):
        return plan, []
    from labkit.runtime.oci import sources  # local: few containers have a user namespace, or map numbers

    return sources.take(plan, "user" in spec.namespaces)


def compiled(profile: Profile | None) -> Filter | None:
    """The filter of a profile, made before anything else is."""
    if profile is None:
        return None
    from labkit.runtime.oci import filtercache  # local: many have no profile

    return filtercache.compiled(profile)


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
