"""What containers use, as docker shows it."""

from __future__ import annotations

import sys
import time

from labkit.errors import ConflictError
from labkit.runtime.cli import listing, table
from labkit.runtime.cli.flags import Option, VerbCall, verb
from labkit.runtime.engine.life import gc
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.record import Container
from labkit.runtime.engine.show.stats import memory_of_machine, sample
from labkit.runtime.std import json
from labkit.runtime.std.typing import Any

#: From the first line on, what is below being erased: console_codes(4).
_ANEW = "\033[H\033[J"

#: The fields, in the order of the table, which has all of them but Container.
_HEADINGS = {
    **listing.headings("ID Container Name", ID="CONTAINER ID"),
    "CPUPerc": "CPU %",
    "Throttled": "THROTTLED",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}


@verb(
    "[CONTAINER …]",
    Option(("no-stream",), "one sample only"),
    Option(("no-trunc",), "whole ids"),
    Option(("format",), "a template, or json", "TEMPLATE", ""),
    Option(("json",), "a JSON list of objects, in bytes and nanoseconds"),
    least=0,
    most=-1,
)
def stats(call: VerbCall) -> int:
    """Show what running containers use: processor time over a second, memory, network, disks, processes.

    Examples:
      labkit stats
      labkit stats --json redis
      labkit stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}}'

    On a terminal it goes on, second by second, until Ctrl-C or until no container that was named runs any more;
    otherwise, with --no-stream and with --json one sample is taken. CPU % is of one processor: 200 % are two. THROTTLED
    is how long the quota (--cpus) has kept it waiting since it was started. NET and BLOCK I/O are what came in and what
    went out, what was read and what was written, since then. '--' stands where this machine does not count. The fields
    of --format are docker's: ID, Container, Name, CPUPerc, MemUsage, MemPerc, NetIO, BlockIO and PIDs; and Throttled.
    """
    gc.collect_quietly()
    named = [record.find(word) for word in call.arguments]
    words = {container.id: word for container, word in zip(named, call.arguments)}
    for container in named:
        if not _running([container]):
            raise ConflictError(f"the container {container.name} is not running", "see 'labkit ps -a'")
    running = _running(named or record.everything())
    if call.options.json:
        print(json.dumps(sample(running, 1.0), indent=1))
    elif call.options.no_stream or not sys.stdout.isatty():
        print(_shown(call, running, words))
    else:
        while running or not named:
            print(_ANEW + _shown(call, running, words), flush=True)
            if not running:
                time.sleep(1)
            running = _running(named or record.everything())
    return 0


def _running(containers: list[Container]) -> list[Container]:
    return [container for container in containers if container.state().status in ("running", "paused")]


def _shown(call: VerbCall, running: list[Container], words: dict[str, str]) -> str:
    """A sample, in lines; ``words`` are those that containers were named by, by their ids."""
    entries = [_fields(entry, words, call.options.no_trunc) for entry in sample(running, 1.0)]
    return listing.text(call.options.format, entries, _HEADINGS, [name for name in _HEADINGS if name != "Container"])


def _fields(entry: dict[str, Any], words: dict[str, str], whole: bool) -> dict[str, str]:
    """docker's names for them."""
    percent, throttled, used = entry["cpu_percent"], entry["throttled_nanoseconds"], entry["memory_bytes"]
    limit = entry["memory_limit"] or memory_of_machine()
    id_ = entry["id"] if whole else entry["id"][:12]
    return {
        "ID": id_,
        "Container": words.get(entry["id"], id_),
        "Name": entry["name"],
        "CPUPerc": "--" if percent is None else f"{percent:.2f}%",
        "Throttled": "--" if throttled is None else f"{throttled / 1e9:.1f} s",
        "MemUsage": "--" if used is None else f"{table.memory(used)} / {table.memory(limit)}",
        "MemPerc": "--" if used is None else f"{100 * used / limit:.2f}%",
        "NetIO": _pair(entry["network_received_bytes"], entry["network_sent_bytes"]),
        "BlockIO": _pair(entry["disk_read_bytes"], entry["disk_written_bytes"]),
        "PIDs": "--" if entry["pids"] is None else str(entry["pids"]),
    }


def _pair(inwards: int | None, outwards: int | None) -> str:
    if inwards is None or outwards is None:
        return "--"
    return f"{table.size(inwards)} / {table.size(outwards)}"
