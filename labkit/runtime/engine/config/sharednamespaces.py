"""The namespaces of a container: new ones, the host's, or another container's (namespaces(7))."""

from __future__ import annotations

import os

from labkit.errors import ConflictError, UsageError
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.options import Options
from labkit.runtime.engine.record.record import Container
from labkit.runtime.kernel import process
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import MakeDirectory
from labkit.runtime.std.typing import Any

#: The specification's name of a kind, and the kernel's -> the field of Options.
_KINDS = {"pid": "pid", "ipc": "ipc", "uts": "uts", "cgroup": "cgroupns"}
#: A new user namespace has the machine's numbers: files belong to whom they belonged, and root has no rights out here.
_ALL_NUMBERS = [{"containerID": 0, "hostID": 0, "size": (1 << 32) - 2}]

#: Where Debian, Fedora and Alpine put a small init that is linked statically.
_INITS = ("/usr/bin/docker-init", "/usr/bin/tini-static", "/usr/libexec/podman/catatonit", "/usr/bin/catatonit")


def namespaces(options: Options) -> list[dict[str, str]]:
    """``linux.namespaces`` but the network's. ConflictError where another container is named that does not run."""
    found: list[dict[str, str]] = []
    for kind, field in _KINDS.items():
        mode = getattr(options, field)
        if mode.startswith("container:"):
            found.append({"type": kind, "path": path_of(mode[len("container:") :], kind)})
        elif mode != "host":
            found.append({"type": kind})
    found.append({"type": "mount"})
    if options.userns == "private":
        found.append({"type": "user"})
    return found


def mappings(options: Options) -> dict[str, Any]:
    """``linux.uidMappings`` and ``gidMappings`` of a new user namespace."""
    return {"uidMappings": _ALL_NUMBERS, "gidMappings": _ALL_NUMBERS} if options.userns == "private" else {}


def path_of(name: str, kind: str) -> str:
    """Where the namespace of a running container can be joined. NotFoundError, or ConflictError if it does not run."""
    container = record.find(name)
    state = container.state()
    if not state.runs or not process.is_alive(state.pid, state.pid_started):
        raise ConflictError(
            f"the container {container.name}, whose namespace is to be joined, is not running",
            f"labkit start {container.name}",
        )
    return f"/proc/{state.pid}/ns/{kind}"


def check(options: Options) -> None:
    """What is joined is there, and may be. NotFoundError, ConflictError, UsageError."""
    namespaces(options)
    shared_memory(options)


def shared_memory(options: Options) -> str | None:
    """What is bound to /dev/shm: a directory of the host; empty for a new file system; None for nothing."""
    if options.ipc == "none":
        return None
    if options.ipc == "host":
        return "/dev/shm"  # noqa: S108 - the host's own
    if options.ipc.startswith("container:"):
        other = record.find(options.ipc[len("container:") :])
        if other.options.ipc == "host":
            return "/dev/shm"  # noqa: S108 - as above
        if other.options.ipc != "shareable":
            # Its /dev/shm lies in its own mount namespace, from where nothing can be bound (mount(2), EINVAL).
            raise UsageError(
                f"the container {other.name} does not share its shared memory", "start that one with --ipc shareable"
            )
        return own_shared_memory(other)
    return ""


def operations(container: Container) -> list[Operation]:
    """With ``--ipc shareable`` the shared memory is mounted out here, where others can bind it."""
    if container.options.ipc != "shareable":
        return []
    from labkit.runtime.operations.files import Mount

    place = own_shared_memory(container)
    words = ("nosuid", "nodev", "noexec", "mode=1777", f"size={container.options.shm_size}")
    return [MakeDirectory(place), Mount("shm", place, "tmpfs", words)]


def own_shared_memory(container: Container) -> str:
    """Where a container with ``--ipc shareable`` has it."""
    return f"{container.run_directory}/shm"


def sees_sysfs(options: Options) -> bool:
    """Whether it can mount a sysfs: that shows a network namespace, which must belong to its user namespace."""
    return options.userns != "private" or options.network == "none"


def init_program() -> str:
    """The small first process of ``--init``: the host's tini or catatonit, as docker and podman do it.

    A program linked statically is wanted, since nothing of the host's libraries is in the container. UsageError where
    there is none.
    """
    for place in _INITS:
        if os.access(place, os.X_OK):
            return os.path.realpath(place)
    raise UsageError("--init needs a small init, and this machine has none", "apt-get install tini (or catatonit)")
