"""What a group has used, by the kernel's own counters: in short, and in full as ``runc events --stats`` tells it.

``read`` makes a dictionary for JSON (runc's types/events.go). Its names and units are v1's, as monitoring tools expect
them: nanoseconds, bytes, and disks by ``Read`` and ``Write``.
"""

from __future__ import annotations

import os

from labkit.runtime.cgroups import v2
from labkit.runtime.cgroups.detect import Hierarchies
from labkit.runtime.std.typing import Any

#: What runc says where v2's word is max: the largest number of 64 bits.
_NO_LIMIT = (1 << 64) - 1
_NANOSECONDS_PER_TICK = 10**9 // 100
"""USER_HZ is 100 on every machine that Linux runs on in practice (time(7))."""


def read(path: str, hierarchies: Hierarchies) -> dict[str, Any]:
    """The object ``data`` of an event ``stats``; what this machine does not count is 0, empty or left out.

    ======================  =====================================================================================
    ``cpu``                 ``usage`` (``total``, ``kernel``, ``user``, ``percpu`` on v1; nanoseconds), ``throttling``
    ``cpuset``              the lists of ``cpus`` and ``mems``, and v1's switches
    ``memory``              ``usage``, ``swap`` (memory and swap together), ``kernel``, ``kernelTCP``, each with
                            ``limit``, ``usage``, ``max`` and ``failcnt``; ``cache``; ``raw`` (memory.stat)
    ``pids``                ``current``, and ``limit`` where there is one
    ``blkio``               lists of ``major``, ``minor``, ``op``, ``value``
    ``hugetlb``             page size (``2MB``) -> ``usage``, ``max``, ``failcnt``
    ======================  =====================================================================================
    """
    places, second = _places(path, hierarchies)
    data: dict[str, Any] = {
        "cpu": _cpu_v1(places) if "cpu" in places or "cpuacct" in places else _cpu_v2(second),
        "cpuset": _cpuset(places.get("cpuset", second)),
        "memory": _memory_v1(places["memory"]) if "memory" in places else _memory_v2(second),
        "pids": _pids(places.get("pids", second)),
        "blkio": _disks(places, second),
        "hugetlb": _huge_pages(places.get("hugetlb", second), "hugetlb" in places),
    }
    return data


_CACHE = "inactive file"
#: What is told in short -> controller, its file, the word in it (empty for the only number), by what it is multiplied.
_V1 = {
    "cpu_nanoseconds": ("cpuacct", "cpuacct.usage", "", 1),
    "throttled_periods": ("cpu", "cpu.stat", "nr_throttled", 1),
    "throttled_nanoseconds": ("cpu", "cpu.stat", "throttled_time", 1),
    "memory_bytes": ("memory", "memory.usage_in_bytes", "", 1),
    "memory_limit": ("memory", "memory.limit_in_bytes", "", 1),
    _CACHE: ("memory", "memory.stat", "total_inactive_file", 1),
    "pids": ("pids", "pids.current", "", 1),
}
_V2 = {
    "cpu_nanoseconds": ("", "cpu.stat", "usage_usec", 1000),
    "throttled_periods": ("", "cpu.stat", "nr_throttled", 1),
    "throttled_nanoseconds": ("", "cpu.stat", "throttled_usec", 1000),
    "memory_bytes": ("", "memory.current", "", 1),
    "memory_limit": ("", "memory.max", "", 1),
    _CACHE: ("", "memory.stat", "inactive_file", 1),
    "pids": ("", "pids.current", "", 1),
}


def in_short(path: str, hierarchies: Hierarchies) -> dict[str, int]:
    """Those of these that the machine's controllers count; nothing for a group that is not there.

    ======================  ==============================================================================
    ``cpu_nanoseconds``     processor time since it was made, of all processors
    ``throttled_periods``   how often the quota was used up
    ``throttled_nanoseconds``  how long its processors were kept waiting for that
    ``memory_bytes``        without the page cache that can be given back at once, as docker counts
    ``memory_limit``        the limit; missing (v2) or huge (v1) where there is none
    ``pids``                processes and threads
    ======================  ==============================================================================
    """
    found: dict[str, int] = {}
    places, second = _places(path, hierarchies)
    for files, trees in ((_V2, {"": second}), (_V1, places)):
        for key, (controller, name, word, factor) in files.items():
            place = trees.get(controller, "")
            numbers = _table(place, name) if word else {"": _text(place, name).strip()}
            if str(numbers.get(word, "")).isdigit():  # no limit is a word
                found[key] = int(numbers[word]) * factor
        cache = found.pop(_CACHE, 0)
        if cache:
            found["memory_bytes"] -= cache
    return found


