"""bpf(2), as far as a device filter needs it: load a program into the kernel and attach it to a cgroup.

cgroup v2 has no device controller with files. What may be opened is decided by a small program in the kernel's own
machine language (eBPF), which is asked at every open(2) and mknod(2) of a device by a process of the group
(Documentation/bpf/prog_cgroup_device.rst is not there; include/uapi/linux/bpf.h is: ``struct bpf_cgroup_dev_ctx``).
"""

from __future__ import annotations

import errno
import os
import struct

from labkit.runtime.kernel import libc
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std import ctypes
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress

#: include/uapi/linux/bpf.h
PROG_LOAD, PROG_ATTACH, PROG_DETACH, PROG_GET_FD_BY_ID, PROG_QUERY = 5, 8, 9, 13, 16
PROG_TYPE_CGROUP_DEVICE = 15
CGROUP_DEVICE = 6
#: Programs of groups above and of other owners are asked, too, and each of them can refuse.
F_ALLOW_MULTI = 2

#: Operation codes: class, operation and the kind of the second operand
#: (Documentation/bpf/standardization/instruction-set.rst).
LOAD_WORD = 0x61
AND, SHIFT_RIGHT, MOVE = 0x54, 0x74, 0xB4
MOVE_REGISTER = 0xBC
JUMP_IF, JUMP_IF_NOT, JUMP_IF_NOT_REGISTER = 0x15, 0x55, 0x5D
EXIT = 0x95


def instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, number: int = 0) -> bytes:
    """One instruction, 8 bytes: code, the registers' numbers, a jump's length in instructions, a constant.

    Little-endian, as on the machines that libc.py knows the system call's number of.
    """
    return struct.pack("<BBhi", code, source << 4 | target, offset, number)


def attach_device_filter(directory: str, program: bytes) -> None:
    """Load ``program`` and attach it to the cgroup ``directory`` in place of those there; it goes with the group.

    KernelError where the kernel has no such programs (CONFIG_CGROUP_BPF) or finds fault with this one.
    """
    licence = ctypes.create_string_buffer(b"GPL")
    code = ctypes.create_string_buffer(program, len(program))
    load = struct.pack(
        "=IIQQ", PROG_TYPE_CGROUP_DEVICE, len(program) // 8, ctypes.addressof(code), ctypes.addressof(licence)
    )
    with _unlimited_locked_memory():
        filter_ = _bpf(PROG_LOAD, load, "bpf(BPF_PROG_LOAD, BPF_PROG_TYPE_CGROUP_DEVICE)")
    try:
        with kept_open(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)) as group:
            before = _attached(group)
            attach = struct.pack("=IIII", group, filter_, CGROUP_DEVICE, F_ALLOW_MULTI)
            _bpf(PROG_ATTACH, attach, f"bpf(BPF_PROG_ATTACH, {directory}, BPF_CGROUP_DEVICE)")
            # The new one first: every program is asked, so that there is no moment without any.
            for number in before:
                _detach(group, number)
    finally:
        os.close(filter_)  # from now on the group holds it


def _attached(group: int) -> list[int]:
    """The ids of the device filters of this group itself (not of those above), at most 64 of them, which is the most
    that the kernel allows (kernel/bpf/cgroup.c, BPF_CGROUP_MAX_PROGS).
    """
    ids = (ctypes.c_uint32 * 64)()
    # target_fd, attach_type, query_flags, attach_flags, prog_ids, prog_cnt
    buffer = ctypes.create_string_buffer(
        struct.pack("=IIIIQI", group, CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), len(ids)), 28
    )
    libc.syscall("bpf", PROG_QUERY, ctypes.byref(buffer), 28, what="bpf(BPF_PROG_QUERY, BPF_CGROUP_DEVICE)")
    (count,) = struct.unpack_from("=I", buffer.raw, 24)
    return list(ids[:count])


def _detach(group: int, number: int) -> None:
    with kept_open(_bpf(PROG_GET_FD_BY_ID, struct.pack("=III", number, 0, 0), "bpf(BPF_PROG_GET_FD_BY_ID)")) as program:
        _bpf(PROG_DETACH, struct.pack("=III", group, program, CGROUP_DEVICE), "bpf(BPF_PROG_DETACH)")


def _bpf(command: int, attributes: bytes, what: str) -> int:
    # The kernel takes an older, shorter form of its union and fills the rest with zeros.
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    hint = "a device filter on cgroup v2 needs a kernel with CONFIG_CGROUP_BPF"
    hints = {errno.ENOSYS: hint, errno.EINVAL: hint}
    return libc.syscall("bpf", command, ctypes.byref(buffer), len(attributes), what=what, hints=hints)


@contextmanager
def _unlimited_locked_memory() -> Iterator[None]:
    """Before Linux 5.11 programs counted as memory that the user root has locked (setrlimit(2), RLIMIT_MEMLOCK)."""
    import resource  # local: POSIX has it, and tests read this module elsewhere, too

    before = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    with suppress(ValueError, OSError):  # without CAP_SYS_RESOURCE it stays as it is, and mostly suffices
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, before)
