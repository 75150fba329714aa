"""seccomp(2): a filter of system calls, which a process puts on itself and all that it will ever execute."""

from __future__ import annotations

import errno

from labkit.errors import KernelError
from labkit.runtime.kernel import libc
from labkit.runtime.std import ctypes
from labkit.runtime.std.dataclasses import dataclass

#: include/uapi/linux/seccomp.h
SET_MODE_FILTER = 1
FLAG_TSYNC, FLAG_LOG, FLAG_SPEC_ALLOW = 1, 2, 4


@dataclass(frozen=True)
class Filter:
    """A compiled filter: classic BPF, 8 bytes an instruction (``struct sock_filter``), and flags of seccomp(2)."""

    program: bytes
    flags: int = 0

    def load(self) -> None:
        """From now on every call of this thread is asked about. KernelError, EACCES, without CAP_SYS_ADMIN or
        no_new_privs.
        """
        code = ctypes.create_string_buffer(self.program, len(self.program))
        program = _SockFprog(len(self.program) // 8, ctypes.addressof(code))
        libc.syscall("seccomp", SET_MODE_FILTER, self.flags, ctypes.byref(program), what="seccomp(SET_MODE_FILTER)")


def has_flag(flag: int) -> bool:
    """Whether the kernel knows this one: it looks at flags first, and then for a program, which there is not."""
    try:
        libc.syscall("seccomp", SET_MODE_FILTER, flag, None, what="seccomp")
    except KernelError as error:
        return error.errno == errno.EFAULT
    return False


class _SockFprog(ctypes.Structure):
    """``struct sock_fprog`` of include/uapi/linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))
