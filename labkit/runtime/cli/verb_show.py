"""What is shown of containers, images and the machine. Each function is a verb, and its docstring the verb's help."""

from __future__ import annotations

import time

from labkit.errors import NotFoundError, UsageError
from labkit.runtime.cli import listing, table
from labkit.runtime.cli.flags import JSON, Option, VerbCall, verb
from labkit.runtime.engine.record import record
from labkit.runtime.std.typing import Any

# Imports in functions are of what the other verbs need not load.


@verb(
    "CONTAINER",
    Option(("follow", "f"), "go on until the container has ended"),
    Option(("tail", "n"), "the last N lines only, or all", "N", "all"),
    Option(("since",), "from then on: 2024-05-01T12:00:00Z, seconds since 1970, or 10m (ago)", "MOMENT", ""),
    Option(("until",), "up to then", "MOMENT", ""),
    Option(("timestamps", "t"), "when each line was written, in UTC"),
)
def logs(call: VerbCall) -> int:
    """Show what a container wrote to its standard output and error.

    Examples:
      labkit logs redis
      labkit logs -f --tail 10 redis
      labkit logs -t --since 10m redis
    """
    from labkit.runtime.engine.show import logs
    from labkit.runtime.text import timestamps

    options, now = call.options, time.time()
    if options.tail != "all" and not (options.tail.isascii() and options.tail.isdigit() and len(options.tail) < 19):
        raise UsageError(f"--tail {options.tail} is not possible", "a number of lines; 0 with -f shows what is to come")
    choice = logs.Choice(
        tail=None if options.tail == "all" else int(options.tail),
        since=timestamps.parse(options.since, now) if options.since else None,
        until=timestamps.parse(options.until, now) if options.until else None,
        timestamps=options.timestamps,
    )
    logs.show(record.find(call.arguments[0]), options.follow, choice)
    return 0


@verb("CONTAINER", JSON)
def diff(call: VerbCall) -> int:
    """Show what a container has changed in its root file system: A added, C changed, D deleted.

    Examples:
      labkit diff redis
      labkit diff --json redis

    It is read from the container's writable layer, so it works for those that have ended, too.
    """
    from labkit.runtime import storage
    from labkit.runtime.engine.files.changes import changes
    from labkit.runtime.images import imagestore

    container = record.find(call.arguments[0])
    lowers = imagestore.find(container.image).lowers(storage.driver(container.storage_driver).LAYER_FORM)
    found = [{"kind": kind, "path": path} for kind, path in changes(f"{container.directory}/upper", lowers)]
    return listing.told(call.options, found, (f"{one['kind']} {one['path']}" for one in found))


@verb("", JSON, least=0, most=0)
def info(call: VerbCall) -> int:
    """Show what this machine has for containers, from its kernel to its runtimes, and what labkit keeps.

    Examples:
      labkit info
      labkit info --json
    """
    from labkit.runtime.engine.show import information

    found = information.information()
    rows = [(name.replace("_", " "), _words(name, value)) for name, value in found.items()]
    width = max(len(name) for name, _ in rows)
    return listing.told(call.options, found, (f"{name:<{width}}  {words}" for name, words in rows))


def _words(name: str, value: Any) -> str:
    if name == "memory_bytes":
        return table.size(value)
    if name == "cgroups":
        return f"{value['version']}: {' '.join(value['controllers'])}"
    if name == "containers":
        return ", ".join(f"{count} {kind}" for kind, count in value.items() if count) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} ({words})" for key, words in value.items() if words)
    if isinstance(value, list):
        return " ".join(value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "none"


@verb("", JSON, least=0, most=0)
def version(call: VerbCall) -> int:
    """Show labkit's version, and those of what it runs on.

    Examples:
      labkit version
      labkit version --json
    """
    from labkit.runtime.engine.show import information

    found = information.version()
    return listing.told(call.options, found, (f"{name.replace('_', ' '):<18}{words}" for name, words in found.items()))


@verb("CONTAINER [PORT[/PROTOCOL]]", most=2)
def port(call: VerbCall) -> int:
    """Show where a container's published ports lead from.

    Examples:
      labkit port redis
      labkit port redis 6379
      labkit port redis 6379/tcp
    """
    container = record.find(call.arguments[0])
    running = container.state().status in ("running", "paused")
    ports = container.ports if running else []
    if len(call.arguments) == 1:
        for mapping in ports:
            print(f"{mapping.inside} -> {mapping.outside}")
        return 0
    wanted = call.arguments[1] if "/" in call.arguments[1] else f"{call.arguments[1]}/tcp"
    found = [mapping.outside for mapping in ports if mapping.inside == wanted]
    if not found:
        raise NotFoundError(
            f"the container {container.name} publishes no port {wanted}", f"see 'labkit port {container.name}'"
        )
    print("\n".join(found))
    return 0


@verb("CONTAINER [PS_OPTION …]", JSON, most=-1, takes_program=True)
def top(call: VerbCall) -> int:
    """Show a container's processes, as the host sees them.

    Examples:
      labkit top redis
      labkit top --json redis
      labkit top redis -eo pid,rss,args      ps(1) options, with the column pid

    The numbers are those of the host; 'labkit exec redis ps' shows those inside.
    """
    from labkit.runtime.engine.show import stats

    container = record.find(call.arguments[0])
    record.running(container, or_paused=True)
    found = stats.processes(container)
    if len(call.arguments) > 1:
        from labkit.runtime.cli.oci import commands

        print("\n".join(commands.rows_of({row["pid"] for row in found}, commands.listed(call.arguments[1:]))))
        return 0
    rows = [
        [
            *(str(row["uid"]), str(row["pid"]), str(row["ppid"]), f"{row['cpu_percent']:.0f}"),
            *(_when(row["started"]), row["tty"], _clock(row["cpu_seconds"]), table.in_a_line(row["command"])),
        ]
        for row in found
    ]
    head = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    return listing.told(call.options, found, [table.render(head, rows)])


def _when(moment: float) -> str:
    """As ps(1): the time of today, or the day."""
    same_day = time.localtime(moment)[:3] == time.localtime()[:3]
    return time.strftime("%H:%M" if same_day else "%b%d", time.localtime(moment))


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}"
