"""The way into a user or a time namespace, for which one clone(2) is not enough.

A *scout* goes ahead: it joins what is to be joined, makes the new user and time namespace and waits while the parent
writes their maps and offsets (a time namespace's clocks are fixed from its first process on, time_namespaces(7)). Then
it clones the container's first process, in all other new namespaces, as a child of the parent (CLONE_PARENT), and
ends. So all that is new belongs to the new user namespace, and root in there has rights over that, and nothing else.
"""

from __future__ import annotations

import errno
import os

from labkit.errors import KernelError
from labkit.runtime.kernel import idmap, namespaces
from labkit.runtime.kernel.blocks import kernel_error
from labkit.runtime.oci import become
from labkit.runtime.oci.spec import Spec
from labkit.runtime.std import socket
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import NoReturn

#: The mount namespace last: after it, paths are the container's.
ORDER = ("cgroup", "ipc", "uts", "net", "time", "pid", "mnt")
_FIRST = ("user", "time")


def is_needed(spec: Spec) -> bool:
    """Whether the container has a user or a time namespace that is not the host's."""
    return any(kind in spec.namespaces for kind in _FIRST)


def clone(spec: Spec, flags: int) -> int:
    """As ``namespaces.clone``: 0 in the container's first process, its pid in ours. KernelError, and then no process.

    ``flags`` are those of all new namespaces, without the cgroup's, which the process makes by itself later.
    """
    links = open_links(spec)
    ours, theirs = socket.socketpair()
    scout = namespaces.clone(0)
    if scout == 0:
        ours.close()
        if _scout(spec, flags, links, theirs):
            return 0
    theirs.close()
    for link in links.values():
        os.close(link)
    try:
        return _serve(spec, scout, ours)
    finally:
        ours.close()
        os.waitpid(scout, 0)


def open_links(spec: Spec) -> dict[str, int]:
    """Every namespace that is joined, opened before anything is made, and known to be of its kind."""
    links: dict[str, int] = {}
    try:
        for kind in ("user", *ORDER):
            path = spec.namespaces.get(kind)
            # The one that we are in already need not be joined, and a user namespace cannot be (setns(2), EINVAL).
            if path and not _is_ours(path, kind):
                links[kind] = namespaces.open_link(path, kind)
    except BaseException:
        for link in links.values():
            os.close(link)
        raise
    return links


def _is_ours(path: str, kind: str) -> bool:
    with suppress(OSError):  # open_link says it better
        return os.path.samestat(os.stat(path), os.stat(f"/proc/self/ns/{kind}"))
    return False


def _serve(spec: Spec, scout: int, channel: socket.socket) -> int:
    """The parent's side: maps and offsets when the scout has its namespaces, then the pid that it tells."""
    try:
        _hear(channel)
        if spec.namespaces.get("user") == "":
            users, groups = (
                [(item.inside, item.outside, item.size) for item in mappings]
                for mappings in (spec.uid_mappings, spec.gid_mappings)
            )
            idmap.write(scout, users, groups)
        if spec.time_offsets:
            _write_offsets(scout, spec.time_offsets)
        channel.sendall(b"go\n")
        return int(_hear(channel))
    except BaseException:
        channel.close()  # the scout ends, too
        raise


def _hear(channel: socket.socket) -> str:
    """A word of the scout; its error is ours."""
    text = channel.recv(4096).decode()
    word, _, rest = text.rstrip("\n").partition(" ")
    if word == "failed" or not word:
        number, _, message = rest.partition(" ")
        raise KernelError(
            message or "the namespaces cannot be made: the process that makes them died", "", int(number or 0)
        )
    return word


def _write_offsets(pid: int, offsets: dict[str, tuple[int, int]]) -> None:
    lines = "".join(f"{clock} {seconds} {nanoseconds}\n" for clock, (seconds, nanoseconds) in offsets.items())
    what = "/proc/PID/timens_offsets cannot be written"
    hint = "a clock of the container must not be before its start, nor beyond the year 2262"
    with kernel_error(what, hint), open(f"/proc/{pid}/timens_offsets", "w", encoding="utf-8") as file:
        file.write(lines)


def _scout(spec: Spec, flags: int, links: dict[str, int], channel: socket.socket) -> bool:
    """Whether this is the container's first process now; the scout itself never returns."""
    try:
        become.claim(spec.process)
        join(links)
        first = namespaces.flags_of([kind for kind in _FIRST if spec.namespaces.get(kind) == ""])
        if first:
            namespaces.unshare(first)
        channel.sendall(b"made\n")
        if channel.recv(16) != b"go\n":
            os._exit(1)
        if spec.namespaces.get("user") == "":
            idmap.become_root()
        pid = namespaces.clone(flags & ~first | namespaces.CLONE_PARENT)
        if pid == 0:
            channel.close()
            return True
        channel.sendall(f"{pid}\n".encode())
    except KernelError as error:
        _fail(channel, error.errno, error.message)
    except OSError as error:
        _fail(channel, error.errno or 0, f"the namespaces cannot be made: {error}")
    os._exit(0)


def _fail(channel: socket.socket, number: int, message: str) -> NoReturn:
    with suppress(OSError):
        channel.sendall(f"failed {number} {message}\n".encode())
    os._exit(1)


def join(links: dict[str, int]) -> None:
    """Join the namespaces behind open descriptors, by kind; in a user namespace we become its root.

    Those that are the host's with the host's rights; those of the joined user namespace with the rights in it.
    """
    later = []
    for kind in ORDER:
        if kind in links:
            try:
                namespaces.setns(links[kind], namespaces.FLAGS[kind])
            except KernelError as error:
                if error.errno != errno.EPERM or "user" not in links:
                    raise
                later.append(kind)
    if "user" in links:
        namespaces.setns(links["user"], namespaces.FLAGS["user"])
        idmap.become_root()
    for kind in later:
        namespaces.setns(links[kind], namespaces.FLAGS[kind])
