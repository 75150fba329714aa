"""Compiled profiles, run by an interpreter of classic BPF: what the filter answers to a call."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
import sys
from typing import Any

import pytest

from labkit.errors import MissingToolError
from labkit.runtime.oci import default_seccomp, defaults, libseccomp
from labkit.runtime.oci.spec import seccomp as section
from labkit.runtime.text.document import Reader

ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x00000000
#: (AUDIT_ARCH_X86_64; AUDIT_ARCH_I386), and numbers of x86_64's calls.
X86_64, I386, RISCV64 = 0xC000003E, 0x40000003, 0xC00000F3
READ, KILL_CALL, MKDIR, CLONE, UNSHARE = 0, 62, 83, 56, 272


def _is_here() -> bool:
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        return False
    return sys.platform == "linux" and os.uname().machine == "x86_64"


pytestmark = pytest.mark.skipif(not _is_here(), reason="there is no libseccomp.so.2 for x86-64")


def _answer(program: bytes, number: int, *arguments: int, arch: int = X86_64) -> int:
    """Run the filter on a ``struct seccomp_data`` (seccomp(2), bpf(4))."""
    data = struct.pack("=iIQ6Q", number, arch, 0, *arguments, *[0] * (6 - len(arguments)))
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, at = 0, 0
    while True:
        code, true, false, constant = instructions[at]
        at += 1
        if code == 0x06:
            return int(constant)
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, constant)
        elif code == 0x54:
            accumulator &= constant
        elif code == 0x05:
            at += constant
        else:
            holds = {
                0x15: accumulator == constant,
                0x25: accumulator > constant,
                0x35: accumulator >= constant,
                0x45: bool(accumulator & constant),
            }[code]
            at += true if holds else false


def _compiled(document: dict[str, Any]) -> bytes:
    return libseccomp.compiled(section.read(Reader(document, "config.json", "linux.seccomp"))).program


def test_a_rule_and_the_default() -> None:
    rule = {"names": ["mkdir", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}
    program = _compiled({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    assert _answer(program, MKDIR) == ERRNO | 77
    assert _answer(program, READ) == ALLOW
    assert _answer(program, 100_000) == ALLOW
    assert _answer(program, READ, arch=RISCV64) == KILL, "a call of another machine"


def test_a_masked_argument() -> None:
    argument = {"index": 0, "value": 0xF0, "valueTwo": 0x10, "op": "SCMP_CMP_MASKED_EQ"}
    rule = {"names": ["kill"], "action": "SCMP_ACT_ERRNO", "args": [argument]}
    program = _compiled({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    assert _answer(program, KILL_CALL, 0x17) == ERRNO | errno.EPERM
    assert _answer(program, KILL_CALL, 0x27) == ALLOW


def test_a_rule_that_says_what_the_default_says_is_redundant() -> None:
    rule = {"names": ["mkdir"], "action": "SCMP_ACT_ALLOW"}
    assert _answer(_compiled({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}), MKDIR) == ALLOW


def test_what_is_younger_than_the_profile_is_enosys() -> None:
    document = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ALLOW"}]}
    program = _compiled(document)
    assert _answer(program, MKDIR) == ALLOW
    assert _answer(program, READ) == ERRNO | errno.EPERM
    assert _answer(program, MKDIR + 1) == ERRNO | errno.ENOSYS
    assert _answer(_compiled({**document, "defaultErrnoRet": 5}), MKDIR + 1) == ERRNO | errno.ENOSYS


def test_the_default_profile() -> None:
    program = _compiled(default_seccomp.profile(defaults.CAPABILITIES, "x86_64"))
    assert len(program) // 8 < 4096, "BPF_MAXINSNS"
    assert _answer(program, READ) == _answer(program, 3, arch=I386) == ALLOW
    assert _answer(program, UNSHARE) == ERRNO | errno.EPERM
    assert _answer(program, CLONE, 0x01200011) == ALLOW, "fork(2)"
    assert _answer(program, CLONE, 0x10000011) == ERRNO | errno.EPERM, "CLONE_NEWUSER"


def test_without_libseccomp_a_profile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libseccomp, "_NAME", "libseccomp.so.none")
    libseccomp._library.cache_clear()
    with pytest.raises(MissingToolError, match="there is no libseccomp here"):
        _compiled({"defaultAction": "SCMP_ACT_ALLOW"})
    libseccomp._library.cache_clear()
