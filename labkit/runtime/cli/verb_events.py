"""Events, as labkit and as docker have them."""

from __future__ import annotations

import sys
import time

from labkit.runtime.cli import gotypes
from labkit.runtime.cli.flags import Option, VerbCall, verb
from labkit.runtime.engine.record import eventlog
from labkit.runtime.engine.show import filters
from labkit.runtime.std import json
from labkit.runtime.std.typing import Any
from labkit.runtime.text import timestamps

_MOMENT = "2024-05-01T12:00:00Z, seconds since 1970, or 10m (ago)"
_KNOWN = ("time", "type", "action", "id", "labels")


@verb(
    "",
    Option(("since",), f"those from then on, too: {_MOMENT}", "MOMENT", ""),
    Option(("until",), "end then", "MOMENT", ""),
    Option(("filter", "f"), "only those that fit, may be repeated", "KEY=VALUE", many=True),
    Option(("json",), "a JSON object a line"),
    Option(("format",), "a template, or json", "TEMPLATE", ""),
    least=0,
    most=0,
)
def events(call: VerbCall) -> int:
    """Show what happens to containers, as it happens.

    Examples:
      labkit events
      labkit events --since 10m --until 0s              what happened in the last ten minutes
      labkit events --filter event=die --filter container=web
      labkit events --format '{{.action}} {{.name}}'
      labkit events --format '{{.Actor.Attributes.name}}: {{.Action}}'       docker's names, and those of --json
      labkit events --json | while read -r line; do …; done

    The events are create, start, oom (something was killed for want of memory), die (with its exit status), stop, kill,
    pause, unpause, update, rename, destroy, and for other programs exec_start and exec_die. --filter takes event,
    container (name, or the beginning of its id), image and label.
    """
    options, now = call.options, time.time()
    wanted = filters.pairs(options.filter, ("event", "container", "image", "label"))
    since = timestamps.parse(options.since, now) if options.since else None
    until = timestamps.parse(options.until, now) if options.until else None
    for event in eventlog.read(since, until):
        if all(any(_fits(event, key, value) for value in wanted[key]) for key in wanted):
            print("\n".join(_shown(event, "json" if options.json else options.format)))
            sys.stdout.flush()  # whoever reads a pipe wants to know now
    return 0


def _fits(event: dict[str, Any], key: str, value: str) -> bool:
    if key == "event":
        return bool(event["action"] == value)
    if key == "container":
        return event["name"] == value or (len(value) > 1 and event["id"].startswith(value))
    if key == "image":
        return event["image"] in (value, f"{value}:latest")
    return filters.has_label(event["labels"], value)


def _dockers(event: dict[str, Any]) -> dict[str, Any]:
    """docker's names for the same, which templates understand, too."""
    told = {name: str(value) for name, value in event.items() if name not in (*_KNOWN, "exit_code")}
    if "exit_code" in event:
        told["exitCode"] = str(event["exit_code"])
    return {
        "Status": event["action"],
        "ID": event["id"],
        "From": event["image"],
        "Type": event["type"],
        "Action": event["action"],
        "Actor": {"ID": event["id"], "Attributes": gotypes.Mapping({**event["labels"], **told})},
        "Scope": "local",
        "Time": int(event["time"]),
        "TimeNano": int(event["time"] * 1e9),
    }


def _shown(event: dict[str, Any], template: str) -> list[str]:
    if template == "json":
        return [json.dumps(event)]
    if template:
        from labkit.runtime.cli import template as templates  # local: few ask

        return templates.render(template, [{**event, **_dockers(event)}])
    details = {name: value for name, value in event.items() if name not in _KNOWN}
    words = ", ".join(f"{name}={value}" for name, value in {**details, **event["labels"]}.items())
    return [f"{timestamps.rfc3339(event['time'])} {event['type']} {event['action']} {event['id']} ({words})"]
