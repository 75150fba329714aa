"""Paths inside a root file system that is not to be trusted: an image may hold links that point out of it."""

from __future__ import annotations

import os

from labkit.errors import ConfigError

#: As many links as the kernel follows (path_resolution(7)).
_MAXIMUM_LINKS = 40


def resolve(root: str, path: str) -> str:
    """The place of ``path`` below ``root``, each link read as the container would read it: absolute from ``root``.

    The last components need not exist. ConfigError for more than 40 links. It tells what there is at this moment: to
    change something that others may be changing, see rootdir.py.
    """
    pending = [part for part in path.split("/") if part]
    done: list[str] = []
    links = 0
    while pending:
        part = pending.pop(0)
        if part == ".":
            continue
        if part == "..":
            done = done[:-1]
            continue
        try:
            target = os.readlink(os.path.join(root, *done, part))
        except OSError:  # no link, or nothing there
            done.append(part)
            continue
        links += 1
        if links > _MAXIMUM_LINKS:
            raise ConfigError(f"{path} in the root file system {root} leads through more than {_MAXIMUM_LINKS} links")
        if target.startswith("/"):
            done = []
        pending = [step for step in target.split("/") if step] + pending
    return os.path.join(root, *done)
