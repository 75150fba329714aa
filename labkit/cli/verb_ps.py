"""List containers: those that run (or are paused), or all with -a.

Examples:
  labkit ps
  labkit ps -a --json
  labkit rm $(labkit ps -aq)
"""

from __future__ import annotations

import json
import time

from labkit.cli import table
from labkit.cli.options import Call, Command, Option
from labkit.engine import gc, record
from labkit.engine.record import Container, State

RUNNING = ("running", "paused", "restarting")


COMMAND = Command(
    "",
    (
        Option(("all", "a"), "those that have ended, too"),
        Option(("quiet", "q"), "ids only"),
        Option(("json",), "a JSON list of objects"),
    ),
    least=0,
    most=0,
)


def main(call: Call) -> int:
    """Print them."""
    gc.collect_quietly()
    found = [(container, container.state()) for container in record.everything()]
    shown = [(container, state) for container, state in found if call.options.all or state.status in RUNNING]
    if call.options.json:
        print(json.dumps([{**container.shown(), "state": state.as_dict()} for container, state in shown], indent=1))
    elif call.options.quiet:
        for container, _ in shown:
            print(container.short_id)
    else:
        head = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "ADDRESS", "PORTS", "NAMES"]
        print(table.render(head, [_row(container, state) for container, state in shown]))
    return 0


def _row(container: Container, state: State) -> list[str]:
    # A program's arguments may hold anything; a table takes only what can be printed in a line.
    command = table.in_a_line(" ".join(container.command))
    status = {
        "created": "Created",
        "running": f"Up {table.duration(time.time() - state.started_at)}",
        "paused": f"Up {table.duration(time.time() - state.started_at)} (Paused)",
        "restarting": f"Restarting ({state.exit_code})",
        "exited": f"Exited ({state.exit_code}) {table.ago(state.finished_at) if state.finished_at else ''}".rstrip(),
    }[state.status]
    return [
        container.short_id,
        container.image,
        command if len(command) <= 24 else command[:23] + "…",
        table.ago(container.created),
        status,
        container.address if state.status in RUNNING else "",
        ", ".join(container.ports),
        container.name,
    ]
