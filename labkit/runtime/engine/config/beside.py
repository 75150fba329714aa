"""What ``labkit exec`` is to run, and beside whom: a container's first process, with what is asked for otherwise."""

from __future__ import annotations

import os

from labkit.runtime.engine.record.options import ExecRequest, set_variable
from labkit.runtime.engine.record.record import RUN, Container, State
from labkit.runtime.oci import spec
from labkit.runtime.oci.exec import Beside
from labkit.runtime.oci.spec import Process
from labkit.runtime.std import json
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.std.typing import Any


def of(container: Container, request: ExecRequest, state: State) -> Beside:
    """What is to run, and beside whom. UsageError for a user that the container does not know."""
    specification = spec.load(container.directory)
    return Beside(
        process=replace(specification.process, **_changes(container, request, specification.process)),
        target=state.pid,
        cgroups_path=container.cgroups_path,
        seccomp=None if request.privileged else specification.seccomp,
        personality=specification.personality,
    )


def _changes(container: Container, request: ExecRequest, base: Process) -> dict[str, Any]:
    """What is not as it is with the container's first process."""
    changes: dict[str, Any] = {"args": request.args, "cwd": request.workdir or base.cwd, "terminal": request.tty}
    capabilities, home = base.capabilities, None
    if request.user:
        from labkit.runtime.engine.config import users  # local, as below: few ask for another user

        # The groups of --group-add are the container's, and not its first user's.
        user = users.find([container.rootfs], request.user, container.options.groups)
        home = (users.find([container.rootfs], str(base.uid), []).home, user.home)
        changes |= {"uid": user.uid, "gid": user.gid, "additional_gids": user.groups}
        # As execve(2) does it: root has what is in the bounding set, and nobody else has anything.
        held = capabilities["bounding"] if user.uid == 0 else []
        capabilities = {**capabilities, "effective": held, "permitted": held}
    if request.privileged:
        from labkit.runtime.engine.config import rights

        capabilities = {**capabilities, **dict.fromkeys(("bounding", "effective", "permitted"), rights.our_own())}
    changes["capabilities"] = capabilities
    changes["env"] = _environment(container, request, base.env, home)
    return changes


def _environment(
    container: Container, request: ExecRequest, base: list[str], home: tuple[str, str] | None
) -> list[str]:
    """The first process's variables and those asked for. As with docker TERM says whether this one has a terminal, and
    another user has another HOME (``home``: the first one's and his), both unless somebody set them.
    """
    variables = dict(entry.partition("=")[::2] for entry in base)
    chosen = {entry.partition("=")[0] for entry in container.options.env}
    if container.options.tty and "TERM" not in chosen and variables.get("TERM") == "xterm":
        del variables["TERM"]
    if request.tty:
        variables.setdefault("TERM", "xterm")
    if home and "HOME" not in chosen and variables.get("HOME") == home[0]:
        variables["HOME"] = home[1]
    for entry in request.env:
        set_variable(variables, entry)
    return [f"{name}={value}" for name, value in variables.items()]


def by_runtime(container: Container, request: ExecRequest) -> list[str]:
    """The other runtime's own exec: it knows its containers. Its filter of system calls stays in any case."""
    from labkit.runtime.engine.config import runtimes

    specification = spec.load(container.directory)
    changes = _changes(container, request, specification.process)
    with open(f"{container.directory}/config.json", "rb") as file:
        document = json.load(file)["process"]
    document |= {name: changes[name] for name in ("args", "cwd", "terminal", "env", "capabilities")}
    if request.user:
        document["user"] = {
            "uid": changes["uid"],
            "gid": changes["gid"],
            "additionalGids": changes["additional_gids"],
        }
    # A file without a name: it goes with whoever reads it.
    file_of_process = os.memfd_create("process.json", 0)
    with open(file_of_process, "w", encoding="utf-8", closefd=False) as file_:
        json.dump(document, file_)
    words = [runtimes.path_of(container.runtime), "--root", f"{RUN}/{container.runtime}", "exec"]
    words += ["--process", f"/proc/self/fd/{file_of_process}"]
    words += ["--tty"] if request.tty else []
    return [*words, container.id]
