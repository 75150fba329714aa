"""Which cgroup hierarchies this machine has mounted (/proc/self/mountinfo)."""

from __future__ import annotations

from functools import lru_cache

from labkit import textfile
from labkit.value import Value, field


class Hierarchies(Value):
    """``v1`` maps a controller (or ``name=systemd``) to its mount point; ``v2`` is the unified tree's, or empty."""

    v1: dict[str, str] = field(default_factory=dict)
    v2: str = ""

    @property
    def mode(self) -> str:
        """``v2``, ``v1``, ``hybrid`` or ``none``."""
        if self.v1:
            return "hybrid" if self.v2 else "v1"
        return "v2" if self.v2 else "none"


def detect(mountinfo: str | None = None) -> Hierarchies:
    """Read the table (or the text given). The first mount of a hierarchy counts; a controller's name stands in its
    options.
    """
    text = textfile.read("/proc/self/mountinfo") if mountinfo is None else mountinfo
    v1: dict[str, str] = {}
    v2 = ""
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.partition(" ")
        point = fields.split(" ")[4]
        if kind == "cgroup2" and not v2:
            v2 = point
        elif kind == "cgroup":
            for word in options.split(" ")[-1].split(","):
                if word not in ("rw", "ro", "xattr", "clone_children", "noprefix") and "release_agent" not in word:
                    v1.setdefault(word, point)
    return Hierarchies(v1, v2)


@lru_cache(maxsize=1)
def here() -> Hierarchies:
    """``detect()``, once: what is mounted does not change while a command runs."""
    return detect()
