"""A seccomp profile becomes a filter: libseccomp knows the numbers of the calls, on every machine, and writes the BPF.

It is compiled before the container's process exists, so that a profile that cannot be honoured changes nothing.
"""

from __future__ import annotations

import errno
import os
import struct

from labkit.errors import ConfigError, MissingToolError
from labkit.runtime.kernel import seccomp
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.kernel.seccomp import Filter
from labkit.runtime.oci.spec.seccomp import OPERATORS, Comparison, Profile, Rule
from labkit.runtime.std import ctypes
from labkit.runtime.std.functools import cache

#: What the filter answers to a call (seccomp(2), SECCOMP_RET_*); ERRNO and TRACE have a number in the low 16 bits.
_ANSWERS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_NAME = "libseccomp.so.2"
_NUMBERED = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")

#: Those that let a call through: what is unknown to the profile needs no better answer then.
_PERMISSIVE = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE")

_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": seccomp.FLAG_TSYNC,
    "SECCOMP_FILTER_FLAG_LOG": seccomp.FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": seccomp.FLAG_SPEC_ALLOW,
}

#: __NR_SCMP_ERROR of seccomp.h: no such call at all. Other negative numbers are calls of other machines.
_NO_SUCH_CALL = -1

#: Architecture tokens (AUDIT_ARCH_*, include/uapi/linux/audit.h) whose calls the ENOSYS answer is built for.
_STUB_MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


class _Condition(ctypes.Structure):
    """``struct scmp_arg_cmp`` of seccomp.h."""

    _fields_ = (
        ("index", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("first", ctypes.c_uint64),
        ("second", ctypes.c_uint64),
    )


def compiled(profile: Profile) -> Filter:
    """The filter of a profile; calls that libseccomp does not know are left out, as runc does.

    ConfigError where libseccomp refuses a rule, MissingToolError without libseccomp.
    """
    library = _library()
    default = _answer(profile.default_action, profile.default_number)
    context = library.seccomp_init(default)
    if not context:
        raise ConfigError("config.json: libseccomp refuses linux.seccomp.defaultAction", "is it too old? see features")
    try:
        for name in profile.architectures:
            token = library.seccomp_arch_resolve_name(name.encode())
            if not token:
                raise ConfigError(f"config.json: this libseccomp does not know the architecture {name}")
            _check(library.seccomp_arch_add(context, token), f"the architecture {name}", allowed=(-errno.EEXIST,))
        for rule in profile.rules:
            # A rule that says what the default says is none to libseccomp, and redundant.
            if _answer(rule.action, rule.number) != default:
                _add(library, context, rule)
        program = _exported(library, context)
    finally:
        library.seccomp_release(context)
    return Filter(_enosys_stub(library, profile) + program, _flags(profile))


def _add(library: ctypes.CDLL, context: int, rule: Rule) -> None:
    answer = _answer(rule.action, rule.number)
    for name in rule.names:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _NO_SUCH_CALL:
            continue
        for comparisons in _alternatives(rule.comparisons):
            conditions = (_Condition * max(len(comparisons), 1))(*[_condition(item) for item in comparisons])
            result = library.seccomp_rule_add_array(context, answer, number, len(comparisons), conditions)
            # EDOM: the call is none of this machine's. EEXIST: another rule has said it already.
            _check(result, f"the rule for {name}", allowed=(-errno.EDOM, -errno.EEXIST))


def _alternatives(comparisons: list[Comparison]) -> list[list[Comparison]]:
    """All must hold; but libseccomp takes one an argument: several on one are alternatives, as in runc."""
    arguments = [item.index for item in comparisons]
    return [comparisons] if len(set(arguments)) == len(arguments) else [[item] for item in comparisons]


def _condition(comparison: Comparison) -> _Condition:
    operator = OPERATORS.index(comparison.operator) + 1  # enum scmp_compare
    if comparison.operator == "SCMP_CMP_MASKED_EQ":
        return _Condition(comparison.index, operator, comparison.mask, comparison.value)
    return _Condition(comparison.index, operator, comparison.value, 0)


def _exported(library: ctypes.CDLL, context: int) -> bytes:
    with kept_open(os.memfd_create("seccomp", os.MFD_CLOEXEC)) as descriptor:
        _check(library.seccomp_export_bpf(context, descriptor), "the profile")
        size = os.lseek(descriptor, 0, os.SEEK_END)
        return os.pread(descriptor, size, 0)


def _enosys_stub(library: ctypes.CDLL, profile: Profile) -> bytes:
    """Instructions before libseccomp's: a call with a higher number than any that the profile speaks of is ENOSYS.

    Such a call is younger than the profile. The C library tries new calls, and takes ENOSYS for "use the old one", but
    EPERM for an answer; runc has the same remedy since 1.0.0-rc93. What is not this machine's own architecture, or of
    x32 (bit 30), goes on to libseccomp's part.
    """
    if profile.default_action in _PERMISSIVE or profile.default_number == errno.ENOSYS:
        return b""
    machine = os.uname().machine
    names = [name for rule in profile.rules for name in rule.names]
    last = max((library.seccomp_syscall_resolve_name(name.encode()) for name in names), default=-1)
    if machine not in _STUB_MACHINES or last < 0:
        return b""
    load, equal, greater, answer = 0x20, 0x15, 0x25, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGT|K, BPF_RET|K
    return b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (load, 0, 0, 4),  # seccomp_data.arch
            (equal, 0, 4, _STUB_MACHINES[machine]),
            (load, 0, 0, 0),  # seccomp_data.nr
            (greater, 2, 0, 0x3FFFFFFF),
            (greater, 0, 1, last),
            (answer, 0, 0, _answer("SCMP_ACT_ERRNO", errno.ENOSYS)),
        )
    )


def _flags(profile: Profile) -> int:
    if profile.flags is None:
        # As runc since 1.2, from Linux 4.17 on: the mitigation costs much, and the kernel has others.
        return seccomp.FLAG_SPEC_ALLOW if seccomp.has_flag(seccomp.FLAG_SPEC_ALLOW) else 0
    flags = 0
    for flag in profile.flags:
        flags |= _FLAGS[flag]
    return flags


def _answer(action: str, number: int) -> int:
    return _ANSWERS[action] | (number if action in _NUMBERED else 0)


def _check(result: int, what: str, allowed: tuple[int, ...] = ()) -> None:
    if result < 0 and result not in allowed:
        raise ConfigError(f"config.json: libseccomp refuses {what} of linux.seccomp: {os.strerror(-result)}")


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_NAME)
    except OSError:
        raise MissingToolError(
            "config.json has a seccomp profile, and there is no libseccomp here to compile it",
            "install libseccomp2 (Debian's name), or take linux.seccomp out",
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_release.restype = None
    library.seccomp_arch_resolve_name.restype = ctypes.c_uint32
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    numbers = [ctypes.c_uint32, ctypes.c_int, ctypes.c_uint]
    library.seccomp_rule_add_array.argtypes = [ctypes.c_void_p, *numbers, ctypes.c_void_p]
    return library
