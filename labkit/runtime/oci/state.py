"""What is known of a container between two commands: a directory of its own below ``--root``.

    ROOT/ID/state.json    the record below
    ROOT/ID/config.json   the specification as it was when the container was created; later changes do not count
    ROOT/ID/journal       what the host's side did, to be taken back
    ROOT/ID/gate          the socket at which the first process waits for ``start``

The directory is made before the first change, so that whatever dies in between leaves something that
``delete --force`` finds. A status is not believed but asked of the kernel: does that very process live, does it still
wait, is its group frozen?
"""

from __future__ import annotations

import fcntl
import os
import time

from labkit.errors import ConfigError, ConflictError, KernelError, NotFoundError, UsageError
from labkit.runtime.cgroups import freezer
from labkit.runtime.cgroups.detect import here
from labkit.runtime.kernel import process
from labkit.runtime.kernel.blocks import kernel_error
from labkit.runtime.std import json
from labkit.runtime.std.dataclasses import asdict, dataclass, field
from labkit.runtime.std.typing import Any
from labkit.runtime.text import timestamps
from labkit.runtime.text.document import from_json

OCI_VERSION = "1.2.0"

#: The short name (``comm``) of a first process that waits for ``start``; execve(2) gives it the program's.
WAITING = "labkit:[2:INIT]"

_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.")


@dataclass(frozen=True)
class BundleContainer:
    """A container's record."""

    id: str
    root: str
    bundle: str
    rootfs: str
    created: str
    """RFC 3339, in UTC."""
    annotations: dict[str, str]
    cgroups_path: str
    own_pids: bool
    """Whether it has a pid namespace of its own: then the end of its first process is the end of all."""
    ready: bool = False
    """Whether its making was completed."""
    pid: int = 0
    started: int = 0
    """The process's start time in ticks."""
    boot: str = ""
    late_hooks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Those that run when the specification is not at hand: poststart and poststop."""

    @property
    def directory(self) -> str:
        """Its directory."""
        return os.path.join(self.root, self.id)

    @property
    def gate(self) -> str:
        """The socket at which its first process waits."""
        return os.path.join(self.directory, "gate")

    @property
    def journal(self) -> str:
        """What the host's side did."""
        return os.path.join(self.directory, "journal")

    def own_group(self) -> str:
        """Where its cgroup lies. ConflictError where it has none, since it was made without root (cgroups/group.py)."""
        if not self.cgroups_path:
            raise ConflictError(f"the container {self.id} has no cgroup", "it was made without root")
        return self.cgroups_path

    def pids(self) -> list[int]:
        """Its processes, as our /proc numbers them: those in its cgroup; without one, those in its pid namespace."""
        if self.cgroups_path:
            from labkit.runtime.cgroups import group  # local: most commands only look

            return group.pids(self.cgroups_path, here())
        if not self.is_alive():
            return []
        return process.in_pid_namespace(process.pid_namespace_of(self.pid)) if self.own_pids else [self.pid]

    def is_alive(self) -> bool:
        """Whether its first process lives."""
        return self.pid > 0 and self.boot == process.boot_id() and process.is_alive(self.pid, self.started)

    def status(self) -> str:
        """``creating``, ``created``, ``running``, ``paused`` or ``stopped``."""
        if not self.is_alive():
            return "creating" if not self.ready and is_locked(self) else "stopped"
        if not self.ready:
            return "creating"
        if self.cgroups_path and freezer.is_frozen(self.cgroups_path, here()):
            return "paused"
        # Both, since a program may take that name, and who started it may have died before it removed the gate.
        return "created" if os.path.exists(self.gate) and _short_name(self.pid) == WAITING else "running"

    def oci_state(self, status: str = "") -> dict[str, Any]:
        """The object that the specification asks for (runtime.md, "State"), as hooks get it on standard input."""
        status = status or self.status()
        state: dict[str, Any] = {"ociVersion": OCI_VERSION, "id": self.id, "status": status}
        if status != "stopped":
            state["pid"] = self.pid
        state["bundle"] = self.bundle
        if self.annotations:
            state["annotations"] = self.annotations
        return state

    def save(self) -> None:
        """Write the record: whole, or as it was."""
        path = os.path.join(self.directory, "state.json")
        with kernel_error(f"{path} cannot be written"):
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                file.write(json.dumps(asdict(self)))
            os.replace(f"{path}.new", path)


