"""Which devices a group may use: the specification's rules as one list. Pure.

A rule is written as v1's files take it, ``c 1:3 rwm``, one that denies with ``deny`` before it: kind (c, b, or a for
all), major and minor number or ``*``, and what is allowed (read, write, mknod). See
Documentation/admin-guide/cgroup-v1/devices.rst.
"""

from __future__ import annotations

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