def memory(path: str, hierarchies: Hierarchies) -> int:
    """Bytes of memory.current (v1: memory.usage_in_bytes), page cache included; 0 where none counts."""
    places, second = _places(path, hierarchies)
    if "memory" in places:
        return _number(places["memory"], "memory.usage_in_bytes")
    return _number(second, "memory.current")


def disks(path: str, hierarchies: Hierarchies) -> tuple[int, int]:
    """Bytes read from and written to all disks; zeros where nothing counts them."""
    entries = _disks(*_places(path, hierarchies))["ioServiceBytesRecursive"]
    read, written = (sum(entry["value"] for entry in entries if entry["op"] == op) for op in ("Read", "Write"))
    return read, written


def _places(path: str, hierarchies: Hierarchies) -> tuple[dict[str, str], str]:
    """Its directory for each controller of v1, and the one of v2, or empty."""
    places = {name: os.path.join(point, path.lstrip("/")) for name, point in hierarchies.v1.items()}
    return places, v2.directory(path, hierarchies) if hierarchies.v2 else ""


def _disks(places: dict[str, str], second: str) -> dict[str, Any]:
    return _disks_v1(places["blkio"]) if "blkio" in places else _disks_v2(second)


def _cpu_v1(places: dict[str, str]) -> dict[str, Any]:
    counted = places.get("cpuacct", "")
    modes = _table(counted, "cpuacct.stat")
    all_modes = [line.split() for line in _text(counted, "cpuacct.usage_all").splitlines()[1:]]
    throttled = _table(places.get("cpu", ""), "cpu.stat")
    usage: dict[str, Any] = {
        "total": _number(counted, "cpuacct.usage"),
        "percpu": [int(word) for word in _text(counted, "cpuacct.usage_percpu").split()],
        "percpu_kernel": [int(line[2]) for line in all_modes],
        "percpu_user": [int(line[1]) for line in all_modes],
        "kernel": modes.get("system", 0) * _NANOSECONDS_PER_TICK,
        "user": modes.get("user", 0) * _NANOSECONDS_PER_TICK,
    }
    return {"usage": usage, "throttling": _throttling(throttled, throttled.get("throttled_time", 0))}


def _cpu_v2(place: str) -> dict[str, Any]:
    used = _table(place, "cpu.stat")
    names = (("total", "usage_usec"), ("kernel", "system_usec"), ("user", "user_usec"))
    usage = {name: used.get(key, 0) * 1000 for name, key in names}
    return {"usage": usage, "throttling": _throttling(used, used.get("throttled_usec", 0) * 1000)}


def _throttling(used: dict[str, int], nanoseconds: int) -> dict[str, int]:
    return {
        "periods": used.get("nr_periods", 0),
        "throttledPeriods": used.get("nr_throttled", 0),
        "throttledTime": nanoseconds,
    }


#: In runc's order: two lists, and v1's switches, of which v2 has none.
_CPUSET = (
    "cpus cpu_exclusive mems mem_hardwall mem_exclusive memory_migrate memory_spread_page memory_spread_slab "
    "memory_pressure sched_load_balance sched_relax_domain_level"
).split()


