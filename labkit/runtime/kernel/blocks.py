"""Blocks: at whose end a descriptor is closed, and in which what the kernel refuses is a KernelError."""

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
def kernel_error(what: str, hint: str = "") -> Iterator[None]:
    """An OSError in the block is raised as a KernelError: ``what`` was to be done, and the error's own words."""
    try:
        yield
    except OSError as error:
        raise KernelError(f"{what}: {error.strerror}", hint, error.errno or 0) from error
