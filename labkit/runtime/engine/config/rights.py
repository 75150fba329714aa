"""What a container may do: capabilities, the filter of system calls, and what of /proc and /sys is hidden from it."""

from __future__ import annotations

import os

from labkit.errors import UsageError
from labkit.runtime.engine.record.options import Options
from labkit.runtime.kernel import capabilities
from labkit.runtime.oci import defaults
from labkit.runtime.std import json
from labkit.runtime.std.typing import Any

#: What labkit would have to have a policy for, and has not; ``unconfined`` and ``disable`` are how it is anyway.
_POLICIES = {"apparmor": "unconfined", "label": "disable"}
#: uname -m -> docker's (Go's) name of the architecture, and libseccomp's.
_MACHINES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}


def check_capabilities(added: list[str], dropped: list[str]) -> None:
    """UsageError for a name that is none."""
    for flag, names in (("--cap-add", added), ("--cap-drop", dropped)):
        for name in names:
            if name.upper() != "ALL" and _full(name) not in [f"CAP_{known}" for known in capabilities.NAMES]:
                raise UsageError(f"{flag} {name} names no capability", "as NET_ADMIN, or ALL (capabilities(7))")


def granted(options: Options, filtered: bool) -> list[str]:
    """The capabilities of its first process, as CAP_CHOWN, in docker's way.

    Without an ``ALL``: the default ones, less those dropped, and those added. Where devices cannot be ``filtered``
    nobody gets CAP_MKNOD by default. None is granted that we have not ourselves.
    """
    added = [_full(name) for name in options.cap_add]
    dropped = {_full(name) for name in options.cap_drop}
    if options.privileged or "CAP_ALL" in added:
        return [name for name in our_own() if options.privileged or name not in dropped]
    base = [] if "CAP_ALL" in dropped else [name for name in defaults.CAPABILITIES if name not in dropped]
    if not filtered:
        base = [name for name in base if name != "CAP_MKNOD"]
    return sorted({*base, *added})


def our_own() -> list[str]:
    """All that we can give."""
    return [f"CAP_{capabilities.NAMES[number]}" for number in sorted(capabilities.bounding())]


def _full(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def security(words: list[str]) -> tuple[list[str], dict[str, Any]]:
    """``--security-opt``: the options in one form, and the profile of a ``seccomp=FILE``. UsageError for others."""
    found: list[str] = []
    profile: dict[str, Any] = {}
    for word in words:
        # docker takes a colon, too, as in no-new-privileges:true.
        at = min((word.index(sign) for sign in "=:" if sign in word), default=len(word))
        name, value = word[:at], word[at + 1 :]
        if name == "no-new-privileges" and value in ("", "true", "false"):
            found += ["no-new-privileges"] if value != "false" else []
        elif name == "seccomp" and value in ("default", "builtin", "unconfined"):
            found += ["seccomp=unconfined"] if value == "unconfined" else []
            profile = {}
        elif name == "seccomp" and value:
            found, profile = [other for other in found if not other.startswith("seccomp=")], _profile(value)
        elif word == "systempaths=unconfined":
            found.append("unmask=ALL")
        elif name in ("mask", "unmask") and value and all(_is_path(name, path) for path in value.split(":")):
            found.append(f"{name}={value}")
        elif name in _POLICIES and value != _POLICIES[name]:
            raise UsageError(f"labkit does not support --security-opt {word}", f"{name}={_POLICIES[name]} is how it is")
        elif name not in _POLICIES:
            raise UsageError(f"--security-opt {word} is not possible", "see 'labkit run --help'")
    return found, profile


def _is_path(name: str, path: str) -> bool:
    return path.startswith("/") or (name == "unmask" and path == "ALL")


def _profile(path: str) -> dict[str, Any]:
    """A profile of a file, in the specification's form or in docker's, with which this machine's is made."""
    try:
        with open(path, "rb") as file:  # as bytes: then a mark before UTF-8, as of editors on Windows, is no error
            document = json.load(file)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or f"it is no JSON ({error})"
        raise UsageError(
            f"--security-opt seccomp={path} cannot be read: {why}", "a file, unconfined or default"
        ) from None
    if not isinstance(document, dict):
        raise UsageError(f"--security-opt seccomp={path} is no profile", "an object with defaultAction and syscalls")
    return {str(name): value for name, value in document.items()}


def seccomp(options: Options, names: list[str], has_library: bool) -> dict[str, Any]:
    """``linux.seccomp`` for a process with these capabilities; empty for no filter.

    ``has_library``: without libseccomp the default profile cannot be compiled, and is left out.
    """
    if options.privileged or "seccomp=unconfined" in options.security:
        return {}
    if options.seccomp:
        return for_machine(options.seccomp, names)
    if not has_library:
        return {}
    from labkit.runtime.oci import default_seccomp

    return default_seccomp.profile(names)


def for_machine(
    profile: dict[str, Any], capabilities: list[str], machine: str = "", release: str = ""
) -> dict[str, Any]:
    """A file's profile, for a process with these capabilities, as the specification has it.

    docker's rules can be for some architectures, capabilities or kernels only (``includes``, ``excludes``), and its
    ``archMap`` tells which architectures a machine has; see docker's "Seccomp security profiles". UsageError where it
    has not the form of one.
    """
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


def hidden(options: Options) -> tuple[list[str], list[str]]:
    """What is masked and what is read-only of /proc and /sys."""
    if options.privileged:
        return [], []
    masked, readonly = list(defaults.MASKED_PATHS), list(defaults.READONLY_PATHS)
    for word in options.security:
        name, _, value = word.partition("=")
        paths = value.split(":")
        if name == "unmask":
            masked, readonly = ([path for path in old if not {"ALL", path} & {*paths}] for old in (masked, readonly))
        elif name == "mask":
            masked += paths
    return masked, readonly
