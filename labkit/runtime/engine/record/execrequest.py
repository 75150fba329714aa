"""What ``labkit exec`` is asked for."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.engine.record.record import Container, State, running
from labkit.runtime.std.dataclasses import dataclass, field


@dataclass(frozen=True)
class ExecRequest:
    """What is to run."""

    args: list[str]
    env: list[str] = field(default_factory=list)
    """``NAME=VALUE``; ``NAME`` alone takes the container's own away."""
    workdir: str = ""
    user: str = ""
    interactive: bool = False
    tty: bool = False
    detach: bool = False
    privileged: bool = False


def checked(container: Container, request: ExecRequest) -> State:
    """The container's state. ConflictError where it does not run, UsageError for what cannot be meant."""
    if request.workdir and not request.workdir.startswith("/"):
        raise UsageError(f"the working directory '{request.workdir}' is no absolute path", "as -w /data")
    return running(container)
