"""Hearing from the kernel that it killed a process of a group for want of memory (``events``)."""

from __future__ import annotations

import os
import select

from labkit.errors import NotFoundError
from labkit.runtime.cgroups import v1, v2
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.cgroups.grouptree import missing
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.operations.files import write_kernel_file
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import suppress


def watch(path: str, hierarchies: Hierarchies, seconds: float = 1.0) -> Iterator[int]:
    """How many were killed since the last time, now and then: a number above 0 as soon as it happens, 0 after
    ``seconds`` without, so that the caller can look after other things. It ends when the group is gone.

    NotFoundError where this machine has no memory controller, or there is no such group.
    """
    if "memory" in hierarchies.v1:
        yield from _watch_v1(v1.directory("memory", path, hierarchies), seconds)
    elif hierarchies.v2:
        yield from _watch_v2(v2.directory(path, hierarchies), seconds)
    else:
        raise missing("memory", "v1", "nobody says when memory runs out")


def killed(path: str, hierarchies: Hierarchies) -> int:
    """How many of its processes were killed so far, in groups below it, too; 0 where nothing counts them.

    memory.events of v2, memory.oom_control of v1 (since 4.13).
    """
    file = f"{v2.directory(path, hierarchies)}/memory.events"
    if "memory" in hierarchies.v1:
        file = f"{v1.directory('memory', path, hierarchies)}/memory.oom_control"
    try:
        with kept_open(os.open(file, os.O_RDONLY | os.O_CLOEXEC)) as descriptor:
            return _killed(descriptor)
    except OSError:
        return 0


def _watch_v1(place: str, seconds: float) -> Iterator[int]:
    """An eventfd that the kernel counts up (cgroup-v1/memory.rst, "OOM Control"); also once when the group goes."""
    try:
        control = os.open(f"{place}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise _no_group(place) from None
    event = _eventfd()
    try:
        write_kernel_file(f"{place}/cgroup.event_control", f"{event} {control}")
        poll = select.poll()
        poll.register(event, select.POLLIN)
        while True:
            times = int.from_bytes(os.read(event, 8), "little") if poll.poll(int(seconds * 1000)) else 0
            if not os.path.exists(place):
                return
            yield times
    finally:
        os.close(event)
        os.close(control)


def _eventfd() -> int:
    if hasattr(os, "eventfd"):  # Python 3.10
        return os.eventfd(0, os.EFD_CLOEXEC)
    from labkit.runtime.kernel import libc  # local: for an older Python alone

    return libc.call("eventfd", 0, os.O_CLOEXEC, what="eventfd")  # EFD_CLOEXEC has O_CLOEXEC's value (eventfd(2))


def _watch_v2(place: str, seconds: float) -> Iterator[int]:
    """memory.events wakes whoever polls it for POLLPRI (cgroup-v2.rst, "memory.events")."""
    try:
        events = os.open(f"{place}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        raise _no_group(place) from None
    try:
        poll = select.poll()
        poll.register(events, select.POLLPRI)
        killed = _killed(events)
        while True:
            poll.poll(int(seconds * 1000))
            try:
                now = _killed(events)
            except OSError:  # ENODEV: the group is gone
                return
            yield max(0, now - killed)
            killed = now
    finally:
        with suppress(OSError):
            os.close(events)


def _killed(descriptor: int) -> int:
    text = os.pread(descriptor, 4096, 0).decode("ascii")
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)


def _no_group(place: str) -> NotFoundError:
    return NotFoundError(f"there is no group {place} with a memory controller", "is the container running?")
