"""Show what running containers use: processor time over a second, memory, network, disks, processes.

Examples:
  labkit stats
  labkit stats --json redis

On a terminal it goes on, second by second, until Ctrl-C or until no container that was named runs any more; otherwise,
with --no-stream and with --json one sample is taken. CPU is of one processor: 200 % are two. THROTTLED is how long the
quota (--cpus) has kept it waiting since it was started. NET and DISK are what came in and what went out, what was read
and what was written, since then. '--' stands where this machine does not count.
"""

from __future__ import annotations

import json
import sys
import time

from labkit.cli import table
from labkit.cli.options import Call, Command, Option
from labkit.engine import gc, record, stats
from labkit.errors import ConflictError
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from labkit.engine.record import Container

#: From the first line on, what is below being erased: console_codes(4).
_ANEW = "\033[H\033[J"

COMMAND = Command(
    "[CONTAINER …]",
    (
        Option(("no-stream",), "one sample only"),
        Option(("json",), "a JSON list of objects, in bytes and nanoseconds"),
    ),
    least=0,
    most=-1,
)


def main(call: Call) -> int:
    """Print them."""
    gc.collect_quietly()
    named = [record.find(word) for word in call.arguments]
    for container in named:
        if not _running([container]):
            raise ConflictError(f"the container {container.name} is not running", "see 'labkit ps -a'")
    running = _running(named or record.everything())
    if call.options.json:
        print(json.dumps(stats.sample(running, 1.0), indent=1))
    elif call.options.no_stream or not sys.stdout.isatty():
        print(_table(running))
    else:
        while running or not named:
            print(_ANEW + _table(running), flush=True)
            if not running:
                time.sleep(1)
            running = _running(named or record.everything())
    return 0


def _running(containers: list[Container]) -> list[Container]:
    return [container for container in containers if container.state().status in ("running", "paused")]


def _table(running: list[Container]) -> str:
    head = ["CONTAINER ID", "NAME", "CPU", "THROTTLED", "MEMORY / LIMIT", "NET IN / OUT", "DISK IN / OUT", "PIDS"]
    return table.render(head, [_row(entry) for entry in stats.sample(running, 1.0)])


def _row(entry: dict[str, Any]) -> list[str]:
    percent, throttled, memory = entry["cpu_percent"], entry["throttled_nanoseconds"], entry["memory_bytes"]
    limit = entry["memory_limit"] or stats.memory_of_machine()
    return [
        entry["id"][:12],
        entry["name"],
        "--" if percent is None else f"{percent:.1f} %",
        "--" if throttled is None else f"{throttled / 1e9:.1f} s",
        "--" if memory is None else f"{table.size(memory)} / {table.size(limit)}",
        _pair(entry["network_received_bytes"], entry["network_sent_bytes"]),
        _pair(entry["disk_read_bytes"], entry["disk_written_bytes"]),
        "--" if entry["pids"] is None else str(entry["pids"]),
    ]


def _pair(inwards: int | None, outwards: int | None) -> str:
    if inwards is None or outwards is None:
        return "--"
    return f"{table.size(inwards)} / {table.size(outwards)}"
