"""Which cgroup hierarchies this machine has mounted (/proc/self/mountinfo)."""

from __future__ import annotations

import os

from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std.collections.abc import Iterable, Iterator
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.std.functools import cache
from labkit.runtime.text import textfile


@dataclass(frozen=True)
class Hierarchies:
    """``v1`` maps a controller (or ``name=systemd``) to its mount point; ``v2`` is the unified tree's, or empty."""

    v1: dict[str, str] = field(default_factory=dict)
    v2: str = ""

    @property
    def mode(self) -> str:
        """``v2``, ``v1``, ``hybrid`` or ``none``."""
        if self.v1:
            return "hybrid" if self.v2 else "v1"
        return "v2" if self.v2 else "none"


def detect() -> Hierarchies:
    """What this process sees mounted now.

    The kernel takes 7 µs for each line of the table, and each container has some; so the reading ends when all
    hierarchies are found that /proc/self/cgroup names.
    """
    with suppress(FileNotFoundError):  # a kernel without cgroups
        return hierarchies(_lines("/proc/self/mountinfo"), _in_use(textfile.read("/proc/self/cgroup")))
    return Hierarchies()


def hierarchies(table: Iterable[str], wanted: set[str] | None = None) -> Hierarchies:
    """Those of the lines of a mountinfo. The first mount of a hierarchy counts; a controller's name stands in its
    options. With ``wanted`` (controllers of v1, an empty word for v2) no line is read after the last of them.
    """
    v1: dict[str, str] = {}
    v2 = ""
    for line in table:
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        point = fields.split(" ")[4]
        if kind == "cgroup2" and not v2:
            v2 = point
        elif kind == "cgroup":
            for word in options.split(" ")[-1].split(","):
                if word not in ("rw", "ro", "xattr", "clone_children", "noprefix") and "release_agent" not in word:
                    v1.setdefault(word, point)
        if wanted is not None and wanted <= {*v1, *([""] if v2 else [])}:
            break
    return Hierarchies(v1, v2)


def _in_use(cgroup: str) -> set[str]:
    """The controllers (or ``name=…``) of v1 that have a hierarchy, and an empty word for v2 (cgroups(7))."""
    return {word for line in cgroup.splitlines() for word in line.split(":")[1].split(",")}


def _lines(path: str) -> Iterator[str]:
    """A file of the kernel's, read no further than is asked for."""
    with kept_open(os.open(path, os.O_RDONLY | os.O_CLOEXEC)) as descriptor:
        rest = b""
        while data := os.read(descriptor, 4096):
            *lines, rest = (rest + data).split(b"\n")
            yield from map(os.fsdecode, lines)


@cache
def here() -> Hierarchies:
    """``detect()``, once: what is mounted does not change while a command runs."""
    return detect()
