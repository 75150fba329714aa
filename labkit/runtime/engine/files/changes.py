"""What a container has changed in its root file system: its writable layer, read against the layers below.

Both are read as directories, so that it does not matter whether the container runs.
"""

from __future__ import annotations

import os
import stat

from labkit.runtime.std.collections.abc import Iterator

_AUFS = ".wh."
_AUFS_OWN = ".wh..wh."


def changes(upper: str, lowers: list[str]) -> list[tuple[str, str]]:
    """``(kind, path)`` by path; kind is ``A`` (added), ``C`` (changed) or ``D`` (deleted). ``lowers``: top first."""
    return list(_below(upper, lowers, "/"))


def _below(upper: str, lowers: list[str], path: str) -> Iterator[tuple[str, str]]:
    own = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(upper)}
    gone = {name for name, status in own.items() if _is_overlay_whiteout(status)}
    gone |= {name[len(_AUFS) :] for name in own if name.startswith(_AUFS) and not name.startswith(_AUFS_OWN)}
    shown = {name: status for name, status in own.items() if name not in gone and not name.startswith(_AUFS)}
    if is_opaque(upper):
        gone |= {name for lower in lowers for name in os.listdir(lower) if not name.startswith(_AUFS_OWN)} - set(shown)
    for name in sorted({*shown, *gone}):
        before = _found(lowers, name)
        if name not in shown:
            if before:
                yield "D", path + name
            continue
        yield "C" if before else "A", path + name
        if stat.S_ISDIR(shown[name].st_mode):
            yield from _below(f"{upper}/{name}", _directories(before), f"{path}{name}/")


def _found(lowers: list[str], name: str) -> list[str]:
    """Where a name stands in the layers below, as far down as it is not hidden."""
    found = []
    for lower in lowers:
        place = f"{lower}/{name}"
        if os.path.lexists(f"{lower}/{_AUFS}{name}"):
            break
        if os.path.lexists(place):
            if _is_overlay_whiteout(os.lstat(place)):
                break
            found.append(place)
    return found


def _directories(places: list[str]) -> list[str]:
    """Those that make up one directory: a file, or an opaque directory, hides what is below it. No link is followed."""
    found = []
    for place in places:
        if not stat.S_ISDIR(os.lstat(place).st_mode):
            break
        found.append(place)
        if is_opaque(place):
            break
    return found


def _is_overlay_whiteout(status: os.stat_result) -> bool:
    """A character device with the numbers 0/0 (overlayfs.rst)."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: str) -> bool:
    """Whether it hides all that the layers below have in it, in overlay's words or in aufs's."""
    if os.path.lexists(f"{directory}/{_AUFS_OWN}.opq"):
        return True
    try:
        return os.getxattr(directory, "trusted.overlay.opaque", follow_symlinks=False) == b"y"
    except OSError:
        return False
