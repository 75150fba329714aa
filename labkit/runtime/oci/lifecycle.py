"""What create, start, kill, delete, pause and resume do to a container (runtime.md, "Operations").

Every message that a caller may look for is runc's.
"""

from __future__ import annotations

import os

from labkit import log
from labkit.errors import ConfigError, ConflictError, KernelError, LabkitError
from labkit.runtime.cgroups import freezer, group, placement
from labkit.runtime.cgroups.detect import here
from labkit.runtime.kernel import process
from labkit.runtime.kernel.blocks import kept_open, kernel_error, short_path
from labkit.runtime.oci import launch, plan, spec, state
from labkit.runtime.oci.channel import Start, start_through
from labkit.runtime.oci.launch import Created
from labkit.runtime.oci.spec import Spec
from labkit.runtime.oci.state import BundleContainer
from labkit.runtime.operations import Operation
from labkit.runtime.operations.journal import Journal, perform
from labkit.runtime.std import signal, socket
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import asdict, dataclass, replace
from labkit.runtime.std.shlex import quote

#: Seconds for a process to end after SIGKILL, on a slow machine; and before we look for what keeps it from that.
_PATIENCE = 10.0
_AT_ONCE = 1.0


@dataclass(frozen=True)
class Creation:
    """What ``create`` and ``run`` are asked for."""

    root: str
    id: str
    bundle: str
    specification: Spec
    console: socket.socket | None = None
    preserve_fds: int = 0
    new_keyring: bool = True
    no_pivot: bool = False
    explained: bool = False
    """Whether the log is to hear of each operation."""
    waits_at_gate: bool = True
    """``start`` is another command; or else our own, through the channel of ``launch``."""


def create(request: Creation) -> tuple[BundleContainer, Created]:
    """Make the container; its first process waits for ``start``. Whatever fails: nothing is left of it."""
    state.check_free(request.root, request.id)
    specification = _with_passed_descriptors(request.specification)
    directory = os.path.join(request.root, request.id)
    specification, nodes = _with_nodes(specification, os.path.join(directory, "devices"))
    specification, place = _with_notify(specification, directory)
    specification = _with_group(specification, request.id)
    # Before anything is made: what is refused here changes nothing, and has no end for which its hooks would run.
    todo = plan.make(specification, here(), request.no_pivot)
    lock = state.make(request.root, request.id)
    container = BundleContainer(
        id=request.id,
        root=request.root,
        bundle=request.bundle,
        rootfs=specification.rootfs,
        created=state.now(),
        annotations=specification.annotations,
        cgroups_path=specification.cgroups_path,
        own_pids=specification.namespaces.get("pid") == "",
        boot=process.boot_id(),
        late_hooks={
            kind: [asdict(hook) for hook in hooks]
            for kind, hooks in specification.hooks.items()
            if kind in ("poststart", "poststop")
        },
    )
    try:
        container.save()
        Journal(container.journal).run([*nodes, *place])
        _keep_config(container)
        Journal(container.journal).run(todo.host)
        container, created = _launch(request, specification, todo, container)
    except BaseException:
        with suppress(LabkitError):  # the first error is the one to read
            _take_back(state.load(request.root, request.id))
        os.close(lock)
        raise
    os.close(lock)
    return container, created


def _with_group(specification: Spec, container_id: str) -> Spec:
    """Where its group lies, and what of its limits can be set by who we are."""
    if process.is_root():
        return replace(specification, cgroups_path=placement.path(specification.cgroups_path, container_id))
    from labkit.runtime.cgroups import group  # local: most commands only look

    path, limits = group.delegated(specification.cgroups_path, container_id, specification.resources, here())
    return replace(specification, cgroups_path=path, resources=limits)


def _with_nodes(specification: Spec, directory: str) -> tuple[Spec, list[Operation]]:
    if not specification.devices or "user" not in specification.namespaces:
        return specification, []
    from labkit.runtime.oci.root import nodeoutside  # local: few containers have both

    return nodeoutside.make(specification, directory)


