"""The devices that a container gets besides those that every one has: nodes, and the right to use them."""

from __future__ import annotations

import os
import re
import stat

from labkit.errors import UsageError
from labkit.runtime.engine.record.options import Options
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any

_RULE = re.compile(r"([abc]) ([0-9]{1,7}|\*):([0-9]{1,7}|\*) ([rwm]{1,3})")
#: What of /dev belongs to others: terminals of the host's devpts, and what is mounted there (docker's list, too).
_NOT_DEVICES = ("pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console", "ptmx")


def parse(text: str) -> str:
    """``--device`` as ``HOST:CONTAINER:rwm``. UsageError where there is no such device."""
    parts = text.split(":")
    access = parts.pop() if len(parts) > 1 and set(parts[-1]) <= set("rwm") and parts[-1] else "rwm"
    host, place = parts[0], parts[-1]
    if len(parts) > 2 or not host.startswith("/") or not place.startswith("/"):
        raise UsageError(f"--device {text[:200]} has not the form of a device", "write HOST[:CONTAINER[:rwm]]")
    if not _nodes(host, place):
        raise UsageError(f"{host[:200]} of --device is no device", "a node, or a directory of nodes, as /dev/fuse")
    return f"{host}:{place}:{access}"


def parse_rule(text: str) -> str:
    """``--device-cgroup-rule``: as v1's devices.allow takes it."""
    if not _RULE.fullmatch(text):
        raise UsageError(f"--device-cgroup-rule '{text}' is no rule", "write KIND MAJOR:MINOR rwm, as 'c 10:229 rwm'")
    return text


def of(options: Options, filtered: bool) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """``linux.devices`` and ``linux.resources.devices``. Where devices cannot be ``filtered`` all are allowed."""
    if options.privileged:
        return _all_of_the_host(), [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": not filtered, "access": "rwm"}]
    nodes: list[dict[str, Any]] = []
    for text in options.devices:
        host, place, access = text.split(":")
        for node in _nodes(host, place):
            nodes.append(node)
            numbers = {name: node[name] for name in ("type", "major", "minor")}
            rules.append({"allow": True, **numbers, "access": access})
    for text in options.device_rules:
        kind, major, minor, access = _RULE.fullmatch(text).groups()  # type: ignore[union-attr]
        numbers = {name: int(number) for name, number in (("major", major), ("minor", minor)) if number != "*"}
        rules.append({"allow": True, "type": kind, **numbers, "access": access})
    return nodes, rules if filtered else rules[:1]


def _nodes(host: str, place: str) -> list[dict[str, Any]]:
    """The device, or all those in the directory and below; none where it is neither. Links to one count."""
    with suppress(OSError, ValueError):
        about = os.stat(host)
        if stat.S_ISDIR(about.st_mode):
            return [
                node
                for directory, _, names in os.walk(host)
                for name in sorted(names)
                for node in _nodes(f"{directory}/{name}", f"{place}{directory[len(host) :]}/{name}")
            ]
        if stat.S_ISCHR(about.st_mode) or stat.S_ISBLK(about.st_mode):
            return [_node(about, place)]
    return []


def _node(about: os.stat_result, place: str) -> dict[str, Any]:
    return {
        "path": place,
        "type": "b" if stat.S_ISBLK(about.st_mode) else "c",
        "major": os.major(about.st_rdev),
        "minor": os.minor(about.st_rdev),
        "fileMode": stat.S_IMODE(about.st_mode),
        "uid": about.st_uid,
        "gid": about.st_gid,
    }


def _all_of_the_host() -> list[dict[str, Any]]:
    found = []
    for directory, below, names in os.walk("/dev"):
        if directory == "/dev":
            below[:] = [name for name in below if name not in _NOT_DEVICES]
        for name in sorted(names):
            path = f"{directory}/{name}"
            if not (directory == "/dev" and name in _NOT_DEVICES) and not os.path.islink(path):
                found += _nodes(path, path)
    return found
