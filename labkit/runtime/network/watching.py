"""Links, addresses, routes and neighbours as they come and go, in this machine's network namespace and in all others.

The kernel tells every socket that listens (rtnetlink(7)), and, where it is asked to, of each namespace that has a
number in ours: one has from the moment at which a cable leads to it (netlink(7), NETLINK_LISTEN_ALL_NSID, since 4.2).
"""

from __future__ import annotations

import errno
import os
import select
import struct
import time

from labkit.errors import KernelError
from labkit.runtime.network import reading
from labkit.runtime.network.links import NETNS_DIRECTORY, namespace_path
from labkit.runtime.network.reading import Fact, Link
from labkit.runtime.std import socket
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass, replace
from labkit.runtime.std.typing import Any

_SOL_NETLINK, _LISTEN_ALL_NSID, _SO_RCVBUFFORCE, _ROOM = 270, 8, 33, 4 << 20
#: Multicast groups (linux/rtnetlink.h): links, neighbours, IPv4 addresses and routes, and namespaces' numbers.
_GROUPS = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 6 | 1 << 27
_OURS = -1


@dataclass(frozen=True)
class Event:
    """Something is ``new``, has ``changed``, or is ``gone``; ``namespace`` is empty for this machine's own."""

    time: float
    what: str
    namespace: str
    fact: Fact


class Watch:
    """From its making on, nothing that happens is missed."""

    def __init__(self) -> None:
        self._parse = reading.decoder()
        self._wire = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._wire.setsockopt(_SOL_NETLINK, _LISTEN_ALL_NSID, 1)
        try:
            self._wire.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        except PermissionError:  # root of a user namespace alone: as much as net.core.rmem_max lets everybody have
            self._wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self._wire.bind((0, _GROUPS))
        self._known: dict[tuple[int, str, str, str], Fact] = {}
        self._names: dict[int, dict[int, str]] = {}
        self._spaces: dict[int, str] = {}
        for number, name in {_OURS: "", **_numbered()}.items():
            self._known.update((_key(number, fact), fact) for fact in self._learn(number, name))

    def events(self, output: int, seconds: float = 0) -> Iterator[Event]:
        """What happens, for that long; 0 is for ever. BrokenPipeError where nobody reads ``output`` any more."""
        end = time.monotonic() + seconds if seconds else float("inf")
        waiting = select.poll()
        waiting.register(self._wire, select.POLLIN)
        waiting.register(output, 0)  # its end is told of unasked (poll(2), POLLERR and POLLHUP)
        while (left := end - time.monotonic()) > 0:
            for descriptor, _ in waiting.poll(min(left, 3600.0) * 1000):
                if descriptor == output:
                    raise BrokenPipeError
                namespace, messages = self._read()
                for message in messages:
                    yield from self._take(namespace, message)

    def _read(self) -> tuple[int, Iterator[Any]]:
        try:
            data, beside, _, _ = self._wire.recvmsg(1 << 16, 64)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            raise KernelError("more happened at once than could be read", "begin to watch again", error.errno) from None
        numbers = [struct.unpack("=i", value)[0] for level, kind, value in beside if level == _SOL_NETLINK]
        return numbers[0] if numbers else _OURS, self._parse(data)

    def _take(self, namespace: int, message: Any) -> Iterator[Event]:
        kind = message["event"]
        if kind == "RTM_NEWNSID":
            yield from self._enter(message.get_attr("NETNSA_NSID"))
        elif kind == "RTM_DELNSID":  # the kernel says nothing from a namespace that ends
            yield from self._drop(message.get_attr("NETNSA_NSID"))
        else:
            names = self._names.setdefault(namespace, {})
            if kind == "RTM_NEWLINK":
                self._rename(namespace, names.get(message["index"], ""), message.get_attr("IFLA_IFNAME"))
                names[message["index"]] = message.get_attr("IFLA_IFNAME")
            fact = reading.fact(message, names)
            if fact and kind == "RTM_DELLINK":  # nor of an IPv4 route that goes with its device
                names.pop(message["index"], None)
                yield from self._drop(namespace, fact.device)
            elif fact:
                yield from self._note(namespace, fact, kind.startswith("RTM_NEW"))

    def _rename(self, namespace: int, before: str, now: str) -> None:
        """What is known of a device is of its new name from now on; that it has one is said of the link itself."""
        for key, fact in list(self._known.items()) if before not in ("", now) else []:
            if key[:2] == (namespace, before):
                del self._known[key]
                renamed = replace(fact, device=now)
                self._known[_key(namespace, renamed)] = fact if isinstance(fact, Link) else renamed

    def _note(self, namespace: int, fact: Fact, is_there: bool) -> Iterator[Event]:
        key = _key(namespace, fact)
        before = self._known.get(key)
        if is_there and before != fact:
            self._known[key] = fact
            yield self._event("changed" if before else "new", namespace, fact)
        elif before and not is_there:
            yield self._event("gone", namespace, self._known.pop(key))

    def _event(self, what: str, namespace: int, fact: Fact) -> Event:
        return Event(time.time(), what, self._spaces.get(namespace, f"netns {namespace}"), fact)

    def _learn(self, number: int, name: str = "") -> list[Fact]:
        """A namespace and the names of its devices; what it has."""
        facts: list[Fact] = []
        with suppress(OSError, KernelError):  # it may go at this moment
            facts = reading.picture(namespace_path(name) if name else "")
            self._spaces[number] = name
            self._names[number] = {fact.index: fact.device for fact in facts if isinstance(fact, Link)}
        return facts

    def _enter(self, number: int) -> Iterator[Event]:
        """A namespace has got a number because of a cable, whose other end was not told of."""
        name = _numbered().get(number)
        for fact in self._learn(number, name) if name else []:
            if isinstance(fact, Link) and fact.device != "lo":
                yield from self._note(number, replace(fact, is_up=False), True)  # as it was born

    def _drop(self, namespace: int, device: str = "") -> Iterator[Event]:
        """All that is known of a namespace, or of a device in it, the last first."""
        for key in list(self._known)[::-1]:
            if key[0] == namespace and device in ("", key[1]):
                yield self._event("gone", namespace, self._known.pop(key))
        if not device:  # the next namespace that has its number is another one, and may have no name
            self._spaces.pop(namespace, None)
            self._names.pop(namespace, None)


def _key(namespace: int, fact: Fact) -> tuple[int, str, str, str]:
    subject = getattr(fact, "address", "") or f"{getattr(fact, 'destination', '')} {getattr(fact, 'metric', '')}"
    return namespace, fact.device, fact.subject, subject


def _numbered() -> dict[int, str]:
    """The named network namespaces that have a number in ours, by it."""
    found = {}
    with suppress(FileNotFoundError):
        for name in os.listdir(NETNS_DIRECTORY):
            # It may be a file without a namespace: one that is just made, or that goes at this moment.
            with suppress(OSError), reading.kernel() as wire, open(namespace_path(name), "rb") as file:
                found[wire.get_netnsid(fd=file.fileno())["nsid"]] = name
    found.pop(0xFFFFFFFF, None)  # NETNSA_NSID_NOT_ASSIGNED: no cable leads there
    return found
