"""``labkit exec``: another program in a container that runs."""

from __future__ import annotations

import os

from labkit.cgroups.detect import here
from labkit.engine import events, runtimes
from labkit.engine.lifecycle import running
from labkit.engine.record import RUN, Container
from labkit.errors import UsageError
from labkit.oci import exec as oci_exec
from labkit.oci import spec
from labkit.oci.foreground import start_and_wait
from labkit.value import Value, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

    from labkit.engine.record import State
    from labkit.oci.launch import Created
    from labkit.oci.spec import Process


class Request(Value):
    """What is to run."""

    args: list[str]
    env: list[str] = field(default_factory=list)
    workdir: str = ""
    user: str = ""
    tty: bool = False
    detach: bool = False
    privileged: bool = False


def execute(container: Container, request: Request) -> int:
    """Run a program beside the container's first process; its exit status as a shell counts it, or 0 if detached.

    It has our standard input, output and error. ConflictError where the container does not run.
    """
    state = _checked(container, request)
    if container.runtime != runtimes.OWN:
        _by_runtime(container, request)
    wanted = _beside(container, request, state)

    def create(console: socket.socket | None) -> Created:
        return oci_exec.create(wanted.changed(console=console), here())

    events.note("exec_start", container, command=request.args)
    code = start_and_wait(create, request.tty, request.detach)
    if not request.detach:
        events.note("exec_die", container, exit_code=code)
    return code


def _checked(container: Container, request: Request) -> State:
    if request.workdir and not request.workdir.startswith("/"):
        raise UsageError(f"the working directory '{request.workdir}' is no absolute path", "as -w /data")
    return running(container)


def beside(container: Container, request: Request) -> oci_exec.Beside:
    """What ``execute`` would run, and beside whom. Raises what it would raise."""
    return _beside(container, request, _checked(container, request))


def _beside(container: Container, request: Request, state: State) -> oci_exec.Beside:
    specification = spec.load(container.directory)
    return oci_exec.Beside(
        process=specification.process.changed(**_changes(container, request, specification.process)),
        target=state.pid,
        cgroups_path=container.cgroups_path,
        seccomp=None if request.privileged else specification.seccomp,
        personality=specification.personality,
    )


def _changes(container: Container, request: Request, base: Process) -> dict[str, Any]:
    """What is not as it is with the container's first process."""
    changes: dict[str, Any] = {
        "args": request.args,
        "cwd": request.workdir or base.cwd,
        "terminal": request.tty,
    }
    capabilities, variables = base.capabilities, base.env
    if request.user:
        from labkit.engine import users  # local, as below: few ask for another user

        user = users.find([container.rootfs], request.user, [])
        changes |= {"uid": user.uid, "gid": user.gid, "additional_gids": user.groups}
        variables = [f"HOME={user.home}" if entry.startswith("HOME=") else entry for entry in variables]
        # As execve(2) does it: root has what is in the bounding set, and nobody else has anything.
        held = capabilities["bounding"] if user.uid == 0 else []
        capabilities = {**capabilities, "effective": held, "permitted": held}
    if request.privileged:
        from labkit.engine import rights

        capabilities = {**capabilities, **dict.fromkeys(("bounding", "effective", "permitted"), rights.our_own())}
        changes["no_new_privileges"] = False
    changes["capabilities"] = capabilities
    changes["env"] = [*variables, *request.env, *(["TERM=xterm"] if request.tty else [])]
    return changes


def _by_runtime(container: Container, request: Request) -> None:
    """Become the other runtime's own exec: it knows its containers. Its filter of system calls stays in any case."""
    import json  # local: only for other runtimes

    specification = spec.load(container.directory)
    changes = _changes(container, request, specification.process)
    with open(f"{container.directory}/config.json", "rb") as file:
        process = json.load(file)["process"]
    process |= {name: changes[name] for name in ("args", "cwd", "terminal", "env", "capabilities")}
    process["noNewPrivileges"] = changes.get("no_new_privileges", process.get("noNewPrivileges", False))
    if request.user:
        process["user"] = {
            "uid": changes["uid"],
            "gid": changes["gid"],
            "additionalGids": changes["additional_gids"],
        }
    # A file without a name: it goes with whoever reads it.
    file_of_process = os.memfd_create("process.json", 0)
    with open(file_of_process, "w", encoding="utf-8", closefd=False) as file_:
        json.dump(process, file_)
    words = [runtimes.path_of(container.runtime), "--root", f"{RUN}/{container.runtime}", "exec"]
    words += ["--process", f"/proc/self/fd/{file_of_process}"]
    words += ["--tty"] if request.tty else []
    words += ["--detach"] if request.detach else []
    os.execv(words[0], [*words, container.id])  # noqa: S606 - no shell is meant
