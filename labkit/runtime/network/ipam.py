"""Addresses and subnets: how they are written, what they are for the kernel, and which is next. Pure.

Elsewhere an address is a word that is handed on, and IPv6 would begin here: with another form for ``number_of`` and
``text_of``, ``packed`` and FAMILY by the address, 128 bits in ``bounds``, ``[ADDRESS]:PORT`` in ``split``. Beside this,
what says IPv4 is found by ``ipam.FAMILY`` (messages of the kernel), ``/32`` and ``ipv4`` (rules, settings), and
``ANY`` in model.py (ports).

Addresses are whole numbers here: the standard ``ipaddress`` takes 4 ms to import, on every start of a container.
"""

from __future__ import annotations

from labkit.errors import ConflictError, UsageError
from labkit.runtime.std import socket
from labkit.runtime.std.collections.abc import Collection, Iterable

FAMILY = socket.AF_INET

#: Where a network without a wished subnet gets one: as large as labkit0's, and beside it.
POOL = tuple(f"10.{number}.0.0/16" for number in range(78, 128)) + tuple(
    f"192.168.{number}.0/24" for number in range(200, 256)
)


def number_of(address: str) -> int:
    """An IPv4 address as a number. UsageError if it is none: four numbers to 255, without leading zeros."""
    parts = address.split(".")
    if len(parts) != 4 or not all(_is_byte(part) for part in parts):
        raise UsageError(f"'{address}' is no IPv4 address", "four numbers from 0 to 255, as 10.90.0.7")
    return int.from_bytes(map(int, parts), "big")


def _is_byte(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= 3 and int(word) <= 255 and str(int(word)) == word


def text_of(number: int) -> str:
    """The number as an address."""
    return ".".join(map(str, number.to_bytes(4, "big")))


def packed(address: str) -> bytes:
    """As the kernel's messages have it: its bytes, the highest first."""
    return number_of(address).to_bytes(4, "big")


def split(end: str) -> tuple[str, str]:
    """``10.77.0.2:6379`` as address and port; the port may be missing."""
    return end.partition(":")[::2]


def mac_of(address: str) -> str:
    """The hardware address that goes with it, as docker's: 02 says that no maker of cards gave it (IEEE 802)."""
    return f"02:42:{packed(address).hex(':')}"


def prefix_of(subnet: str) -> int:
    """The 16 of ``10.77.0.0/16``."""
    return int(subnet.partition("/")[2])


def bounds(subnet: str) -> tuple[int, int]:
    """Its first and last number: network address and broadcast."""
    first = number_of(subnet.partition("/")[0])
    return first, first | (1 << 32 - prefix_of(subnet)) - 1


def check_subnet(text: str) -> str:
    """UsageError unless it is a subnet for containers, as 10.90.0.0/24, without bits behind the prefix."""
    address, slash, prefix = text.partition("/")
    hint = "write it as 10.90.0.0/24"
    if not (slash and prefix.isascii() and prefix.isdigit() and len(prefix) <= 2):
        raise UsageError(f"'{text}' is no subnet", hint)
    first = number_of(address)
    if not 8 <= int(prefix) <= 29:
        raise UsageError(f"the subnet {text} is too large or too small", "a prefix from /8 to /29")
    if first & (1 << 32 - int(prefix)) - 1:
        meant = text_of(first >> 32 - int(prefix) << 32 - int(prefix))
        raise UsageError(f"{text} is an address within a subnet", f"the subnet is {meant}/{int(prefix)}")
    if first >> 24 in (0, 127) or first >> 24 >= 224:
        raise UsageError(f"{text} is no subnet for hosts", hint)
    return f"{address}/{int(prefix)}"


def is_host(address: str, subnet: str) -> bool:
    """Whether a host of the subnet may have that address. UsageError if it is none."""
    first, last = bounds(subnet)
    return first < number_of(address) < last


def overlap(one: str, other: str) -> bool:
    """Whether two subnets share an address."""
    (first, last), (start, end) = bounds(one), bounds(other)
    return first <= end and start <= last


def gateway(subnet: str) -> str:
    """The network's first host address; the bridge has it."""
    return text_of(bounds(subnet)[0] + 1)


def allocate(subnet: str, used: Collection[str], wish: str = "") -> str:
    """The lowest free host address of ``subnet`` (as ``10.77.0.0/16``), or the one wished for; the first is never free.

    ConflictError if none is free, or that one is not; UsageError for a wish outside.
    """
    first, last = bounds(subnet)
    taken = {number_of(address) for address in used} | {first + 1}
    if wish:
        if not is_host(wish, subnet):
            raise UsageError(f"the address {wish} is not of the subnet {subnet}", "choose one between its ends")
        if number_of(wish) in taken:
            raise ConflictError(f"the address {wish} is in use", "choose another one, or none")
        return wish
    for number in range(first + 1, last):
        if number not in taken:
            return text_of(number)
    raise ConflictError(
        f"all addresses of {subnet} are in use", "stop a container, or use a network with a larger subnet"
    )


def pick_subnet(taken: Iterable[str]) -> str:
    """The first of the pool that overlaps none of ``taken``. ConflictError if there is none."""
    known = list(taken)
    for subnet in POOL:
        if not any(overlap(subnet, other) for other in known):
            return subnet
    raise ConflictError("no subnet is left in labkit's pool", "give one: --subnet 172.30.0.0/24")
