"""A program of some hundred bytes that executes another one, so that no container ever executes from our Python.

A container's program may be a script whose first line is ``#!/proc/self/exe``. If Python executed it, the kernel would
take the host's Python for its interpreter, in the container, where root could then open /proc/PID/exe and overwrite the
host's file (CVE-2019-5736). So Python executes this program instead, from a sealed file in memory, and it executes the
container's: /proc/self/exe is the file in memory then, which nobody can change and which leads nowhere. As somebody's
interpreter it ends at once, since its first step fails: the descriptor to report to is closed by then.

It also loads the seccomp filter, when nothing is left to do but one execve(2).
"""

from __future__ import annotations

import errno
import os
import struct

from labkit.runtime.kernel import libc
from labkit.runtime.std import ctypes
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:  # few starts have a filter
    from labkit.runtime.kernel.seccomp import Filter

#: Where the file is mapped twice: readable and executable for the code, readable and writable for the rest.
_CODE, _DATA = 0x400000, 0x800000
_HEADERS = 64 + 3 * 56
_PARAMETERS = struct.Struct("<IIQQQQQ")  # at _DATA + _HEADERS, the constant in the first instruction

#: Machine (uname -m) -> number in the ELF header and code; assembled with as(1), shown as objdump(1) does.
_CODES = {
    "x86_64": (
        62,
        bytes.fromhex(
            "bbe8008000"  #         mov  ebx, 0x8000e8       the parameters
            "8b3b"  #               mov  edi, [rbx]          fcntl(report,
            "be02000000"  #         mov  esi, 2              F_SETFD,
            "ba01000000"  #         mov  edx, 1              FD_CLOEXEC)
            "b848000000"  #         mov  eax, 72
            "0f05"  #               syscall
            "85c0"  #               test eax, eax            it is closed: we are somebody's interpreter
            "7567"  #               jnz  leave
            "488b5308"  #           mov  rdx, [rbx+8]        seccomp(SECCOMP_SET_MODE_FILTER, flags, program)
            "4885d2"  #             test rdx, rdx            or none
            "7413"  #               jz   run
            "8b7304"  #             mov  esi, [rbx+4]
            "bf01000000"  #         mov  edi, 1
            "b83d010000"  #         mov  eax, 317
            "0f05"  #               syscall
            "85c0"  #               test eax, eax
            "7519"  #               jnz  tell
            "488b7b10"  #      run: mov  rdi, [rbx+16]       execve(path,
            "488b0424"  #           mov  rax, [rsp]          the number of our own arguments
            "488d742408"  #         lea  rsi, [rsp+8]        our arguments,
            "488d54c608"  #         lea  rdx, [rsi+rax*8+8]  our environment)
            "b83b000000"  #         mov  eax, 59
            "0f05"  #               syscall
            "f7d8"  #         tell: neg  eax                 errno, as three digits into the report
            "488b7b20"  #           mov  rdi, [rbx+32]
            "b903000000"  #         mov  ecx, 3
            "41b80a000000"  #       mov  r8d, 10
            "31d2"  #        digit: xor  edx, edx
            "41f7f0"  #             div  r8d
            "80c230"  #             add  dl, '0'
            "88540fff"  #           mov  [rdi+rcx-1], dl
            "ffc9"  #               dec  ecx
            "75f0"  #               jnz  digit
            "8b3b"  #               mov  edi, [rbx]          write(report, line, its length)
            "488b7318"  #           mov  rsi, [rbx+24]
            "488b5328"  #           mov  rdx, [rbx+40]
            "b801000000"  #         mov  eax, 1
            "0f05"  #               syscall
            "bf7e000000"  #  leave: mov  edi, 126            exit_group(126)
            "b8e7000000"  #         mov  eax, 231
            "0f05"  #               syscall
        ),
    ),
    "aarch64": (
        183,
        struct.pack(
            "<41I",
            *(0xD2A01013, 0xF2801D13),  # mov x19, #0x8000e8         the parameters
            0xB9400260,  #                ldr w0, [x19]              fcntl(report,
            0xD2800041,  #                mov x1, #2                 F_SETFD,
            0xD2800022,  #                mov x2, #1                 FD_CLOEXEC)
            *(0xD2800328, 0xD4000001),  # mov x8, #25; svc #0
            0x350003E0,  #                cbnz w0, leave             it is closed: we are somebody's interpreter
            0xF9400662,  #                ldr x2, [x19, #8]          seccomp(SECCOMP_SET_MODE_FILTER, flags, program)
            0xB40000C2,  #                cbz x2, run                or none
            0xB9400661,  #                ldr w1, [x19, #4]
            0xD2800020,  #                mov x0, #1
            *(0xD28022A8, 0xD4000001),  # mov x8, #277; svc #0
            0x35000100,  #                cbnz w0, tell
            0xF9400A60,  #           run: ldr x0, [x19, #16]         execve(path,
            0xF94003E3,  #                ldr x3, [sp]               the number of our own arguments
            0x910023E1,  #                add x1, sp, #8             our arguments,
            0x8B030C22,  #                add x2, x1, x3, lsl #3
            0x91002042,  #                add x2, x2, #8             our environment)
            *(0xD2801BA8, 0xD4000001),  # mov x8, #221; svc #0
            0x4B0003E0,  #          tell: neg w0, w0                 errno, as three digits into the report
            0xF9401264,  #                ldr x4, [x19, #32]
            0x52800145,  #                mov w5, #10
            0xD2800066,  #                mov x6, #3
            0x1AC50807,  #         digit: udiv w7, w0, w5
            0x1B0580E9,  #                msub w9, w7, w5, w0
            0x1100C129,  #                add w9, w9, #'0'
            0xD10004C6,  #                sub x6, x6, #1
            0x38266889,  #                strb w9, [x4, x6]
            0x2A0703E0,  #                mov w0, w7
            0xB5FFFF46,  #                cbnz x6, digit
            0xB9400260,  #                ldr w0, [x19]              write(report, line, its length)
            0xF9400E61,  #                ldr x1, [x19, #24]
            0xF9401662,  #                ldr x2, [x19, #40]
            *(0xD2800808, 0xD4000001),  # mov x8, #64; svc #0
            0xD2800FC0,  #         leave: mov x0, #126               exit_group(126)
            *(0xD2800BC8, 0xD4000001),  # mov x8, #94; svc #0
        ),
    ),
}

