"""Show links, addresses, routes and neighbours as they come (+), change (~) and go (-), here and in network namespaces.

It goes on until Ctrl-C: start and stop a container beside it. IPv4 only, as labkit's networks are.

Examples:
  labkit network watch
  labkit network watch --timeout 30
  labkit network watch --count 1 --json             wait until something happens
  labkit network watch --json | while read -r line; do …; done

The same is told by 'ip -timestamp monitor link address route neighbour', of one namespace at a time.
"""

from __future__ import annotations

import os
import sys
import time

from labkit.errors import UsageError
from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.network import watching
from labkit.runtime.std import json
from labkit.runtime.std.dataclasses import asdict

COMMAND = Command(
    "",
    (
        Option(("json",), "a JSON object a line"),
        Option(("count",), "end after so many events", "N", kind="int"),
        Option(("timeout",), "end after so many seconds", "SECONDS", kind="float"),
    ),
    least=0,
    most=0,
)
_SIGNS = {"new": ("+", "\033[32m"), "changed": ("~", "\033[33m"), "gone": ("-", "\033[31m")}


def main(call: VerbCall) -> int:
    """Print a line for each."""
    options = call.options
    for name, value in (("count", options.count), ("timeout", options.timeout)):
        if value is not None and not value > 0:
            raise UsageError(f"--{name} {value} would never begin", "a number above 0")
    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    watch = watching.Watch()
    print("watching; Ctrl-C ends it", file=sys.stderr)
    for number, event in enumerate(watch.events(options.timeout or 0), 1):
        print(_json(event) if options.json else _line(event, colours))
        sys.stdout.flush()  # whoever reads a pipe wants to know now
        if number == options.count:
            break
    return 0


def _json(event: watching.Event) -> str:
    about = {"time": event.time, "what": event.what, "subject": event.fact.subject, "namespace": event.namespace}
    return json.dumps({**about, **asdict(event.fact)})


def _line(event: watching.Event, colours: bool) -> str:
    sign, colour = _SIGNS[event.what]
    clock = f"{time.strftime('%H:%M:%S', time.localtime(event.time))}.{int(event.time % 1 * 1000):03}"
    where = f"   in {event.namespace}" if event.namespace else ""
    text = f"{sign} {event.fact.subject:<9} {event.fact}{where}"
    return f"{clock} {colour}{text}\033[0m" if colours else f"{clock} {text}"
