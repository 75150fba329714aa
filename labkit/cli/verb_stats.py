"""Show what running containers use: processor time over a second, memory, processes.

Examples:
  labkit stats
  labkit stats --json redis

One sample is taken, as by docker's 'stats --no-stream'. CPU is of one processor: 200 % are two. THROTTLED is how long
the quota (--cpus) has kept it waiting since it was started. '--' stands where this machine's cgroups do not count.
"""

from __future__ import annotations

import json

from labkit.cli import table
from labkit.cli.options import Call, Command, Option
from labkit.engine import gc, record, stats
from labkit.errors import ConflictError
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


COMMAND = Command(
    "[CONTAINER …]",
    (
        Option(("no-stream",), "one sample only: it is always that"),
        Option(("json",), "a JSON list of objects, in bytes and nanoseconds"),
    ),
    least=0,
    most=-1,
)


def main(call: Call) -> int:
    """Print them."""
    gc.collect_quietly()
    chosen = [record.find(word) for word in call.arguments] or record.everything()
    running = [container for container in chosen if container.state().status in ("running", "paused")]
    for container in chosen:
        if call.arguments and container not in running:
            raise ConflictError(f"the container {container.name} is not running", "see 'labkit ps -a'")
    entries = stats.sample(running, 1.0)
    if call.options.json:
        print(json.dumps(entries, indent=1))
    else:
        head = ["CONTAINER ID", "NAME", "CPU", "THROTTLED", "MEMORY / LIMIT", "PIDS"]
        print(table.render(head, [_row(entry) for entry in entries]))
    return 0


def _row(entry: dict[str, Any]) -> list[str]:
    percent, throttled, memory = entry["cpu_percent"], entry["throttled_nanoseconds"], entry["memory_bytes"]
    limit = entry["memory_limit"] or stats.memory_of_machine()
    return [
        entry["id"][:12],
        entry["name"],
        "--" if percent is None else f"{percent:.1f} %",
        "--" if throttled is None else f"{throttled / 1e9:.1f} s",
        "--" if memory is None else f"{table.size(memory)} / {table.size(limit)}",
        "--" if entry["pids"] is None else str(entry["pids"]),
    ]
