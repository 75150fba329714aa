"""What a container uses, and what happens to it, in runc's words."""

from __future__ import annotations

import time

from labkit.errors import ConflictError, NotFoundError, UsageError
from labkit.runtime.cgroups import oom, statistics
from labkit.runtime.cgroups.detect import here
from labkit.runtime.cli.flags import Option, verb
from labkit.runtime.cli.oci.report import Invocation, show
from labkit.runtime.oci import state
from labkit.runtime.oci.state import BundleContainer
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.typing import Any
from labkit.runtime.text import timestamps

#: Seconds between two looks at whether the container has stopped.
_LOOK = 0.2


@verb(
    "CONTAINER",
    Option(("stats",), "once"),
    Option(("interval",), "how often, as 5s, 500ms or 1m (default: 5s)", "TIME", "5s"),
    examples=("events --stats redis", "events --interval 1s redis"),
)
def events(call: Invocation) -> int:
    """Show what a container uses, as JSON: at intervals until it stops, or once with --stats. An object a line."""
    interval = timestamps.duration(call.options.interval)
    if not interval:
        raise UsageError(f"invalid duration interval: {call.options.interval}", "more than nothing, as 5s or 1m30s")
    container = state.load(call.root, call.arguments[0])
    if container.status() == "stopped":
        raise ConflictError(f"container with id {container.id} is not running", "see 'labkit-oci state'")
    if call.options.stats:
        _print(container, "stats", statistics.read(container.own_group(), here()))
        return 0
    due = time.monotonic()
    for killed in _killed_for_memory(container):
        if killed:
            _print(container, "oom")
        if not container.is_alive():
            break
        if time.monotonic() >= due:
            _print(container, "stats", statistics.read(container.own_group(), here()))
            due = time.monotonic() + interval
    return 0


def _killed_for_memory(container: BundleContainer) -> Iterator[int]:
    """As oom.watch; a machine that does not count it has 0 at every look."""
    yield 0
    try:
        yield from oom.watch(container.own_group(), here(), _LOOK)
    except NotFoundError:
        while container.is_alive():
            time.sleep(_LOOK)
            yield 0


def _print(container: BundleContainer, kind: str, data: dict[str, Any] | None = None) -> None:
    event: dict[str, Any] = {"type": kind, "id": container.id}
    show(event if data is None else {**event, "data": spelt(data)})


#: What runc writes even where it is 0; everything else that is 0 or empty it leaves out (its types/events.go).
_ALWAYS = frozenset(("kernel", "user", "limit", "failcnt"))


def spelt(data: dict[str, Any]) -> dict[str, Any]:
    """What a group has used (cgroups/statistics.py) in runc's order, and without what is 0; it counts neither caches of
    the processor's nor the network, and says so.
    """
    lists = {name: value for name, value in data["cpuset"].items() if value or name not in ("cpus", "mems")}
    memory = {**data["memory"], "raw": {}}
    return {
        "cpu": _without_zeros(data["cpu"]),
        "cpuset": lists,
        "memory": {**_without_zeros(memory), "raw": dict(sorted(data["memory"]["raw"].items()))},
        **{name: _without_zeros(data[name]) for name in ("pids", "blkio")},
        "hugetlb": {size: _without_zeros(data["hugetlb"][size]) for size in sorted(data["hugetlb"])},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def _without_zeros(found: Any) -> Any:
    if isinstance(found, list):
        return [_without_zeros(item) for item in found]
    if not isinstance(found, dict):
        return found
    kept = {name: value for name, value in found.items() if name in _ALWAYS or value not in (0, "", [])}
    return {name: _without_zeros(value) for name, value in kept.items()}
