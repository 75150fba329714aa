"""Capabilities (capabilities(7)): names, the five sets, and how a process gives them up."""

from __future__ import annotations

import ctypes

from labkit.kernel import libc

#: In the order of their numbers (include/uapi/linux/capability.h; the last one came with kernel 5.9).
NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE "
    "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN "
    "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE "
    "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
).split()

_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_VERSION_3 = 0x20080522


def numbers(names: list[str]) -> set[int]:
    """``["CAP_CHOWN"]`` as ``{0}``; KeyError-free: a name that is not in NAMES raises ValueError with that name."""
    result = set()
    for name in names:
        plain = name.upper()
        plain = plain[4:] if plain.startswith("CAP_") else plain
        if plain not in NAMES:
            raise ValueError(name)
        result.add(NAMES.index(plain))
    return result


def setpriv_words(names: list[str]) -> str:
    """A set as setpriv(1) takes it: ``-all,+chown,…``."""
    return ",".join(["-all", *[f"+{NAMES[number].lower()}" for number in sorted(numbers(names))]])


def last_known() -> int:
    """The highest capability that this kernel has."""
    # Not "ascii": that codec would be imported now, and a container's first process has left Python's library behind.
    with open("/proc/sys/kernel/cap_last_cap", encoding="utf-8") as file:
        return int(file.read())


def limit_bounding(keep: set[int]) -> None:
    """Drop all others from the bounding set: no program that is executed later can gain them (CAP_SETPCAP needed)."""
    for number in range(last_known() + 1):
        if number not in keep:
            libc.call("prctl", _PR_CAPBSET_DROP, number, 0, 0, 0, what=f"prctl(PR_CAPBSET_DROP, CAP_{NAMES[number]})")


def keep_over_setuid(keep: bool) -> None:
    """Whether the permitted set survives the change from root to another user (prctl(2), PR_SET_KEEPCAPS)."""
    libc.call("prctl", _PR_SET_KEEPCAPS, int(keep), 0, 0, 0, what="prctl(PR_SET_KEEPCAPS)")


def set_sets(effective: set[int], permitted: set[int], inheritable: set[int], ambient: set[int]) -> None:
    """The four sets of the calling thread, by capset(2) and prctl(2)."""
    known = last_known()
    masks = [sum(1 << number for number in group if number <= known) for group in (effective, permitted, inheritable)]
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    # Two blocks of (effective, permitted, inheritable): the low 32 bits, then the high ones.
    data = (ctypes.c_uint32 * 6)(*[mask & 0xFFFFFFFF for mask in masks], *[mask >> 32 for mask in masks])
    libc.syscall("capset", ctypes.byref(header), ctypes.byref(data), what="capset")
    libc.call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, what="prctl(PR_CAP_AMBIENT_CLEAR_ALL)")
    for number in sorted(ambient):
        libc.call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0, what="prctl(PR_CAP_AMBIENT_RAISE)")


def no_new_privileges() -> None:
    """From now on execve(2) grants nothing that the caller had not: set-user-ID bits are ignored."""
    libc.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, what="prctl(PR_SET_NO_NEW_PRIVS)")
