"""Names of users and groups, as a container's own /etc/passwd and /etc/group have them (passwd(5), group(5)).

Neither file is to be trusted: an image may have a link, a pipe or an endless file there.
"""

from __future__ import annotations

import os
import stat

from labkit.errors import KernelError, UsageError
from labkit.runtime.kernel import rootdir
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass, field

_LAST_ID = (1 << 32) - 2
#: As much of such a file as is read.
_MOST = 4 << 20


@dataclass(frozen=True)
class User:
    """Whom a process runs as, in numbers."""

    uid: int = 0
    gid: int = 0
    groups: list[int] = field(default_factory=list)
    home: str = "/"


def find(roots: list[str], text: str, more_groups: list[str]) -> User:
    """``NAME|UID[:GROUP|GID]`` (root where it is empty) by the files below the first of ``roots`` that has them.

    ``roots`` are a root file system, or the layers that it will consist of, topmost first. As with docker, a user with
    a number that no line has is in group 0 and at home in /; without a group of his own choice he is in all groups
    that name him. UsageError for a name that no line has.
    """
    name, _, group = text.partition(":")
    users = _rows(roots, "/etc/passwd", 6)
    groups = _rows(roots, "/etc/group", 4) if group or more_groups or name not in ("0", "") or users else []
    known = next((row for row in users if _is(row, name or "0")), None)
    if known is None and name and _number(name) is None:
        raise UsageError(f"unable to find user {name[:100]}: no matching entries in passwd file", _hint("passwd"))
    uid = int(known[2]) if known else _number(name or "0") or 0
    gid = int(known[3]) if known and _number(known[3]) is not None else 0
    if group:
        gid = _group(groups, group)
        own = []
    else:
        own = [int(row[2]) for row in groups if known and known[0] in row[3].split(",") and _number(row[2]) is not None]
    added = [_group(groups, each) for each in more_groups]
    home = known[5] if known and known[5].startswith("/") else "/"
    return User(uid, gid, list(dict.fromkeys([gid, *own, *added])), home)


def _is(row: list[str], name: str) -> bool:
    return _number(row[2]) is not None and name in (row[0], row[2])


def _group(rows: list[list[str]], text: str) -> int:
    for row in rows:
        if _is(row, text):
            return int(row[2])
    number = _number(text)
    if number is None:
        raise UsageError(f"unable to find group {text[:100]}: no matching entries in group file", _hint("group"))
    return number


def _hint(name: str) -> str:
    return f"a name from the image's /etc/{name}, or a number"


def _number(text: str) -> int | None:
    """A user's or group's number; None for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) < 11):
        return None
    number = int(text)
    return number if number <= _LAST_ID else None


def _rows(roots: list[str], path: str, columns: int) -> list[list[str]]:
    """The lines of a file, in columns; none where there is no such file."""
    for root in roots:
        text = _read(root, path)
        if text is not None:
            rows = [line.strip().split(":") for line in text.splitlines()]
            return [row for row in rows if len(row) >= columns]
    return []


def _read(root: str, path: str) -> str | None:
    """A file's text, looked for as the container would; None where there is none, or no ordinary file."""
    with suppress(KernelError, OSError), kept_open(rootdir.find(root, path)) as found:
        # What is no file is not opened: a pipe would keep us waiting, a device might do something.
        if stat.S_ISREG(os.fstat(found).st_mode):
            with open(f"/proc/self/fd/{found}", "rb") as file:
                return file.read(_MOST).decode("utf-8", "surrogateescape")
    return None
