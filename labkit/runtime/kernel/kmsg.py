"""The kernel's log, /dev/kmsg (Documentation/ABI/testing/dev-kmsg): why a call failed, where errno says too little."""

from __future__ import annotations

import errno
import os

from labkit.runtime.std.types import TracebackType


class Watch:
    """What the kernel writes from now on. Hears nothing where the log may not be read (``kernel.dmesg_restrict``)."""

    def __init__(self, path: str = "/dev/kmsg") -> None:
        self._descriptor = -1
        try:
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            os.lseek(self._descriptor, 0, os.SEEK_END)
        except OSError:
            self.close()

    def messages(self) -> list[str]:
        """The messages since the last call, the oldest first."""
        found = []
        while self._descriptor >= 0:
            try:
                record = os.read(self._descriptor, 8192)  # one record a read(2)
            except OSError as error:
                if error.errno == errno.EPIPE:  # some were overwritten; the next read is the oldest that is left
                    continue
                break
            if not record:
                break
            found.append(text_of(record))
        return found

    def close(self) -> None:
        """Stop listening."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def text_of(record: bytes) -> str:
    """The words of ``PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;TEXT``, without the lines of properties that may follow."""
    return record.decode("utf-8", "replace").partition(";")[2].partition("\n")[0]
