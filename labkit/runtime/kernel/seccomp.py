"""seccomp(2): a filter of system calls, which a process puts on itself and all that it will ever execute."""

from __future__ import annotations

import errno
import struct

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
        program = struct.pack("HxxxxxxQ", len(self.program) // 8, ctypes.addressof(code))  # struct sock_fprog
        libc.syscall("seccomp", SET_MODE_FILTER, self.flags, program, what="seccomp(SET_MODE_FILTER)")


def has_flag(flag: int) -> bool:
    """Whether the kernel knows this one: it looks at flags first, and then for a program, which there is not."""
    try:
        libc.syscall("seccomp", SET_MODE_FILTER, flag, None, what="seccomp")
    except KernelError as error:
        return error.errno == errno.EFAULT
    return False
