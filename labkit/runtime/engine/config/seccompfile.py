"""A profile of a file as the specification has it: docker's form has conditions that are decided here.

docker's rules can be for some architectures, capabilities or kernels only (``includes``, ``excludes``), and its
``archMap`` tells which architectures a machine has; see docker's "Seccomp security profiles". Pure.
"""

from __future__ import annotations

import os

from labkit.errors import UsageError
from labkit.runtime.std.typing import Any

#: uname -m -> docker's (Go's) name of the architecture, and libseccomp's.
_MACHINES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}


def for_machine(
    profile: dict[str, Any], capabilities: list[str], machine: str = "", release: str = ""
) -> dict[str, Any]:
    """The profile for a process with these capabilities. UsageError where it has not the form of one."""
    machine, release = machine or os.uname().machine, release or os.uname().release
    go, native = _MACHINES.get(machine, (machine, ""))
    try:
        found = {name: value for name, value in profile.items() if name not in ("archMap", "syscalls")}
        for entry in profile.get("archMap") or []:
            if entry["architecture"] == native:
                found["architectures"] = [native, *(entry.get("subArchitectures") or [])]
        found["syscalls"] = [
            _plain(rule) for rule in profile.get("syscalls") or [] if _is_meant(rule, go, capabilities, release)
        ]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        why = f"the seccomp profile has not the form of one ({error!r})"
        raise UsageError(why, "see docker's documentation") from None
    return found


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    """Without the conditions, comments, and with ``name`` as the old form of ``names``."""
    kept = {name: rule[name] for name in ("action", "args", "errnoRet") if rule.get(name) is not None}
    return {"names": rule.get("names") or [rule["name"]], **kept}


def _is_meant(rule: dict[str, Any], go: str, capabilities: list[str], release: str) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if any(name in capabilities for name in excludes.get("caps") or []) or go in (excludes.get("arches") or []):
        return False
    if excludes.get("minKernel") and _numbers(release) >= _numbers(excludes["minKernel"]):
        return False
    if includes.get("arches") and go not in includes["arches"]:
        return False
    if includes.get("minKernel") and _numbers(release) < _numbers(includes["minKernel"]):
        return False
    return all(name in capabilities for name in includes.get("caps") or [])


def _numbers(release: str) -> tuple[int, int]:
    """``6.1.0-13-amd64`` as (6, 1)."""
    major, minor = release.split(".")[:2]
    digits = len(minor) - len(minor.lstrip("0123456789"))
    return int(major), int(minor[:digits] or 0)
