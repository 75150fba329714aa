"""The flags of ``run`` and ``update`` that limit a container, and what they mean in the specification."""

from __future__ import annotations

import os
import stat

from labkit.errors import UsageError
from labkit.runtime.cli.flags import Flags, Option
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile

#: docker's own least memory limit.
_LEAST_MEMORY = 6 << 20
_PERIOD = 100000

OPTIONS = (
    Option(("memory", "m"), "memory limit, as 64m", "SIZE", ""),
    Option(("memory-swap",), "limit of memory and swap together, as 128m; -1 for no limit", "SIZE", ""),
    Option(("cpus",), "processor limit, as 0.5; 0 for none", "N", None, kind="float"),
    Option(("cpu-shares",), "share of the processors where others want them, too (1024 each)", "N", None, kind="int"),
    Option(("cpu-period",), "microseconds by which --cpu-quota counts, 100000 by default", "N", None, kind="int"),
    Option(("cpu-quota",), "microseconds of a processor in each period; -1 for no limit", "N", None, kind="int"),
    Option(("cpuset-cpus",), "the only processors that it may use, as 0-1,3", "LIST"),
    Option(("cpuset-mems",), "the only memory nodes that it may use, as 0-1", "LIST"),
    Option(("memory-reservation",), "what it keeps where memory is short, as 32m", "SIZE", ""),
    Option(("blkio-weight",), "share of the disks where others want them, too: 10 to 1000", "N", None, kind="int"),
    Option(("pids-limit",), "limit of processes and threads; -1 for none", "N", None, kind="int"),
)

#: Only for a new container. Flag -> the specification's name of the throttle, whether it counts bytes, and the help.
_THROTTLES = {
    "device-read-bps": ("throttleReadBpsDevice", True, "bytes a second that it may read from a disk, as /dev/sda:1m"),
    "device-write-bps": ("throttleWriteBpsDevice", True, "bytes a second that it may write to a disk"),
    "device-read-iops": ("throttleReadIOPSDevice", False, "reads a second from a disk, as /dev/sda:100"),
    "device-write-iops": ("throttleWriteIOPSDevice", False, "writes a second to a disk"),
}
DISK_OPTIONS = (
    *(Option((flag,), words, "DISK:RATE", many=True) for flag, (_, _, words) in _THROTTLES.items()),
    Option(("memory-swappiness",), "0 to 100: how readily it is swapped out (cgroup v1)", "N", None, kind="int"),
    Option(("oom-kill-disable",), "its processes wait for memory, and are not killed (cgroup v1)"),
)

#: Flag -> where the specification has its number, the least and the most that the kernel takes, how to say that, and
#: what may be given besides: -1 is no limit; 0, where it is among them, asks for nothing.
_NUMBERS = {
    "cpu-shares": ("cpu", "shares", 2, 262144, "a number", ()),  # kernel/sched: MIN_SHARES, MAX_SHARES
    "cpu-period": ("cpu", "period", 1000, 1000000, "microseconds,", (0,)),  # min_cfs_quota_period
    "cpu-quota": ("cpu", "quota", 1000, (1 << 43) - 1, "microseconds, or -1 for no limit,", (0, -1)),
    "blkio-weight": ("blockIO", "weight", 10, 1000, "a number", (0,)),
    "pids-limit": ("pids", "limit", 1, 4194304, "-1 for no limit, or a number", (-1,)),  # PID_MAX_LIMIT
}


def resources(options: Flags) -> dict[str, Any]:
    """What was asked for, as the specification says it (config-linux.md, "Control groups"). UsageError if it cannot
    be.
    """
    found: dict[str, dict[str, Any]] = {"cpu": {}, "memory": _memory(options), "pids": {}, "blockIO": {}}
    if options.cpus is not None:
        if options.cpu_period is not None or options.cpu_quota is not None:
            raise UsageError("--cpus says the same as --cpu-period and --cpu-quota", "give one or the others")
        found["cpu"] = _quota(options.cpus)
    for flag, (section, name, least, most, words, besides) in _NUMBERS.items():
        number = checked(options, flag, least, most, words, besides)
        if number:
            found[section][name] = number
    if options.cpuset_cpus is not None:
        found["cpu"]["cpus"] = _numbers(options.cpuset_cpus, "processors", "--cpuset-cpus 0-1,3")
    if options.cpuset_mems is not None:
        found["cpu"]["mems"] = _numbers(options.cpuset_mems, "memory nodes", "--cpuset-mems 0-1")
    return {section: values for section, values in found.items() if values}


def checked(
    options: Flags, flag: str, least: int, most: int, words: str = "a number", besides: tuple[int, ...] = ()
) -> int | None:
    """A flag's number, None where it is not given. UsageError where it is out of bounds."""
    number: int | None = getattr(options, flag.replace("-", "_"))
    if number is not None and number not in besides and not least <= number <= most:
        raise UsageError(f"--{flag} {number} is not possible", f"{words} from {least} to {most}")
    return number


