"""A stream that can only be read on, as ``tarfile`` wants its files: it tells where it is, and goes back never."""

from __future__ import annotations

import io
import os

from labkit.errors import ConfigError
from labkit.runtime.kernel import filedata
from labkit.runtime.std import importlib
from labkit.runtime.std.typing import Any

_BLOCK = 512
_BUFFER = 1 << 18
#: A name and what else may be in a header are much shorter; a damaged length would be read into memory.
_LONGEST_HEADER = 16 << 20
#: How a packed stream begins -> the module that unpacks it; but for zstd's.
_MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\0": "lzma", b"\x28\xb5\x2f\xfd": "zstd"}


def damaged(error: object) -> ConfigError:
    """For a stream that is no archive."""
    return ConfigError(f"this is no tar archive, or a damaged one: {error}", "as tar -c writes it")


class _Raw(io.RawIOBase):
    """A descriptor, and what has been read from it already."""

    def __init__(self, descriptor: int, head: bytes) -> None:
        self.descriptor, self.head = descriptor, head

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self.head:
            count = min(len(self.head), len(buffer))
            buffer[:count] = self.head[:count]
            self.head = self.head[count:]
            return count
        return os.readv(self.descriptor, [buffer])


class Forward:
    """What tarfile.TarFile needs of a file, and ``into``, by which data goes on without passing through it. ``source``
    has ``readinto``, and ``damage`` are the errors by which that says that the stream is none.
    """

    def __init__(self, source: Any, damage: tuple[type[Exception], ...] = ()) -> None:
        self._source = source
        self._damage = damage
        self._position = 0
        self._buffer = memoryview(bytearray(_BUFFER))

    def tell(self) -> int:
        """How much has been read."""
        return self._position

    def read(self, size: int = -1) -> bytes:
        """As many bytes; fewer at the end. ConfigError for more than a header can have."""
        if not 0 <= size <= _LONGEST_HEADER:
            raise damaged(f"a header of {size} bytes")
        found = bytearray()
        while part := self._read(min(size - len(found), _BUFFER)):
            found += part
        return bytes(found)

    def seek(self, position: int) -> None:
        """Read on to there, or to the end."""
        while self._position < position and self._read(min(position - self._position, _BUFFER)):
            pass

    def into(self, target: int, size: int) -> None:
        """The next ``size`` bytes to a descriptor, and the stream stands behind the block that they end in.

        ConfigError where it ends before.
        """
        left = size
        while left:
            # What is still in memory, and what has to be unpacked, comes through here.
            if isinstance(self._source, _Raw) and not self._source.head:
                moved = filedata.move(self._source.descriptor, target, left)
                self._position += moved
                left -= moved
                if not left:
                    break
            part = self._read(min(left, _BUFFER))
            if not part:
                raise damaged("it ends in the middle of a file")
            filedata.write(target, part)
            left -= len(part)
        self.seek(self._position + -size % _BLOCK)

    def _read(self, size: int) -> memoryview:
        try:
            count = self._source.readinto(self._buffer[:size])
        except self._damage as error:
            raise damaged(error) from error
        self._position += count or 0
        return self._buffer[: count or 0]


def opened(descriptor: int) -> Forward | None:
    """The stream, unpacked if gzip(1), bzip2(1) or xz(1) have packed it; None where it is empty."""
    head = b""
    while part := os.read(descriptor, _BLOCK - len(head)):
        head += part
    raw = _Raw(descriptor, head)
    packer = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
    if packer == "zstd":
        raise ConfigError("a stream that zstd has packed cannot be read", "as zstd -d | labkit cp - …")
    if not packer:
        return Forward(raw) if head else None
    buffered = io.BufferedReader(raw, _BUFFER)
    import zlib  # local, as its module: few are packed

    module = importlib.import_module(packer)
    damage = (OSError, EOFError, ValueError, zlib.error, getattr(module, "LZMAError", OSError))
    return Forward(module.open(buffered), damage)
