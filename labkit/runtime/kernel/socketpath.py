"""Paths of sockets that are longer than the kernel takes."""

from __future__ import annotations

import os

from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager


@contextmanager
def short_path(path: str) -> Iterator[str]:
    """Another way to a path, as long as the ``with`` lasts: a socket's takes 107 bytes (unix(7), sun_path), and the way
    through /proc is short however long the directory's is. OSError where there is no such directory.
    """
    with kept_open(os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"
