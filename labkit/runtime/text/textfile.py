"""Small text files, whole: read, written, replaced in one step; and what names there are.

Paths are strings: pathlib takes 4 ms to import.
"""

from __future__ import annotations

import os

from labkit.errors import KernelError
from labkit.runtime.std.contextlib import suppress


def read(path: str) -> str:
    """Its text. What is no UTF-8 in it becomes U+FFFD. FileNotFoundError, or another OSError."""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def read_strictly(path: str) -> str:
    """A text that a person wrote, perhaps on Windows: the mark that editors there put before UTF-8 is no part of it,
    and lines end as on Linux. OSError; ValueError, whose words end a sentence, for what is no such text.
    """
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError("it is written in UTF-16, and must be in UTF-8")
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8") from None


def write(path: str, text: str) -> None:
    """Make it, or overwrite it. OSError."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def replace(path: str, text: str) -> None:
    """Another text in one step: whoever reads meanwhile sees the old one or the new one (rename(2)). OSError."""
    beside = f"{path}.{os.getpid()}"
    try:
        write(beside, text)
        os.rename(beside, path)
    except OSError:
        remove(beside)
        raise


def save(path: str, text: str) -> None:
    """``replace``, for what labkit keeps. KernelError where it cannot be written."""
    try:
        replace(path, text)
    except OSError as error:
        raise KernelError(
            f"{path} cannot be written: {error.strerror}", "is the disk full?", error.errno or 0
        ) from error


def names(directory: str) -> list[str]:
    """What is in a directory; nothing where there is none. OSError."""
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def leads_to(path: str, descriptor: int) -> bool:
    """Whether a name is that of an open file still: another may have taken its place."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    return False


def remove(path: str) -> None:
    """Take it away, if it is there. OSError."""
    with suppress(FileNotFoundError):
        os.unlink(path)
