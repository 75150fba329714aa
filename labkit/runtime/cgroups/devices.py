"""Which devices a group may use: the specification's rules as one list, and the two operations that keep it to them.

v1 has files for it, v2 asks a program (deviceprogram.py).

A rule is written as v1's files take it, ``c 1:3 rwm``, one that denies with ``deny`` before it: kind (c, b, or a for
all), major and minor number or ``*``, and what is allowed (read, write, mknod). See
Documentation/admin-guide/cgroup-v1/devices.rst.
"""

from __future__ import annotations

import os

from labkit.errors import NotFoundError
from labkit.runtime.operations import GoesAlong
from labkit.runtime.operations.files import write_kernel_file
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote
from labkit.runtime.std.typing import Any

EVERYTHING = "a *:* rwm"
DENY = "deny "


def allowed(rules: list[dict[str, Any]]) -> tuple[str, ...]:
    """What is allowed after all ``rules`` in their order (config-linux.md, "Allowed Device list").

    As v1 does it (security/device_cgroup.c): a rule for all devices replaces what was before it. From then on there is
    a list of exceptions: of what is allowed where nothing else is, or of what is denied (``deny c 1:3 rwm``, after
    EVERYTHING). As with runc nothing is allowed to begin with.
    """
    everything = False
    found: dict[tuple[str, str, str], str] = {}
    for rule in rules:
        kind = rule.get("type", "a")
        numbers = tuple("*" if rule.get(name, -1) < 0 else str(rule[name]) for name in ("major", "minor"))
        access = rule.get("access") or "rwm"
        if kind == "a":
            everything, found = rule["allow"], {}
            continue
        key = (kind, *numbers)
        before = found.pop(key, "")
        exception = rule["allow"] is not everything
        wanted = "".join(sorted({*before, *access} if exception else {*before} - {*access}, key="rwm".index))
        if wanted:
            found[key] = wanted
    exceptions = [f"{kind} {major}:{minor} {access}" for (kind, major, minor), access in found.items()]
    if everything:
        return (EVERYTHING, *[f"{DENY}{rule}" for rule in exceptions])
    return tuple(exceptions)


@dataclass(frozen=True)
class ListDevices(GoesAlong):
    """v1: nothing (or everything) is allowed, then what ``rules`` say, one write each (cgroup-v1/devices.rst)."""

    path: str
    rules: tuple[str, ...]

    def describe(self) -> str:
        """As a shell writes it."""
        return "\n".join(f"echo {quote(rule)} > {quote(self.path)}/{name}" for name, rule in self._writes())

    def _writes(self) -> list[tuple[str, str]]:
        if EVERYTHING in self.rules:
            denied = [rule[len(DENY) :] for rule in self.rules if rule.startswith(DENY)]
            return [("devices.allow", "a"), *[("devices.deny", rule) for rule in denied]]
        return [("devices.deny", "a"), *[("devices.allow", rule) for rule in self.rules]]

    def do(self) -> None:
        """Write them. KernelError where the group above has not what is allowed here (cgroup-v1/devices.rst)."""
        try:
            for name, rule in self._writes():
                write_kernel_file(f"{self.path}/{name}", rule)
        except FileNotFoundError:
            raise NotFoundError(
                f"there is no {self.path}/devices.deny", "is it a group of the tree 'devices'?"
            ) from None


# No tool of a shell knows bpf(2). perl, which every Debian has (it is essential there), can make any system call: first
# BPF_PROG_LOAD, then BPF_PROG_ATTACH, with their arguments packed as include/uapi/linux/bpf.h lays them out.
_PERL = (
    '$p = pack "H*", join "", map { /^(\\w+)/ } <STDIN>; $a = pack "LLPp", 15, length($p) / 8, $p, "GPL"; '
    '($f = syscall(NUMBER, 5, $a, length $a)) >= 0 or die "BPF_PROG_LOAD: $!\\n"; '
    'open $d, "<", shift or die "$!\\n"; $a = pack "LLLL", fileno $d, $f, 6, 2; '
    'syscall(NUMBER, 8, $a, length $a) >= 0 or die "BPF_PROG_ATTACH: $!\\n"'
)


@dataclass(frozen=True)
class ProgramDevices(GoesAlong):
    """v2: a program that the kernel asks whenever a process of the group opens or makes a device (kernel/bpf.py)."""

    path: str
    rules: tuple[str, ...]

    def describe(self) -> str:
        """The program as numbers, a line for each rule, and perl, which hands it to the kernel."""
        from labkit.runtime.cgroups import deviceprogram  # local: v1 needs none, and whoever undoes does without
        from labkit.runtime.kernel import libc

        number = libc.SYSCALL_NUMBERS.get(os.uname().machine, {}).get("bpf", 321)
        pieces = [f"{code.hex()}  {words}" for code, words in deviceprogram.program(self.rules)]
        head = f"perl -e {quote(_PERL.replace('NUMBER', str(number)))} {quote(self.path)} << 'PROGRAM'"
        return "\n".join([head, *pieces, "PROGRAM"])

    def do(self) -> None:
        """bpf(2), twice."""
        from labkit.runtime.cgroups import deviceprogram  # local, as above
        from labkit.runtime.kernel import bpf

        bpf.attach_device_filter(self.path, b"".join(code for code, _ in deviceprogram.program(self.rules)))
