"""Compiled filters of system calls, kept until the machine is booted again: to compile the default one takes 10 ms.

A file holds everything that it was compiled from (profile, machine, kernel, which libseccomp), and is used only where
that is the same, byte by byte; its name is but a short sum of it. Others than root can neither read nor write there,
and a directory or file of somebody else's is not looked at.
"""

from __future__ import annotations

import os
import stat
from binascii import crc32

from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.kernel.seccomp import Filter
from labkit.runtime.std import ctypes
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.runtime.oci.spec.seccomp import Profile

DIRECTORY = "/run/labkit-seccomp"
_LIBRARY = "libseccomp.so.2"
#: Where distributions have it; one that lies elsewhere is found by the loader, and nothing is kept then.
_PLACES = (f"/usr/lib/{os.uname().machine}-linux-gnu", "/usr/lib64", "/usr/lib", "/lib64", "/lib")
_MOST = 1 << 20


def has_library() -> bool:
    """Whether libseccomp is here."""
    if _library():
        return True
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    return True


def compiled(profile: Profile) -> Filter:
    """The filter of a profile, by libseccomp or from what it made before. ConfigError, MissingToolError."""
    library = _library()
    if not library or os.geteuid() != 0:
        return _compile(profile)
    about = os.uname()
    key = f"1 {library} {about.machine} {about.release} {about.version} {profile!r}".encode()
    path = f"{DIRECTORY}/{crc32(key):08x}"
    found = _read(path, key)
    if found is None:
        found = _compile(profile)
        _keep(path, key, found)
    return found


def _library() -> str:
    """The library's file, by its size and the time of its last change; empty where it is not found."""
    for place in _PLACES:
        try:
            about = os.stat(f"{place}/{_LIBRARY}")
        except OSError:
            continue
        return f"{place} {about.st_ino} {about.st_size} {about.st_mtime_ns}"
    return ""


def _compile(profile: Profile) -> Filter:
    from labkit.runtime.oci import libseccomp  # local: it brings libseccomp

    return libseccomp.compiled(profile)


def _is_ours(about: os.stat_result) -> bool:
    return about.st_uid == 0 and not stat.S_IMODE(about.st_mode) & 0o077


def _read(path: str, key: bytes) -> Filter | None:
    """Three parts, each after its length: the key, the flags, the program."""
    try:
        if not _is_ours(os.lstat(DIRECTORY)):
            return None
        with kept_open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)) as descriptor:
            about = os.fstat(descriptor)
            if not stat.S_ISREG(about.st_mode) or not _is_ours(about) or about.st_size > _MOST:
                return None
            data = os.read(descriptor, _MOST)
    except OSError:
        return None
    head = b"%d\n" % len(key) + key
    if not data.startswith(head):
        return None
    flags, _, program = data[len(head) :].partition(b"\n")
    size, _, program = program.partition(b"\n")
    if not (flags.isdigit() and size == b"%d" % len(program)) or len(program) % 8 or not program:
        return None
    return Filter(program, int(flags))


def _keep(path: str, key: bytes, made: Filter) -> None:
    """Beside, and renamed: nobody reads half of it. Where it cannot be kept it is compiled again the next time."""
    data = b"%d\n" % len(key) + key + b"%d\n%d\n" % (made.flags, len(made.program)) + made.program
    beside = f"{path}.{os.getpid()}"
    try:
        os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
        if not _is_ours(os.lstat(DIRECTORY)):
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with kept_open(os.open(beside, flags, 0o600)) as file:
            whole = os.write(file, data) == len(data)
        os.rename(beside, path) if whole else os.unlink(beside)
    except OSError:
        return