def for_new(options: Flags) -> dict[str, Any]:
    """All of ``resources``, and what cannot be changed later. UsageError if it cannot be."""
    found = resources(options)
    for name, what, kind in (("cpus", "processors", "cpu"), ("mems", "memory nodes", "node")):
        if name in found.get("cpu", {}):
            _check_there(found["cpu"][name], what, f"/sys/devices/system/{kind}/online")
    block = found.get("blockIO", {})
    for flag, (name, bytes_, _) in _THROTTLES.items():
        texts = getattr(options, flag.replace("-", "_"))
        if texts:
            block[name] = [_throttle(flag, text, bytes_) for text in texts]
    memory = found.get("memory", {})
    if checked(options, "memory-swappiness", 0, 100, besides=(-1,)) not in (None, -1):
        memory["swappiness"] = options.memory_swappiness
    if options.oom_kill_disable:
        memory["disableOOMKiller"] = True
    check_swap(memory)
    return {**found, **{name: part for name, part in (("blockIO", block), ("memory", memory)) if part}}


def _throttle(flag: str, text: str, bytes_: bool) -> dict[str, int]:
    """``/dev/sda:1m`` as the disk's numbers and the rate."""
    path, colon, rate = text.rpartition(":")
    try:
        about = os.stat(path if colon else text)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no path"
        raise UsageError(f"the disk of --{flag} {text[:200]} is not there: {why}", "write DISK:RATE") from None
    if not stat.S_ISBLK(about.st_mode):
        raise UsageError(f"{path} of --{flag} is no disk", "it must be a block device, as /dev/sda")
    if not bytes_ and not (rate.isascii() and rate.isdigit() and len(rate) < 16):
        raise UsageError(f"'{rate}' of --{flag} {text[:200]} is no rate", "a number of operations a second")
    number = parse_size(rate) if bytes_ else int(rate)
    return {"major": os.major(about.st_rdev), "minor": os.minor(about.st_rdev), "rate": number}


def _quota(cpus: float) -> dict[str, int]:
    if cpus == 0:
        return {"quota": -1, "period": _PERIOD}
    here = os.cpu_count() or 1024
    if not 0.01 <= cpus <= here:  # the kernel's least quota is a millisecond
        raise UsageError(
            f"--cpus {cpus:g} is not possible",
            f"from 0.01 to {here}, which is how many processors this machine has, or 0 for no limit",
        )
    return {"quota": round(cpus * _PERIOD), "period": _PERIOD}


def _numbers(text: str, what: str, example: str) -> str:
    import re  # local, as below: most containers have no limits

    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*", text):
        raise UsageError(f"'{text}' is no list of {what}", f"write numbers and ranges, as {example}")
    _expanded(text)
    return text


def _check_there(text: str, what: str, online: str) -> None:
    with suppress(OSError):  # no sysfs: then the kernel says it, as it does to an update
        there = textfile.read(online).strip()
        if not _expanded(text) <= _expanded(there):
            raise UsageError(f"this machine has not all of the {what} {text}", f"it has {there}")


def _expanded(text: str) -> set[int]:
    """``0-1,3`` as the three numbers. UsageError for a range that runs backwards."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if int(last or first) < int(first):
            raise UsageError(f"the range '{part}' runs backwards", f"write {last}-{first}")
        found.update(range(int(first), int(last or first) + 1))
    return found


def _memory(options: Flags) -> dict[str, int]:
    memory: dict[str, int] = {}
    if options.memory:
        memory["limit"] = parse_size(options.memory)
        if memory["limit"] < _LEAST_MEMORY:
            raise UsageError(
                f"--memory {options.memory} is not enough to start a program", "at least 6m, as docker has it"
            )
    if options.memory_reservation:
        memory["reservation"] = parse_size(options.memory_reservation)
        if memory["reservation"] < _LEAST_MEMORY:
            raise UsageError(f"--memory-reservation {options.memory_reservation} is too little", "at least 6m")
        if memory["reservation"] > memory.get("limit", memory["reservation"]):
            raise UsageError("--memory-reservation is more than --memory", "it is what is kept of that")
    if options.memory_swap:
        memory["swap"] = -1 if options.memory_swap == "-1" else parse_size(options.memory_swap)
    return memory


def check_swap(memory: dict[str, int]) -> None:
    """UsageError where swap is limited without memory, or to less: the limit is that of both together."""
    swap = memory.get("swap", -1)
    if swap >= 0 and memory.get("limit", -1) < 0:
        raise UsageError("--memory-swap is the limit of memory and swap together", "give --memory, too")
    if 0 <= swap < memory.get("limit", -1):
        raise UsageError("--memory-swap is less than --memory", "it is the limit of memory and swap together")


def parse_size(text: str) -> int:
    """``512m`` in bytes, as docker reads it: b, k, m, g, powers of 1024. UsageError for anything else."""
    import re

    match = re.fullmatch(r"([0-9]{1,15})([bkmg]?)b?", text.lower())
    if not match:
        raise UsageError(f"'{text}' is no size", "write a number and b, k, m or g, as --memory 64m")
    return int(match[1]) << (10 * "bkmg".index(match[2] or "b"))
