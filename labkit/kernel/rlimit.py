"""Resource limits of a process: prlimit(2), which Python's ``resource`` has only for numbers that fit into a long."""

from __future__ import annotations

#: In the order of their numbers on x86 and ARM (include/uapi/asm-generic/resource.h).
NAMES = (
    "RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK "
    "RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME"
).split()


def set_limit(pid: int, name: str, soft: int, hard: int) -> None:
    """Limit the process ``pid`` (0 is the caller); 2^64-1 is no limit at all.

    KernelError, EPERM, where ``hard`` is above the present one and the caller has no CAP_SYS_RESOURCE in the first
    user namespace.
    """
    import ctypes  # a local import: many a command only reads a specification, and needs the names above

    from labkit.kernel import libc

    limit = (ctypes.c_uint64 * 2)(soft, hard)
    what = f"prlimit({name}, soft {soft}, hard {hard})"
    libc.call("prlimit", pid, NAMES.index(name), ctypes.byref(limit), None, what=what)
