"""The flags of ``run`` and ``update`` that limit a container, and what they mean in the specification."""

from __future__ import annotations

from labkit.cli.options import Option, Options
from labkit.errors import UsageError
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

#: docker's own least memory limit.
_LEAST_MEMORY = 6 << 20
_PERIOD = 100000


OPTIONS = (
    Option(("memory", "m"), "memory limit, as 64m", "SIZE", ""),
    Option(("memory-swap",), "limit of memory and swap together, as 128m; -1 for no limit", "SIZE", ""),
    Option(("cpus",), "processor limit, as 0.5; 0 for none", "N", None, kind="float"),
    Option(("cpu-shares",), "share of the processors where others want them, too (1024 each)", "N", None, kind="int"),
    Option(("cpuset-cpus",), "the only processors that it may use, as 0-1,3", "LIST"),
    Option(("pids-limit",), "limit of processes and threads; -1 for none", "N", None, kind="int"),
)


def resources(options: Options) -> dict[str, Any]:
    """What was asked for, as the specification says it (config-linux.md, "Control groups"). UsageError if it cannot
    be.
    """
    cpu: dict[str, Any] = {}
    if options.cpus is not None:
        cpu |= _quota(options.cpus)
    if options.cpu_shares is not None:
        if not 2 <= options.cpu_shares <= 262144:  # the kernel's own bounds (kernel/sched: MIN_SHARES, MAX_SHARES)
            raise UsageError(f"--cpu-shares {options.cpu_shares} is not possible", "a number from 2 to 262144")
        cpu["shares"] = options.cpu_shares
    if options.cpuset_cpus is not None:
        cpu["cpus"] = _processors(options.cpuset_cpus)
    memory = _memory(options)
    found = {"cpu": cpu, "memory": memory, "pids": _pids(options.pids_limit)}
    return {name: values for name, values in found.items() if values}


def _quota(cpus: float) -> dict[str, int]:
    if cpus == 0:
        return {"quota": -1, "period": _PERIOD}
    if not 0.01 <= cpus <= 1024:  # the kernel's least quota is a millisecond
        raise UsageError(
            f"--cpus {cpus:g} is not possible", "a number from 0.01 on, as 0.5 for half a processor, or 0 for no limit"
        )
    return {"quota": round(cpus * _PERIOD), "period": _PERIOD}


def _processors(text: str) -> str:
    import re  # local, as below: most containers have no limits

    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?(,[0-9]{1,5}(-[0-9]{1,5})?)*", text):
        raise UsageError(f"'{text}' is no list of processors", "write numbers and ranges, as --cpuset-cpus 0-1,3")
    return text


def _memory(options: Options) -> dict[str, int]:
    memory: dict[str, int] = {}
    if options.memory:
        memory["limit"] = parse_size(options.memory)
        if memory["limit"] < _LEAST_MEMORY:
            raise UsageError(
                f"--memory {options.memory} is not enough to start a program", "at least 6m, as docker has it"
            )
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


def _pids(limit: int | None) -> dict[str, int]:
    if limit is None:
        return {}
    if limit != -1 and not 1 <= limit <= 4194304:  # PID_MAX_LIMIT of the kernel
        raise UsageError(f"--pids-limit {limit} is not possible", "a number from 1 to 4194304, or -1 for no limit")
    return {"limit": limit}


def parse_size(text: str) -> int:
    """``512m`` in bytes, as docker reads it: b, k, m, g, powers of 1024. UsageError for anything else."""
    import re

    match = re.fullmatch(r"([0-9]{1,15})([bkmg]?)b?", text.lower())
    if not match:
        raise UsageError(f"'{text}' is no size", "write a number and b, k, m or g, as --memory 64m")
    return int(match[1]) << (10 * "bkmg".index(match[2] or "b"))
