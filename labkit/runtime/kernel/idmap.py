"""The maps of a user namespace: which numbers of users and groups in it are which outside (user_namespaces(7))."""

from __future__ import annotations

import errno
import os

from labkit.errors import KernelError
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std.contextlib import suppress

#: (first number inside, first number outside, how many)
Range = tuple[int, int, int]


def write(pid: int, users: list[Range], groups: list[Range]) -> None:
    """Write both maps for the process ``pid``, which is in a new user namespace; each can be written once.

    Root writes them itself. Anybody else may map his own two numbers alone, and asks newuidmap(1) and newgidmap(1) for
    more. KernelError says what was refused.
    """
    privileged = os.geteuid() == 0
    if privileged or groups == [(groups[0][0], os.getegid(), 1)]:
        if not privileged:
            # Otherwise he could leave a group that keeps him from a file (user_namespaces(7), "setgroups").
            _write(f"/proc/{pid}/setgroups", "deny")
        _write(f"/proc/{pid}/gid_map", _lines(groups))
    else:
        _by_helper("newgidmap", pid, groups)
    if privileged or users == [(users[0][0], os.geteuid(), 1)]:
        _write(f"/proc/{pid}/uid_map", _lines(users))
    else:
        _by_helper("newuidmap", pid, users)


def namespace(users: list[Range], groups: list[Range]) -> int:
    """A descriptor of a new user namespace with these maps, in which no process is any more."""
    from labkit.runtime.kernel import namespaces  # local: only mounts with numbers of their own need it

    reading, writing = os.pipe()
    pid = namespaces.clone(namespaces.FLAGS["user"])
    if pid == 0:
        os.close(writing)
        os.read(reading, 1)  # until our parent has what it wants, or has died
        os._exit(0)
    try:
        write(pid, users, groups)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(pid, 0)


def become_root() -> None:
    """Become user and group 0 of the user namespace that we are in; where its maps have no 0, the first that they have.

    Our rights in the namespace do not depend on it. But who has no number in it can make no file (EOVERFLOW).
    """
    for change, table in ((os.setresgid, "gid_map"), (os.setresuid, "uid_map")):
        try:
            change(0, 0, 0)
        except OSError:  # EINVAL: there is no 0
            with suppress(OSError), open(f"/proc/self/{table}", encoding="utf-8") as ranges:
                number = int(ranges.read().split()[0])
                change(number, number, number)
    with suppress(PermissionError):  # "deny", above
        os.setgroups([])


def _lines(ranges: list[Range]) -> str:
    return "".join(f"{inside} {outside} {size}\n" for inside, outside, size in ranges)


def _write(path: str, text: str) -> None:
    try:
        with kept_open(os.open(path, os.O_WRONLY | os.O_CLOEXEC)) as descriptor:
            os.write(descriptor, text.encode())  # one write(2), or it is refused
    except OSError as error:
        hint = "the ranges must not overlap, and be within those that we have ourselves"
        what = f"{path} cannot be written: {error.strerror} ({errno.errorcode.get(error.errno or 0, '?')})"
        raise KernelError(what, hint, error.errno or 0) from error


def _by_helper(program: str, pid: int, ranges: list[Range]) -> None:
    words = [program, str(pid), *[str(number) for item in ranges for number in item]]
    try:
        child = os.posix_spawnp(program, words, os.environ)
    except FileNotFoundError:
        raise KernelError(
            f"{program} is not here, which maps more than one's own number without root",
            "install uidmap (Debian's name)",
            errno.ENOENT,
        ) from None
    if os.waitpid(child, 0)[1]:
        raise KernelError(f"{' '.join(words)} failed", "see subuid(5) and subgid(5)", errno.EPERM)
