"""Another process beside a container's first one: its namespaces, its cgroup, its root (setns(2))."""

from __future__ import annotations

import os
from typing import Any

from labkit.cgroups import group
from labkit.cgroups.detect import Hierarchies
from labkit.errors import LabkitError
from labkit.kernel import namespaces
from labkit.oci import init
from labkit.oci.launch import StartError
from labkit.oci.spec import Process

#: The mount namespace last: after it /proc is the container's, and paths of the host mean nothing any more.
_ORDER = ("cgroup", "ipc", "uts", "net", "pid", "mnt")


def run(process: Process, target: int, cgroups_path: str, hierarchies: Hierarchies) -> int:
    """Run a process in the namespaces of the process ``target`` and return its wait status (os.waitpid).

    It has our standard input, output and error. StartError if it cannot be executed.
    """
    mine = {kind: namespaces.inode("self", kind) for kind in _ORDER}
    links = {kind: os.open(f"/proc/{target}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in _ORDER}
    reader, writer = os.pipe()
    helper = os.fork()
    if helper == 0:
        _enter_and_run(process, links, mine, cgroups_path, hierarchies, writer)
    os.close(writer)
    for descriptor in links.values():
        os.close(descriptor)
    with open(reader, encoding="utf-8") as answers:
        text = answers.read()
    _, status = os.waitpid(helper, 0)
    if text:
        message, hint, code = text.split("\0")
        raise StartError(message, hint, int(code))
    return status


def _enter_and_run(
    process: Process,
    links: dict[str, int],
    mine: dict[str, int],
    cgroups_path: str,
    hierarchies: Hierarchies,
    writer: int,
) -> None:
    """In the helper: join, fork once more for the pid namespace (only a child is in it), pass its end on as our own."""

    def tell(event: str, **fields: Any) -> None:
        os.write(writer, "\0".join((fields["message"], fields["hint"], str(fields["status"]))).encode())

    try:
        if cgroups_path:
            group.add_process(cgroups_path, os.getpid(), hierarchies)
        for kind in _ORDER:
            if os.fstat(links[kind]).st_ino != mine[kind]:
                namespaces.setns(links[kind], namespaces.FLAGS[kind])
        child = os.fork()
        if child == 0:
            init.execute(process, tell)
        os.close(writer)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            os._exit(128 + os.WTERMSIG(status))
        os._exit(os.WEXITSTATUS(status))
    except LabkitError as error:
        tell("error", message=error.message, hint=error.hint, status=125)
    except BaseException as error:
        tell("error", message=f"exec failed: {error!r}", hint="this is a bug of labkit: please report it", status=125)
    finally:
        os._exit(125)