#: What stands in the report where the three digits go.
DIGITS = b"000"

_AT_EMPTY_PATH = 0x1000
_MFD_EXEC = 0x0010
_F_ADD_SEALS = 1033
_ALL_SEALS = 0x0001 | 0x0002 | 0x0004 | 0x0008  # SEAL, SHRINK, GROW, WRITE (fcntl(2))


def program(path: str, report: int, line: bytes, filter_: Filter | None = None, machine: str = "") -> bytes:
    """The ELF file (elf(5)): it executes ``path`` with its own arguments and environment.

    If that fails, ``line`` goes to the descriptor ``report``, with the errno in place of the last DIGITS in it.
    KeyError for a ``machine`` (this one, if it is not named) that there is no code for.
    """
    number, code = _CODES[machine or libc.MACHINE]
    name = os.fsencode(path) + b"\0"
    bpf = filter_.program if filter_ else b""
    # In this order: headers, parameters, the struct sock_fprog and its instructions (aligned), code, path, line.
    at_fprog = _DATA + _HEADERS + _PARAMETERS.size
    at_bpf = at_fprog + 16
    at_code = _HEADERS + _PARAMETERS.size + 16 + len(bpf)
    at_name = _DATA + at_code + len(code)
    at_line = at_name + len(name)
    at_digits = at_line + line.rindex(DIGITS)
    flags = filter_.flags if filter_ else 0
    parameters = _PARAMETERS.pack(report, flags, at_fprog if filter_ else 0, at_name, at_line, at_digits, len(line))
    fprog = struct.pack("<HxxxxxxQ", len(bpf) // 8, at_bpf)
    size = at_line + len(line) - _DATA
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")  # 64 bits, little-endian
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, number, 1, _CODE + at_code, 64, 0, 0, 64, 56, 3, 0, 0, 0)
    segments = b"".join(
        struct.pack("<IIQQQQQQ", kind, rights, 0, place, place, length, length, 0x10000)
        for kind, rights, place, length in (
            (1, 5, _CODE, size),  # PT_LOAD, read and execute
            (1, 6, _DATA, size),  # PT_LOAD, read and write
            (0x6474E551, 6, 0, 0),  # PT_GNU_STACK: without it old kernels make everything executable
        )
    )
    return header + segments + parameters + fprog + bpf + code + name + line


def execute(file: int, args: list[str], environment: dict[str, str]) -> None:
    """Execute the file in memory; returns only by KernelError, for one, where the machine forbids that
    (vm.memfd_noexec, Linux 6.3).
    """
    words = [os.fsencode(word) for word in args]
    variables = [os.fsencode(f"{name}={value}") for name, value in environment.items()]
    argv = (ctypes.c_char_p * (len(words) + 1))(*words, None)
    envp = (ctypes.c_char_p * (len(variables) + 1))(*variables, None)
    libc.syscall("execveat", file, "", argv, envp, _AT_EMPTY_PATH, what="execveat")


def fill_file(file: int, contents: bytes) -> None:
    """What the file of ``make_file`` is, for ever."""
    os.write(file, contents)
    libc.call("fcntl", file, _F_ADD_SEALS, _ALL_SEALS, what="fcntl(F_ADD_SEALS)")


def make_file() -> int:
    """An empty file in memory that can be executed, or -1 where there is no code for this machine, or no such file."""
    if libc.MACHINE not in _CODES:
        return -1
    # Before Linux 6.3 every such file is executable, and the flag that asks for it is unknown.
    for flags in (_MFD_EXEC, 0):
        try:
            return os.memfd_create("labkit", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
        except OSError as error:
            if error.errno != errno.EINVAL:
                break
    return -1
