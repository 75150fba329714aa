"""``labkit exec``: another program in a container that runs."""

from __future__ import annotations

import os

from labkit.cgroups.detect import here
from labkit.engine import runtimes
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

    from labkit.engine.record import State
    from labkit.oci.launch import Created


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

    return start_and_wait(create, request.tty, request.detach)


def _checked(container: Container, request: Request) -> State:
    if request.workdir and not request.workdir.startswith("/"):
        raise UsageError(f"the working directory '{request.workdir}' is no absolute path", "as -w /data")
    return running(container)


def beside(container: Container, request: Request) -> oci_exec.Beside:
    """What ``execute`` would run, and beside whom. Raises what it would raise."""
    return _beside(container, request, _checked(container, request))


def _beside(container: Container, request: Request, state: State) -> oci_exec.Beside:
    specification = spec.load(container.directory)
    base = specification.process
    process = base.changed(
        args=request.args,
        env=[*base.env, *request.env, *(["TERM=xterm"] if request.tty else [])],
        cwd=request.workdir or base.cwd,
        terminal=request.tty,
    )
    return oci_exec.Beside(
        process=process,
        target=state.pid,
        cgroups_path=container.cgroups_path,
        seccomp=specification.seccomp,
        personality=specification.personality,
    )


def _by_runtime(container: Container, request: Request) -> None:
    """Become the other runtime's own exec: it knows its containers."""
    words = [runtimes.path_of(container.runtime), "--root", f"{RUN}/{container.runtime}", "exec"]
    words += [word for variable in request.env for word in ("--env", variable)]
    words += ["--cwd", request.workdir] if request.workdir else []
    words += ["--user", request.user] if request.user else []
    words += ["--tty"] if request.tty else []
    words += ["--detach"] if request.detach else []
    os.execv(words[0], [*words, container.id, *request.args])  # noqa: S606 - no shell is meant
