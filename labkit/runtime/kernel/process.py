"""Processes as /proc shows them (proc(5)), and as pidfd_open(2) holds on to them."""

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

_FIRST_USER_NAMESPACE = 0xEFFFFFFD
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals by which somebody ends a command."""


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


def wait_for_end(pid: int, started: int, seconds: float) -> bool:
    """Wait until a process (not only a child) has ended; whether it has. pidfd_open(2) is in kernels from 5.3 on."""
    if pid <= 0:
        return True
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        if not is_alive(pid, started):
            return True
        return bool(select.select([descriptor], [], [], seconds)[0])
    finally:
        os.close(descriptor)


def in_pid_namespace_of(pid: int) -> list[int]:
    """The processes whose pid namespace is that process's, as far as we may look (pid_namespaces(7)); itself is one."""
    return in_pid_namespace(pid_namespace_of(pid))


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
    with suppress(ProcessLookupError), kept_open(os.pidfd_open(pid)) as descriptor:
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


def die_with_parent() -> None:
    """Be killed when the process that started us dies (prctl(2), PR_SET_PDEATHSIG)."""
    from labkit.runtime.kernel import libc  # local, as below

    libc.call("prctl", 1, int(signal.SIGKILL), 0, 0, 0, what="prctl(PR_SET_PDEATHSIG)")


def become_subreaper() -> None:
    """Orphans among our descendants become our children, and not init's (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    from labkit.runtime.kernel import libc  # local, as above

    libc.call("prctl", 36, 1, 0, 0, 0, what="prctl(PR_SET_CHILD_SUBREAPER)")


def set_title(title: str) -> None:
    """What ``ps`` shows of this process.

    The short name by prctl(2) PR_SET_NAME; the long one by writing over the memory where the kernel put the arguments
    (fields 48 and 49 of /proc/PID/stat), since that is where /proc/PID/cmdline reads.
    """
    from labkit.runtime.kernel import libc  # local, as above
    from labkit.runtime.std import ctypes

    libc.call("prctl", 15, title, 0, 0, 0, what="prctl(PR_SET_NAME)")
    fields = stat_fields("self")
    start, end = int(fields[45]), int(fields[46])
    size = end - start
    if start and size > 0:
        (ctypes.c_char * size).from_address(start).raw = os.fsencode(title)[: size - 1].ljust(size, b"\0")


def is_root() -> bool:
    """Whether we are root, and not of a user namespace only, whose map tells (user_namespaces(7))."""
    if os.geteuid():
        return False
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
    from labkit.runtime.kernel import libc  # local, as above

    libc.call("prctl", 4, int(dumpable), 0, 0, 0, what="prctl(PR_SET_DUMPABLE)")


def set_personality(domain: int) -> None:
    """The execution domain, which every later execve(2) keeps (personality(2))."""
    from labkit.runtime.kernel import libc  # local, as above

    libc.call("personality", domain, what=f"personality({domain:#x})")


def set_oom_score_adj(score: int) -> None:
    """How gladly the kernel kills this process for want of memory: -1000 (never) to 1000 (proc(5)).

    KernelError for a lower score than the present one without CAP_SYS_RESOURCE in the first user namespace; whoever is
    in another one can have no such right, and keeps the score that he has.
    """
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="utf-8") as file:
            file.write(str(score))
    except PermissionError as error:
        with open("/proc/self/uid_map", encoding="utf-8") as file:
            in_the_first = file.read().split() == ["0", "0", "4294967295"]
        if in_the_first:
            hint = "a lower score than labkit's own needs CAP_SYS_RESOURCE"
            raise KernelError(
                f"write /proc/self/oom_score_adj: {error.strerror} ({score})", hint, errno.EACCES
            ) from None