def _with_notify(specification: Spec, directory: str) -> tuple[Spec, list[Operation]]:
    if not os.environ.get("NOTIFY_SOCKET"):
        return specification, []
    from labkit.runtime.oci import notify  # local: few are started by somebody who wants to hear that they are ready

    return notify.announced(specification, directory)


def _launch(
    request: Creation, specification: Spec, todo: plan.Plan, container: BundleContainer
) -> tuple[BundleContainer, Created]:
    born: list[BundleContainer] = []

    def note(pid: int, started: int) -> None:
        born.append(replace(container, pid=pid, started=started))
        born[0].save()

    gate = _listen(container.gate) if request.waits_at_gate else None
    start = Start(
        specification,
        todo,
        here(),
        explained=request.explained,
        console=request.console,
        gate=gate,
        preserve_fds=request.preserve_fds + _listen_fds(),
        keyring=f"_ses.{container.id}" if request.new_keyring else "",
        state=container.oci_state("creating") if specification.hooks else {},
    )
    created = launch.create(start, note)
    if gate:
        gate.close()
    ready = replace(born[0], ready=True)
    try:
        ready.save()
    except BaseException:
        created.abandon()
        raise
    return ready, created


def _listen_fds() -> int:
    """Sockets that systemd passed on: sd_listen_fds(3)."""
    count = os.environ.get("LISTEN_FDS", "")
    return int(count) if count.isdigit() else 0


def _with_passed_descriptors(specification: Spec) -> Spec:
    if not _listen_fds():
        return specification
    env = [*specification.process.env, f"LISTEN_FDS={_listen_fds()}", "LISTEN_PID=1"]
    return replace(specification, process=replace(specification.process, env=env))


def _keep_config(container: BundleContainer) -> None:
    """Its specification as it is now: what changes in the bundle later means nothing for it."""
    with open(os.path.join(container.bundle, "config.json"), "rb") as source:
        text = source.read()
    with open(os.path.join(container.directory, "config.json"), "wb") as copy:
        copy.write(text)


def _listen(path: str) -> socket.socket:
    gate = socket.socket(socket.AF_UNIX)
    with kernel_error(f"the socket {path} cannot be made"):
        with short_path(path) as place:
            gate.bind(place)
        gate.listen(8)
    return gate


def start(container: BundleContainer, warn: Callable[[str], None]) -> None:
    """Let its first process execute the program. ConflictError where it is not waiting for that."""
    status = container.status()
    if status == "stopped":
        raise ConflictError("cannot start a container that has stopped", "a container runs once: create another one")
    if status == "running":
        raise ConflictError("cannot start an already running container")
    if status != "created":
        raise ConflictError(f"cannot start a container in the {status} state")
    from labkit.runtime.oci.console import connect  # local: ``run`` needs no gate

    try:
        connection = connect(container.gate)
    except LabkitError:
        raise ConflictError("cannot start an already running container", "another command did it just now") from None
    start_through(connection)
    with suppress(FileNotFoundError):
        os.unlink(container.gate)
    run_poststart(container, warn)


def run_poststart(container: BundleContainer, warn: Callable[[str], None]) -> None:
    """Its poststart hooks; one that fails stops the container, and is the error."""
    if not container.late_hooks.get("poststart"):
        return
    from labkit.runtime.oci import hooks  # local: few containers have any

    try:
        hooks.run("poststart", _hooks(container, "poststart"), container.oci_state("running"))
    except LabkitError:
        with suppress(LabkitError):
            _end(container)
            _run_poststop(container, warn)
        raise


def kill(container: BundleContainer, number: int, everyone: bool = False) -> None:
    """Send a signal to its first process, or to all of its processes. ConflictError where it does not run; to all that
    are left is no error when none is, for who calls it after the first one's end: containerd does.

    SIGKILL to the first process of a container without a pid namespace of its own goes to all: nothing else would end
    the others. A paused one is let go on then, since v1 keeps a frozen process from dying.
    """
    if not container.is_alive() and not (everyone or not container.own_pids):
        raise ConflictError("container not running", "see 'labkit-oci state'")
    if everyone or (number == signal.SIGKILL and not container.own_pids):
        pids = container.pids()
        if not pids and not container.is_alive() and not everyone:
            raise ConflictError("container not running", "see 'labkit-oci state'")
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        _tell_kill(number, pids)
    else:
        process.kill(container.pid, container.started, number)
        _tell_kill(number, [container.pid])
    if number == signal.SIGKILL and container.cgroups_path:
        with suppress(LabkitError, FileNotFoundError):
            freezer.thaw(container.cgroups_path, here())


