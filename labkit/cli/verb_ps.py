r"""List containers: those that run (or are paused), or all with -a.

Examples:
  labkit ps
  labkit ps -a --json
  labkit ps -a --filter status=exited --filter name=redis
  labkit ps --format 'table {{.Names}}\t{{.Status}}'
  labkit rm $(labkit ps -aq)

--filter takes id, name, label, ancestor, network, volume, publish, status, exited, and before and since with another
container. The fields of --format are ID, Names, Image, Command, CreatedAt, RunningFor, State, Status, Ports, Address,
Networks, Labels, Mounts and Size (-s).
"""

from __future__ import annotations

import json
import time

from labkit.cli import table
from labkit.cli.options import Call, Command, Option
from labkit.engine import filters, gc, record
from labkit.engine.record import Container, State
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

RUNNING = ("running", "paused", "restarting")


COMMAND = Command(
    "",
    (
        Option(("all", "a"), "those that have ended, too"),
        Option(("quiet", "q"), "ids only"),
        Option(("last", "n"), "the last N that were made, running or not", "N", -1),
        Option(("latest", "l"), "the last one that was made, running or not"),
        Option(("filter", "f"), "only those that fit, may be repeated", "KEY=VALUE", many=True),
        Option(("size", "s"), "how much each has written"),
        Option(("no-trunc",), "whole ids and commands"),
        Option(("format",), "a template, or json", "TEMPLATE", ""),
        Option(("json",), "a JSON list of objects"),
    ),
    least=0,
    most=0,
)


def main(call: Call) -> int:
    """Print them."""
    options = call.options
    gc.collect_quietly()
    shown = _chosen(call)
    if options.json:
        print(json.dumps([{**container.shown(), "state": state.as_dict()} for container, state in shown], indent=1))
        return 0
    if options.format:
        from labkit.cli import template  # local, as below: most calls do without

        entries = [_fields(container, state, options.no_trunc, options.size) for container, state in shown]
        for line in template.render(options.format, entries):
            print(line)
        return 0
    if options.quiet:
        for container, _ in shown:
            print(container.id if options.no_trunc else container.short_id)
        return 0
    head = ["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "ADDRESS", "PORTS", "NAMES"]
    head += ["SIZE"] if options.size else []
    rows = [_row(_fields(container, state, options.no_trunc, options.size)) for container, state in shown]
    print(table.render(head, rows))
    return 0


def _chosen(call: Call) -> list[tuple[Container, State]]:
    options = call.options
    count = 1 if options.latest else options.last
    wanted = {}
    containers = record.everything()
    if options.filter:
        wanted = filters.parse(options.filter)
        containers = [container for container in containers if filters.fits(wanted, container)]
    if count >= 0:
        containers = containers[len(containers) - count :] if count < len(containers) else containers
    everybody = options.all or count >= 0 or "status" in wanted or "exited" in wanted
    found = [(container, container.state()) for container in containers]
    if wanted:
        found = [(container, state) for container, state in found if filters.state_fits(wanted, state)]
    return [(container, state) for container, state in found if everybody or state.status in RUNNING]


def _fields(container: Container, state: State, whole: bool, size: bool) -> dict[str, Any]:
    """docker's names for them."""
    # A program's arguments may hold anything; a table takes only what can be printed in a line.
    command = table.in_a_line(" ".join(container.command))
    runs = state.status in RUNNING
    fields = {
        "ID": container.id if whole else container.short_id,
        "Names": container.name,
        "Image": container.image,
        "Command": command if whole or len(command) <= 24 else command[:23] + "…",
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z", time.localtime(container.created)),
        "RunningFor": table.ago(container.created),
        "State": state.status,
        "Status": _status(state),
        "Ports": ", ".join(container.ports) if runs else "",
        "Address": container.address if runs else "",
        "Networks": ",".join(container.endpoints) or container.network,
        "Labels": ",".join(f"{name}={value}" for name, value in container.options.labels.items()),
        "Mounts": ",".join(filters.sources(container)),
    }
    if size:
        from labkit.engine.prune import size_of

        fields["Size"] = table.size(size_of(f"{container.directory}/upper"))
    return fields


def _status(state: State) -> str:
    return {
        "created": "Created",
        "running": f"Up {table.duration(time.time() - state.started_at)}",
        "paused": f"Up {table.duration(time.time() - state.started_at)} (Paused)",
        "restarting": f"Restarting ({state.exit_code})",
        "exited": f"Exited ({state.exit_code}) {table.ago(state.finished_at) if state.finished_at else ''}".rstrip(),
    }[state.status]


def _row(fields: dict[str, Any]) -> list[str]:
    names = ("ID", "Image", "Command", "RunningFor", "Status", "Address", "Ports", "Names")
    return [fields[name] for name in names] + ([fields["Size"]] if "Size" in fields else [])
