"""Show a container's processes, as the host sees them.

Examples:
  labkit top redis
  labkit top --json redis
  labkit top redis -eo pid,rss,args      ps(1) options, with the column pid

The numbers are those of the host; 'labkit exec redis ps' shows those inside.
"""

from __future__ import annotations

import time

from labkit.errors import ConflictError
from labkit.runtime.cli import table
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.life import lifecycle
from labkit.runtime.engine.record import record
from labkit.runtime.engine.show import processes
from labkit.runtime.std import json

COMMAND = Command(
    "CONTAINER [PS_OPTION …]",
    (Option(("json",), "a JSON list of objects"),),
    most=-1,
    takes_program=True,
)


def main(call: Call) -> int:
    """Print a line for each process."""
    container = record.find(call.arguments[0])
    if container.state().status not in ("running", "paused"):
        raise ConflictError(f"the container {container.name} is not running", "see 'labkit ps -a'")
    pids = lifecycle.processes(container)
    if len(call.arguments) > 1:
        from labkit.runtime.cli.oci import ps  # local: few ask for it, and it calls a program

        print("\n".join(ps.rows(ps.listed(call.arguments[1:]), set(pids))))
        return 0
    found = processes.look(pids)
    if call.options.json:
        print(json.dumps(found, indent=1))
        return 0
    rows = [
        [
            *(str(row["uid"]), str(row["pid"]), str(row["ppid"]), f"{row['cpu_percent']:.0f}"),
            *(_when(row["started"]), row["tty"], _clock(row["cpu_seconds"]), table.in_a_line(row["command"])),
        ]
        for row in found
    ]
    print(table.render(["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"], rows))
    return 0


def _when(moment: float) -> str:
    """As ps(1): the time of today, or the day."""
    same_day = time.localtime(moment)[:3] == time.localtime()[:3]
    return time.strftime("%H:%M" if same_day else "%b%d", time.localtime(moment))


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
