"""Processes as /proc shows them (proc(5)), and as pidfd_open(2) holds on to them; what this one is."""

from __future__ import annotations

import errno
import os
import select
import time

from labkit.errors import KernelError
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std import signal
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any

_FIRST_USER_NAMESPACE = 0xEFFFFFFD
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals by which somebody ends a command."""
#: In the order of their numbers on x86 and ARM (include/uapi/asm-generic/resource.h).
LIMITS = (
    "RLIMIT_CPU RLIMIT_FSIZE RLIMIT_DATA RLIMIT_STACK RLIMIT_CORE RLIMIT_RSS RLIMIT_NPROC RLIMIT_NOFILE RLIMIT_MEMLOCK "
    "RLIMIT_AS RLIMIT_LOCKS RLIMIT_SIGPENDING RLIMIT_MSGQUEUE RLIMIT_NICE RLIMIT_RTPRIO RLIMIT_RTTIME"
).split()


def fork_apart() -> int:
    """As fork(2), with the child in a session of its own: our terminal's keys and its end are not meant for it.

    Until it is there, none of ENDING reaches it: it stands in the middle of the command's code, and would leave that as
    the command does, by everything that is to be taken back.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        child = os.fork()
        if child == 0:
            os.setsid()
            for number in ENDING:  # one that waits is gone when it is ignored (sigaction(2))
                signal.signal(number, signal.signal(number, signal.SIG_IGN))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return child


def stat_fields(pid: int | str) -> list[str]:
    """The fields of /proc/PID/stat from the third (state) on; the second, the name, may hold spaces and brackets."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def start_time(pid: int) -> int:
    """When the process started, in clock ticks since boot; 0 if there is none. With the pid it names a process for
    ever.
    """
    try:
        return int(stat_fields(pid)[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def is_alive(pid: int, started: int) -> bool:
    """Whether this very process runs: not another that was given its number, and not a zombie."""
    try:
        fields = stat_fields(pid)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(fields[19]) == started and fields[0] not in "ZX"


def hold(pid: int) -> int:
    """A descriptor that stands for a process (pidfd_open(2), from kernel 5.3 on). ProcessLookupError where it is gone.

    In the moment in which it goes its number is still known and nobody's: EINVAL (kernel/pid.c, pidfd_prepare), as for
    a thread's number; newer kernels call that ENOENT.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from error
        raise


def wait_for_end(pid: int, started: int, seconds: float) -> bool:
    """Wait until a process (not only a child) has ended; whether it has."""
    if pid <= 0:
        return True
    with suppress(ProcessLookupError), kept_open(hold(pid)) as descriptor:
        if is_alive(pid, started):
            return bool(select.select([descriptor], [], [], seconds)[0])
    return True


def pid_namespace_of(pid: int) -> str:
    """Its name, as ``pid:[4026531836]``; empty where the process has ended, or is another user's."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def in_pid_namespace(wanted: str) -> list[int]:
    """The processes in the pid namespace of that name, as far as we may look; none for an empty one."""
    found: list[int] = []
    if not wanted:
        return found
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # it has ended, or is another user's
            if os.readlink(f"/proc/{name}/ns/pid") == wanted:
                found.append(int(name))
    return sorted(found)


def kill(pid: int, started: int, number: int) -> None:
    """Send a signal to this very process, or to nobody; a ``pid`` of 0 is nobody."""
    if pid <= 0:
        return
    with suppress(ProcessLookupError), kept_open(hold(pid)) as descriptor:
        if is_alive(pid, started):
            signal.pidfd_send_signal(descriptor, number)


def kill_all(read_pids: Callable[[], list[int]], seconds: float = 10.0) -> None:
    """SIGKILL whatever ``read_pids()`` lists until it lists nothing: a dying process may fork once more."""
    deadline = time.monotonic() + seconds
    pids = read_pids()
    while pids and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
        pids = read_pids()


def as_shell(status: int) -> int:
    """A status of wait(2) as a shell counts it: 128 and the signal's number for a death by signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def boot_id() -> str:
    """A random number that the kernel takes at each boot: pids that were written down before it mean nothing."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()


def _call(name: str, *arguments: Any, what: str = "") -> int:
    from labkit.runtime.kernel import libc  # local: many a command only looks, or reads a specification

    return libc.call(name, *arguments, what=what)


def die_with_parent() -> None:
    """Be killed when the process that started us dies (prctl(2), PR_SET_PDEATHSIG)."""
    _call("prctl", 1, int(signal.SIGKILL), 0, 0, 0, what="prctl(PR_SET_PDEATHSIG)")


def become_subreaper() -> None:
    """Orphans among our descendants become our children, and not init's (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    _call("prctl", 36, 1, 0, 0, 0, what="prctl(PR_SET_CHILD_SUBREAPER)")


