"""Resource limits of a process: prlimit(2), which Python's ``resource`` has only for numbers that fit into a long."""

from __future__ import annotations

#: In the order of their numbers on x86 and ARM (include/uapi/asm-generic/resource.h).
NAMES = (
    "RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK "
    "RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME"
).split()


def set_limit(name: str, soft: int, hard: int) -> None:
    """Limit this process and its children; 2^64-1 is no limit at all.

    KernelError, EPERM, where ``hard`` is above the present one and the caller has no CAP_SYS_RESOURCE in the first
    user namespace, or above fs.nr_open for RLIMIT_NOFILE.
    """
    _prlimit(name, (soft, hard))


def raise_hard_limit(name: str, hard: int) -> None:
    """Only that, where it is lower: for a process that will have no right to do so later."""
    soft, present = _prlimit(name)
    if present < hard:
        _prlimit(name, (soft, hard))


def _prlimit(name: str, new: tuple[int, int] | None = None) -> tuple[int, int]:
    """The limits until now, soft and hard."""
    from labkit.runtime.kernel import (
        libc,  # local: many a command only reads a specification, and needs the names above
    )
    from labkit.runtime.std import ctypes

    old = (ctypes.c_uint64 * 2)()
    limit = ctypes.byref((ctypes.c_uint64 * 2)(*new)) if new else None
    what = f"prlimit({name}, soft {new[0]}, hard {new[1]})" if new else f"prlimit({name})"
    libc.call("prlimit", 0, NAMES.index(name), limit, ctypes.byref(old), what=what)
    return old[0], old[1]
