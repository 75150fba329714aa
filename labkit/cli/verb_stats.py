"""Show what running containers use: processor time over a second, memory, processes.

Examples:
  labkit stats
  labkit stats --json redis

One sample is taken, as by docker's 'stats --no-stream'. CPU is of one processor: 200 % are two. THROTTLED is how long
the quota (--cpus) has kept it waiting since it was started. '--' stands where this machine's cgroups do not count.
"""

from __future__ import annotations

import argparse
import json

from labkit.cli import table
from labkit.engine import gc, record, stats
from labkit.errors import ConflictError
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--no-stream", action="store_true", help="one sample only: it is always that")
    parser.add_argument("--json", action="store_true", help="a JSON list of objects, in bytes and nanoseconds")
    parser.add_argument("containers", nargs="*", metavar="CONTAINER", help="name, id or its beginning (all that run)")


def main(options: argparse.Namespace) -> int:
    """Print them."""
    gc.collect_quietly()
    chosen = [record.find(word) for word in options.containers] or record.everything()
    running = [container for container in chosen if container.state().status in ("running", "paused")]
    for container in chosen:
        if options.containers and container not in running:
            raise ConflictError(f"the container {container.name} is not running", "see 'labkit ps -a'")
    entries = stats.sample(running, 1.0)
    if options.json:
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
