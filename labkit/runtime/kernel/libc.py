"""The way to the C library: functions bound at first use, and one funnel for errno.

``ctypes`` costs 3 ms to import, so that only what really makes system calls imports this module.
"""

from __future__ import annotations

import errno
import os

from labkit.errors import KernelError
from labkit.runtime.std import ctypes
from labkit.runtime.std.functools import cache
from labkit.runtime.std.typing import Any

#: This machine's kind, as uname -m says it now: a personality of 32 bits changes what it says (personality(2)).
MACHINE = os.uname().machine if hasattr(os, "uname") else ""


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


#: System calls that glibc has no function for, by machine (see the kernel's arch/*/syscalls tables).
SYSCALL_NUMBERS = {
    "x86_64": {"pivot_root": 155, "clone": 56, "capset": 126, "capget": 125, "bpf": 321, "seccomp": 317, "keyctl": 250},
    "aarch64": {"pivot_root": 41, "clone": 220, "capset": 91, "capget": 90, "bpf": 280, "seccomp": 277, "keyctl": 219},
}
SYSCALL_NUMBERS["x86_64"]["execveat"] = 322
SYSCALL_NUMBERS["aarch64"]["execveat"] = 281
#: Since Linux 5.1 a new one has the same number everywhere.
for _numbers in SYSCALL_NUMBERS.values():
    _numbers.update(
        {"close_range": 436, "open_tree": 428, "move_mount": 429, "openat2": 437, "mount_setattr": 442, "clone3": 435}
    )

#: What an errno usually means when containers are made: the hint of the error that the user reads.
HINTS = {
    errno.EPERM: "labkit makes namespaces, mounts and cgroups, so it must run as root with all capabilities",
    errno.ENOSYS: "this kernel was built without that system call, or a seccomp filter hides it",
    errno.ENOSPC: "no space, or a limit under /proc/sys/user/max_*_namespaces or /proc/sys/fs/mount-max is reached",
    errno.ENODEV: "this kernel has no such file system: is its module there (modprobe)?",
}


def call(name: str, *arguments: Any, what: str = "", hints: dict[int, str] | None = None) -> int:
    """Call a function of the C library that returns -1 and sets errno when it fails.

    ``what`` is the call as a reader would write it, for the error message; ``hints`` are for an errno's usual ones.
    Raises KernelError (with ``errno``).
    """
    ctypes.set_errno(0)
    result: int = getattr(_library(), name)(*[_as_c(argument) for argument in arguments])
    if result == -1:
        fail(what or name, ctypes.get_errno(), hints or HINTS)
    return result


def syscall(name: str, *arguments: Any, what: str = "", hints: dict[int, str] | None = None) -> int:
    """The same for a system call by its name in SYSCALL_NUMBERS."""
    try:
        number = SYSCALL_NUMBERS[MACHINE][name]
    except KeyError:
        raise KernelError(f"labkit does not know the number of {name}(2) on {MACHINE}", errno=errno.ENOSYS) from None
    return call("syscall", number, *arguments, what=what or name, hints=hints)


def fail(what: str, number: int, hints: dict[int, str] = HINTS) -> None:
    """Raise the KernelError for errno ``number``: the one place where errno becomes words."""
    name = errno.errorcode.get(number, str(number))
    raise KernelError(f"{what}: {os.strerror(number)} ({name})", {**HINTS, **hints}.get(number, ""), number)


def _as_c(argument: Any) -> Any:
    if isinstance(argument, str):
        return os.fsencode(argument)
    if isinstance(argument, int):
        # Every argument of syscall(2) is a long; an int would leave the register's upper half undefined.
        return ctypes.c_long(argument)
    return argument
