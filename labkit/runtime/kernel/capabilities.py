"""Capabilities (capabilities(7)): names, the five sets, and how a process gives them up."""

from __future__ import annotations

from labkit.errors import KernelError
from labkit.runtime.kernel import libc
from labkit.runtime.std import ctypes
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.functools import cache

#: In the order of their numbers (include/uapi/linux/capability.h; the last one came with kernel 5.9).
NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()
_NUMBERS = {name: number for number, name in enumerate(NAMES)}

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522


def setpriv_words(names: list[str]) -> str:
    """A set as setpriv(1) takes it: ``-all,+chown,…``, without what this kernel does not know."""
    return ",".join(["-all", *[f"+{NAMES[number].lower()}" for number in sorted(known(names)[0])]])


def known(names: list[str]) -> tuple[set[int], list[str]]:
    """The numbers of those names that this file and this kernel know, and the names that one of them does not."""
    last = last_known()
    numbers = {name: _NUMBERS.get(name.upper().removeprefix("CAP_"), last + 1) for name in names}
    found = {number for number in numbers.values() if number <= last}
    return found, [name for name, number in numbers.items() if number > last]


@cache
def last_known() -> int:
    """The highest capability that this kernel has."""
    # Not /proc/sys/kernel/cap_last_cap: a container need not have /proc. prctl(2) answers EINVAL for one too many, and
    # most kernels know all that this file does.
    for number in reversed(range(len(NAMES))):
        with suppress(KernelError):
            is_bounded_by(number)
            return number
    return -1


def bounding() -> set[int]:
    """The calling thread's bounding set."""
    return {number for number in range(last_known() + 1) if is_bounded_by(number)}


def is_bounded_by(number: int) -> bool:
    """Whether it is in the calling thread's bounding set. KernelError for one that this kernel has not."""
    return libc.call("prctl", _PR_CAPBSET_READ, number, 0, 0, 0, what="prctl(PR_CAPBSET_READ)") == 1


def limit_bounding(keep: set[int]) -> None:
    """Drop all others from the bounding set: no program that is executed later can gain them. KernelError, EPERM, where
    one is in it and we have no CAP_SETPCAP.
    """
    for number in {*range(last_known() + 1)} - keep:
        try:
            libc.call("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0, what=f"prctl(PR_CAPBSET_DROP, CAP_{NAMES[number]})")
        except KernelError:
            if is_bounded_by(number):
                raise


def keep_over_setuid(keep: bool) -> None:
    """Whether the permitted set survives the change from root to another user (prctl(2), PR_SET_KEEPCAPS)."""
    libc.call("prctl", _PR_SET_KEEPCAPS, int(keep), 0, 0, 0, what="prctl(PR_SET_KEEPCAPS)")


def sets() -> tuple[set[int], set[int], set[int]]:
    """The calling thread's effective, permitted and inheritable set (capget(2))."""
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    libc.syscall("capget", ctypes.byref(header), ctypes.byref(data), what="capget")
    masks = [data[place] | data[place + 3] << 32 for place in range(3)]
    effective, permitted, inheritable = ({bit for bit in range(64) if mask >> bit & 1} for mask in masks)
    return effective, permitted, inheritable


def set_sets(effective: set[int], permitted: set[int], inheritable: set[int], ambient: set[int]) -> set[int]:
    """The four sets of the calling thread, by capset(2) and prctl(2), as far as it may have them.

    Returns those that were asked for and could not be granted: what the caller does not have, what is outside the
    bounding set, and in the ambient set what is not permitted and inheritable, too (capabilities(7)).
    """
    _, had, inherited = sets()
    granted = [effective & permitted & had, permitted & had, inherited & inheritable]
    granted[2] |= {number for number in (inheritable - inherited) & had if is_bounded_by(number)}
    masks = [sum(1 << number for number in group) for group in granted]
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    # Two blocks of (effective, permitted, inheritable): the low 32 bits, then the high ones.
    data = (ctypes.c_uint32 * 6)(*[mask & 0xFFFFFFFF for mask in masks], *[mask >> 32 for mask in masks])
    libc.syscall("capset", ctypes.byref(header), ctypes.byref(data), what="capset")
    libc.call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, what="prctl(PR_CAP_AMBIENT_CLEAR_ALL)")
    raised = ambient & granted[1] & granted[2]
    for number in sorted(raised):
        libc.call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0, what="prctl(PR_CAP_AMBIENT_RAISE)")
    wanted = zip((effective, permitted, inheritable, ambient), (*granted, raised))
    return {number for asked, got in wanted for number in asked - got}


def no_new_privileges() -> None:
    """From now on execve(2) grants nothing that the caller had not: set-user-ID bits are ignored."""
    libc.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, what="prctl(PR_SET_NO_NEW_PRIVS)")