def _tell_kill(number: int, pids: list[int]) -> None:
    if pids and log.is_heard():
        log.emit("operation", where="host", command=f"kill -{number} {' '.join(map(str, pids))}", seconds=0.0)


def delete(root: str, container_id: str, force: bool, warn: Callable[[str], None]) -> None:
    """Remove a container that has stopped, or any with ``force``. ConflictError where it runs.

    One that was created and never started is ended, as runc does.
    """
    try:
        container = state.load(root, container_id)
    except ConfigError:
        if not force:
            raise
        container = BundleContainer(container_id, root, "", "", "", {}, "", True)
    with kept_open(state.take_lock(container)):
        container = container if not container.bundle else state.load(root, container_id)
        status = container.status()
        if status in ("running", "paused", "creating") and not force and container.is_alive():
            raise ConflictError(
                f"cannot delete container {container_id} that is not stopped: {status}",
                f"labkit-oci kill {container_id} KILL, or delete --force",
            )
        _take_back(container, warn)


def _take_back(container: BundleContainer, warn: Callable[[str], None] = lambda message: None) -> None:
    """End it and undo everything. What cannot be undone stays in its journal, and is the error."""
    _end(container)
    Journal(container.journal).undo()
    _run_poststop(container, warn)
    state.forget(container)
    log.emit("operation", where="host", command=f"rm -r {quote(container.directory)}", seconds=0.0)


def _end(container: BundleContainer) -> None:
    inside = process.pid_namespace_of(container.pid) if container.own_pids and container.is_alive() else ""
    if container.is_alive():
        process.kill(container.pid, container.started, signal.SIGKILL)
        _tell_kill(signal.SIGKILL, [container.pid])
    if not container.pid:
        return
    if container.cgroups_path and container.own_pids:
        with suppress(LabkitError, FileNotFoundError):
            freezer.thaw(container.cgroups_path, here())  # v1: what is frozen does not die
    elif container.cgroups_path:
        group.kill(container.cgroups_path, here(), _AT_ONCE)
    if process.wait_for_end(container.pid, container.started, _AT_ONCE) and (
        container.own_pids or not container.pids()
    ):
        return
    with freezer.let_go(process.in_pid_namespace(inside) or container.pids(), here()):
        if not inside and container.cgroups_path:
            group.kill(container.cgroups_path, here(), _PATIENCE)
        ended = process.wait_for_end(container.pid, container.started, _PATIENCE)
    if not ended:
        raise KernelError(f"the container {container.id} does not end", "see its processes with ps, and dmesg")


def _hooks(container: BundleContainer, kind: str) -> list[spec.Hook]:
    return [spec.Hook(**fields) for fields in container.late_hooks.get(kind, [])]


def _run_poststop(container: BundleContainer, warn: Callable[[str], None]) -> None:
    if container.late_hooks.get("poststop"):
        from labkit.runtime.oci import hooks  # local: few containers have any

        for failure in hooks.run_all("poststop", _hooks(container, "poststop"), container.oci_state("stopped")):
            warn(failure)


def pause(container: BundleContainer) -> None:
    """Stop all of its processes where they are. ConflictError where it does not run, or is paused already."""
    if container.status() not in ("running", "created"):
        raise ConflictError(f"container not running: it is {container.status()}", "see 'labkit-oci state'")
    perform(freezer.operation(container.own_group(), here(), frozen=True), "host")


def resume(container: BundleContainer) -> None:
    """Let its processes go on. ConflictError where it is not paused."""
    if container.status() != "paused":
        raise ConflictError("container not paused", "see 'labkit-oci state'")
    perform(freezer.operation(container.own_group(), here(), frozen=False), "host")
