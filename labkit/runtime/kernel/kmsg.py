"""The kernel's log, /dev/kmsg (Documentation/ABI/testing/dev-kmsg): why a call failed, where errno says too little."""

from __future__ import annotations

import errno
import os

from labkit.runtime.std.collections.abc import Callable, Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress


@contextmanager
def watch(path: str = "/dev/kmsg") -> Iterator[Callable[[], list[str]]]:
    """What gives the messages since it was called last, the oldest first, from now on. It gives none where the log may
    not be read (``kernel.dmesg_restrict``).
    """
    log = -1
    with suppress(OSError):
        log = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.lseek(log, 0, os.SEEK_END)
    try:
        yield lambda: [text_of(record) for record in _records(log)]
    finally:
        if log >= 0:
            os.close(log)


def _records(log: int) -> Iterator[bytes]:
    while True:
        try:
            record = os.read(log, 8192)  # one record a read(2)
        except OSError as error:
            if error.errno == errno.EPIPE:  # some were overwritten; the next read is the oldest that is left
                continue
            return
        if not record:
            return
        yield record


def text_of(record: bytes) -> str:
    """The words of ``PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT``, without the lines of properties that may follow."""
    return record.decode("utf-8", "replace").partition(";")[2].partition("\n")[0]