def set_title(title: str) -> None:
    """What ``ps`` shows of this process.

    The short name by prctl(2) PR_SET_NAME; the long one by writing over the memory where the kernel put the arguments
    (fields 48 and 49 of /proc/PID/stat), since that is where /proc/PID/cmdline reads.
    """
    from labkit.runtime.std import ctypes  # local, as in ``_call``

    _call("prctl", 15, title, 0, 0, 0, what="prctl(PR_SET_NAME)")
    fields = stat_fields("self")
    start, end = int(fields[45]), int(fields[46])
    size = end - start
    if start and size > 0:
        (ctypes.c_char * size).from_address(start).raw = os.fsencode(title)[: size - 1].ljust(size, b"\0")


def is_root() -> bool:
    """Whether we are root, and not of a user namespace only, whose map tells (user_namespaces(7))."""
    return not os.geteuid() and _all_numbers_are_mapped()


def _all_numbers_are_mapped() -> bool:
    with open("/proc/self/uid_map", "rb", buffering=0) as file:
        return file.read().split() == [b"0", b"0", b"4294967295"]


def is_in_first_user_namespace() -> bool:
    """Whether we are in the one that the kernel began with. Its inode is a constant (the kernel's PROC_USER_INIT_INO);
    its map tells nothing, since another one's may be the same.
    """
    try:
        return os.stat("/proc/self/ns/user").st_ino == _FIRST_USER_NAMESPACE
    except FileNotFoundError:
        return True  # a kernel without user namespaces


def set_dumpable(dumpable: bool) -> None:
    """Whether others of the same user may look into this process: /proc/PID/exe, fd and mem, and ptrace(2).

    execve(2) sets it anew, and so does a change of user (prctl(2), PR_SET_DUMPABLE).
    """
    _call("prctl", 4, int(dumpable), 0, 0, 0, what="prctl(PR_SET_DUMPABLE)")


def set_personality(domain: int) -> None:
    """The execution domain, which every later execve(2) keeps (personality(2))."""
    _call("personality", domain, what=f"personality({domain:#x})")


def set_oom_score_adj(score: int) -> None:
    """How gladly the kernel kills this process for want of memory: -1000 (never) to 1000 (proc(5)).

    KernelError for a lower score than the present one without CAP_SYS_RESOURCE in the first user namespace; whoever is
    in another one can have no such right, and keeps the score that he has.
    """
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file:
            file.write(str(score))
    except PermissionError as error:
        if _all_numbers_are_mapped():
            hint = "a lower score than labkit's own needs CAP_SYS_RESOURCE"
            raise KernelError(
                f"write /proc/self/oom_score_adj: {error.strerror} ({score})", hint, errno.EACCES
            ) from None


def set_limit(name: str, soft: int, hard: int) -> None:
    """Limit this process and its children; 2^64-1 is no limit at all. (Python's ``resource`` has only numbers that fit
    into a long.)

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
    from labkit.runtime.std import ctypes

    old = (ctypes.c_uint64 * 2)()
    limit = ctypes.byref((ctypes.c_uint64 * 2)(*new)) if new else None
    what = f"prlimit({name}, soft {new[0]}, hard {new[1]})" if new else f"prlimit({name})"
    _call("prlimit", 0, LIMITS.index(name), limit, ctypes.byref(old), what=what)
    return old[0], old[1]


_MADV_DONTNEED = 4
"""madvise(2): the pages leave the process; of a file's that were never written, the next use brings them back."""


def let_code_go() -> None:
    """Take executable pages out of our resident memory: 4 MiB of the 12 that Python's start has touched. A process that
    waits for long need not keep the code that it does not run.

    They are the files' own (never written: r-x, private), so that what is still needed comes back from the page cache,
    a microsecond a page. Other mappings of files were changed when they were loaded, and must not be touched.
    """
    from labkit.runtime.std import ctypes  # local, as in ``_call``

    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
        lines = file.readlines()
    _call("malloc_trim", 0)
    for line in lines:
        place, permissions, _, _, inode, *_ = line.split(maxsplit=5)
        if permissions == "r-xp" and inode != "0":  # a file's, and neither vdso nor anonymous
            start, _, end = place.partition("-")
            first = int(start, 16)
            _call("madvise", ctypes.c_void_p(first), ctypes.c_size_t(int(end, 16) - first), _MADV_DONTNEED)