def check_id(container_id: str) -> str:
    """The id itself. UsageError where it is none, in runc's words."""
    if not container_id:
        raise UsageError("container id cannot be empty")
    if not _is_id(container_id):
        raise UsageError(
            f"invalid container ID format: {container_id[:200]}", "letters, digits, '_', '+', '-' and '.' make an id"
        )
    return container_id


def _is_id(word: str) -> bool:
    return _CHARACTERS.issuperset(word) and word not in ("", ".", "..") and len(word) <= 200


def check_free(root: str, container_id: str) -> None:
    """ConflictError where the id is taken: asked first, since the group of that container would be in the way, too."""
    if os.path.lexists(os.path.join(root, check_id(container_id))):
        raise _taken(container_id)


def _taken(container_id: str) -> ConflictError:
    hint = "choose another id, or delete that container"
    return ConflictError(f"container with given ID already exists: {container_id}", hint)


def make(root: str, container_id: str) -> int:
    """Make its directory, and take its lock: the descriptor that holds it. ConflictError where the id is taken."""
    directory = os.path.join(root, check_id(container_id))
    try:
        os.makedirs(root, mode=0o700, exist_ok=True)
        os.mkdir(directory, 0o700)
    except FileExistsError:
        if not os.path.isdir(root):
            raise UsageError(f"--root {root} is no directory") from None
        raise _taken(container_id) from None
    except OSError as error:
        raise KernelError(f"{directory} cannot be made: {error.strerror}", errno=error.errno or 0) from None
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def load(root: str, container_id: str) -> BundleContainer:
    """The record. NotFoundError where there is no such container."""
    path = os.path.join(root, check_id(container_id), "state.json")
    try:
        with open(path, encoding="utf-8") as file:
            return from_json(BundleContainer, json.loads(file.read()))
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isdir(os.path.dirname(path)):
            return _unwritten(root, container_id)
        raise NotFoundError("container does not exist", "see 'labkit-oci list'") from None
    except PermissionError:
        raise ConflictError(f"{path} cannot be read: permission denied", "labkit-oci must run as root") from None
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(f"{path} is no state of a container: {error}", "delete --force removes it") from None


def _unwritten(root: str, container_id: str) -> BundleContainer:
    """A directory without a record: its maker is at it, or died right there."""
    return BundleContainer(container_id, root, "", "", "", {}, "", True)


def ids(root: str) -> list[str]:
    """What lies below ``root`` under a name that can be a container's, in order; whether it is one is not asked."""
    try:
        names = sorted(os.listdir(root))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [name for name in names if _is_id(name)]


def every(root: str) -> list[BundleContainer]:
    """All containers below ``root``, by name; what cannot be read is left out."""
    found = []
    for name in ids(root):
        try:
            found.append(load(root, name))
        except (NotFoundError, ConfigError):  # not ours, or just removed
            continue
    return found


def take_lock(container: BundleContainer, seconds: float = 10.0) -> int:
    """The container for ourselves: a descriptor to be closed. NotFoundError if it is deleted meanwhile.

    flock(2) on the directory goes with the process that holds it, however that dies.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            descriptor = os.open(container.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFoundError("container does not exist") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            if time.monotonic() > deadline:
                raise ConflictError(
                    f"another command is at work on the container {container.id}", "try again in a moment"
                ) from None
            time.sleep(0.01)
            continue
        if os.path.isdir(container.directory):
            return descriptor
        os.close(descriptor)


def is_locked(container: BundleContainer) -> bool:
    """Whether a command is at work on it."""
    try:
        descriptor = os.open(container.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def forget(container: BundleContainer) -> None:
    """Remove its directory: the record last, so that whoever is killed in between can be finished."""
    try:
        names = sorted(os.listdir(container.directory), key=lambda name: name == "state.json")
        for name in names:
            os.unlink(os.path.join(container.directory, name))
        os.rmdir(container.directory)
    except FileNotFoundError:
        return
    except OSError as error:
        raise KernelError(
            f"{container.directory} cannot be removed: {error.strerror}", "something else was put there"
        ) from None


def now() -> str:
    """The time as RFC 3339 has it, with nanoseconds, in UTC."""
    return timestamps.of_nanoseconds(time.time_ns())


def _short_name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""
