"""What a file holds, from one descriptor to another, by the kernel: it does not come through here; holes stay holes.

copy_file_range(2) shares blocks or copies within a file system; from one to another it says EXDEV (Linux 5.19), and
sendfile(2) copies. Out of a pipe splice(2) does. Where none can (files of /proc), what was read is written.
"""

from __future__ import annotations

import errno
import os

from labkit.errors import KernelError
from labkit.runtime.kernel import libc
from labkit.runtime.std.collections.abc import Callable

Step = Callable[[int, int, int], int]

#: A call's bytes: it is one that a signal does not interrupt.
_STEP = 64 << 20
_BUFFER = 1 << 18
#: Below, one read(2) and one write(2) are all it takes.
_SMALL = 1 << 16
_CANNOT = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EPERM, errno.ETXTBSY)


def copy(source: int, target: int) -> int:
    """All of an open file to an empty one; the bytes that it has then. OSError.

    It is read to its end, whatever size it says it has: files of /proc say 0, those of /sys a page.
    """
    size = os.fstat(source).st_size
    position = 0
    while position < size:
        start, end = _data(source, position, size)
        os.lseek(source, start, os.SEEK_SET)
        os.lseek(target, start, os.SEEK_SET)
        copied = move(source, target, end - start) if start < end else 0
        position = start + copied
        if copied < end - start:  # it is shorter than it said
            break
    if position < size:
        os.ftruncate(target, position)
        return position
    if size < _SMALL:
        position += _by_hand(source, target, _STEP)
    os.ftruncate(target, position)  # a hole at the end
    return position


def _data(source: int, position: int, size: int) -> tuple[int, int]:
    """Where data begins at or behind ``position``, and where it ends (lseek(2)); both ``size`` where none comes."""
    try:
        start = os.lseek(source, position, os.SEEK_DATA)
        return start, min(os.lseek(source, start, os.SEEK_HOLE), size)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return size, size
        return position, size  # a file system without holes


def move(source: int, target: int, size: int) -> int:
    """As many bytes from where the one stands to where the other does; fewer only where the source ends. OSError."""
    done = 0
    for step in (_by_hand,) if size < _SMALL else (os.copy_file_range, _sendfile, _splice, _by_hand):
        while done < size:
            try:
                count = step(source, target, min(size - done, _STEP))
            except OSError as error:
                if step is _by_hand or error.errno not in _CANNOT:
                    raise
                break
            if not count:  # the end, or a file that these calls take for empty
                break
            done += count
    return done


def _sendfile(source: int, target: int, size: int) -> int:
    return os.sendfile(target, source, None, size)  # None: from where it stands


def _splice(source: int, target: int, size: int) -> int:
    try:
        return libc.call("splice", source, None, target, None, size, 0)  # Python has it since 3.10
    except KernelError as error:
        raise OSError(error.errno, os.strerror(error.errno)) from None


def _by_hand(source: int, target: int, size: int) -> int:
    done = 0
    while done < size:
        block = os.read(source, min(size - done, _BUFFER))
        if not block:
            break
        write(target, block)
        done += len(block)
    return done


def write(target: int, data: bytes | memoryview) -> None:
    """All of it (write(2) may take less)."""
    left = memoryview(data)
    while left:
        left = left[os.write(target, left) :]
