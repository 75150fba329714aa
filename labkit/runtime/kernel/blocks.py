"""Blocks: at whose end a descriptor is closed, in which a path is short, and what the kernel refuses a KernelError."""

from __future__ import annotations

import os

from labkit.errors import KernelError
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager


@contextmanager
def kept_open(descriptor: int) -> Iterator[int]:
    """Close it afterwards."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def short_path(path: str) -> Iterator[str]:
    """Another way to a path, as long as the ``with`` lasts: a socket's takes 107 bytes (unix(7), sun_path), and the way
    through /proc is short however long the directory's is. OSError where there is no such directory.
    """
    with kept_open(os.open(os.path.dirname(path) or ".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as directory:
        yield f"/proc/self/fd/{directory}/{os.path.basename(path)}"


@contextmanager
def kernel_error(what: str, hint: str = "") -> Iterator[None]:
    """An OSError in the block is raised as a KernelError: ``what`` was to be done, and the error's own words."""
    try:
        yield
    except OSError as error:
        raise KernelError(f"{what}: {error.strerror}", hint, error.errno or 0) from error