def _cpuset(place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in _CPUSET:
        if name not in ("cpus", "mems"):
            found[name] = _number(place, f"cpuset.{name}")
            continue
        # v2's own file is empty where nothing was asked for; what holds then is the effective list.
        words = _text(place, f"cpuset.{name}").strip() or _text(place, f"cpuset.{name}.effective").strip()
        numbers: list[int] = []
        for part in filter(None, words.split(",")):
            first, _, last = part.partition("-")
            numbers.extend(range(int(first), int(last or first) + 1))
        found[name] = numbers
    return found


def _memory_v1(place: str) -> dict[str, Any]:
    raw = _table(place, "memory.stat")
    found: dict[str, Any] = {"cache": raw.get("cache", 0)}
    for name, prefix in (("usage", ""), ("swap", ".memsw"), ("kernel", ".kmem"), ("kernelTCP", ".kmem.tcp")):
        found[name] = {
            "limit": _number(place, f"memory{prefix}.limit_in_bytes"),
            "usage": _number(place, f"memory{prefix}.usage_in_bytes"),
            "max": _number(place, f"memory{prefix}.max_usage_in_bytes"),
            "failcnt": _number(place, f"memory{prefix}.failcnt"),
        }
    return {**found, "raw": raw}


def _memory_v2(place: str) -> dict[str, Any]:
    raw = _table(place, "memory.stat")
    events = _table(place, "memory.events")
    memory = {
        "limit": _number(place, "memory.max"),
        "usage": _number(place, "memory.current"),
        "max": _number(place, "memory.peak"),  # from Linux 5.19 on
        "failcnt": events.get("max", 0),
    }
    swap = {"limit": _number(place, "memory.swap.max"), "usage": _number(place, "memory.swap.current")}
    # v1 counts both together, and so does whoever reads these names.
    swap["usage"] += memory["usage"]
    swap["limit"] = _NO_LIMIT if _NO_LIMIT in (swap["limit"], memory["limit"]) else swap["limit"] + memory["limit"]
    nothing = {"limit": 0, "usage": 0, "max": 0, "failcnt": 0}
    return {
        "cache": raw.get("file", 0),
        "usage": memory,
        "swap": {**nothing, **swap},
        "kernel": {**nothing, "usage": raw.get("kernel", 0)},
        "kernelTCP": {**nothing, "usage": raw.get("sock", 0)},
        "raw": raw,
    }


def _pids(place: str) -> dict[str, int]:
    found = {"current": _number(place, "pids.current")}
    limit = _number(place, "pids.max")
    return found if limit == _NO_LIMIT else {**found, "limit": limit}


def _disks_v1(place: str) -> dict[str, Any]:
    """BFQ's numbers where it counts, and those of the throttles, which see every request, elsewhere."""
    found = {}
    for name, file in (("ioServiceBytesRecursive", "io_service_bytes"), ("ioServicedRecursive", "io_serviced")):
        lines = _text(place, f"blkio.bfq.{file}_recursive").splitlines()
        if len(lines) <= 1:  # only "Total 0"
            lines = _text(place, f"blkio.throttle.{file}_recursive").splitlines()
        if len(lines) <= 1:
            lines = _text(place, f"blkio.throttle.{file}").splitlines()
        entries = [line.replace(":", " ").split() for line in lines]
        found[name] = [_entry(*entry) for entry in entries if len(entry) == 4]
    return found


def _disks_v2(place: str) -> dict[str, Any]:
    found: dict[str, Any] = {"ioServiceBytesRecursive": [], "ioServicedRecursive": []}
    for line in _text(place, "io.stat").splitlines():
        device, *words = line.split()
        major, _, minor = device.partition(":")
        numbers = dict(word.split("=", 1) for word in words if "=" in word)
        for name, keys in (
            ("ioServiceBytesRecursive", ("rbytes", "wbytes")),
            ("ioServicedRecursive", ("rios", "wios")),
        ):
            for key, operation in zip(keys, ("Read", "Write")):
                if key in numbers:
                    found[name].append(_entry(major, minor, operation, numbers[key]))
    return found


def _entry(major: str, minor: str, operation: str, value: str) -> dict[str, Any]:
    return {"major": int(major), "minor": int(minor), "op": operation, "value": int(value)}


def _huge_pages(place: str, first: bool) -> dict[str, Any]:
    """By the sizes that the group has files for; ``first`` says that they are v1's."""
    found: dict[str, Any] = {}
    ending = ".usage_in_bytes" if first else ".current"
    try:
        names = os.listdir(place) if place else []
    except FileNotFoundError:
        names = []
    for name in sorted(names):
        if not name.startswith("hugetlb.") or not name.endswith(ending) or ".rsvd." in name:
            continue
        size = name[len("hugetlb.") : -len(ending)]
        if first:
            rest = {
                "max": _number(place, f"hugetlb.{size}.max_usage_in_bytes"),
                "failcnt": _number(place, f"hugetlb.{size}.failcnt"),
            }
        else:
            rest = {"failcnt": _table(place, f"hugetlb.{size}.events").get("max", 0)}
        found[size] = {"usage": _number(place, name), **rest}
    return found


def _text(place: str, name: str) -> str:
    """A file's text, empty where there is none or its kernel part is switched off (EOPNOTSUPP)."""
    try:
        with open(f"{place}/{name}", encoding="utf-8") as file:
            return file.read() if place else ""
    except OSError:
        return ""


def _number(place: str, name: str) -> int:
    word = _text(place, name).strip()
    return _NO_LIMIT if word == "max" else int(word or 0)


def _table(place: str, name: str) -> dict[str, int]:
    pairs = [line.split() for line in _text(place, name).splitlines()]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
