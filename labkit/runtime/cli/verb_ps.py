"""The list of containers."""

from __future__ import annotations

import time

from labkit.errors import LabkitError
from labkit.runtime.cli import listing, table
from labkit.runtime.cli.dockernames import settings
from labkit.runtime.cli.flags import Option, VerbCall, verb
from labkit.runtime.engine.life import gc
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.record import Container, State
from labkit.runtime.engine.show import filters
from labkit.runtime.images import imagestore
from labkit.runtime.images.imagestore import Image
from labkit.runtime.std import json
from labkit.runtime.std.dataclasses import asdict
from labkit.runtime.std.typing import Any

RUNNING = ("running", "paused", "restarting")
_HEADINGS = listing.headings(
    "ID Names Image Command CreatedAt RunningFor State Status Ports Address Networks Labels Mounts LocalVolumes Size",
    ID="CONTAINER ID",
    RunningFor="CREATED",
)
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Address", "Ports", "Names")

#: Those that were looked up, by their names.
_images: dict[str, Image | None] = {}


@verb(
    "",
    Option(("all", "a"), "those that have ended, too"),
    Option(("last", "n"), "the last N that were made, running or not", "N", -1),
    Option(("latest", "l"), "the last one that was made, running or not"),
    Option(("filter", "f"), "only those that fit, may be repeated", "KEY=VALUE", many=True),
    Option(("size", "s"), "how much each has written"),
    Option(("no-trunc",), "whole ids and commands"),
    *listing.OPTIONS,
    least=0,
    most=0,
)
def ps(call: VerbCall) -> int:
    r"""List containers: those that run (or are paused), or all with -a.

    Examples:
      labkit ps
      labkit ps -a --json
      labkit ps -a --filter status=exited --filter name=redis
      labkit ps --format 'table {{.Names}}\t{{.Status}}'
      labkit rm $(labkit ps -aq)

    --filter takes id, name, label, ancestor, network, volume, publish, status, exited, and before and since with
    another container. The fields of --format are docker's: ID, Names, Image, Command, CreatedAt, RunningFor, State,
    Status, Ports, Networks, Labels, Label "NAME", Mounts, LocalVolumes and Size; and Address. Templates are as with
    'labkit inspect'.
    """
    options = call.options
    gc.collect_quietly()
    size = options.size or "Size" in options.format or "json" in options.format
    return listing.show(
        options,
        _chosen(call),
        _HEADINGS,
        (*_COLUMNS, "Size") if options.size else _COLUMNS,
        plain=lambda one: {**one[0].shown(), "state": asdict(one[1])},
        name=lambda one: one[0].id if options.no_trunc else one[0].short_id,
        entry=lambda one: _fields(*one, options.no_trunc, size),
    )


def _chosen(call: VerbCall) -> list[tuple[Container, State]]:
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
    """docker's names for them, as far as labkit knows it; and the address."""
    runs = state.status in RUNNING
    image = _image(container) if runs or size else None
    mounts = filters.sources(container)
    labels = container.options.labels
    command = " ".join(f"'{word}'" if " " in word else word for word in container.command)
    fields = {
        "ID": container.id if whole else container.short_id,
        "Names": container.name,
        "Image": container.options.image,
        # A program's arguments may hold anything; a table takes only what can be printed in a line.
        "Command": table.in_a_line(json.dumps(command if whole else table.shortened(command, 20), ensure_ascii=False)),
        "CreatedAt": table.moment(container.created),
        "RunningFor": table.ago(container.created),
        "State": state.status,
        "Status": _status(state),
        "Ports": _ports(container, image) if runs else "",
        "Address": container.address if runs else "",
        "Networks": ",".join(settings.names(container)),
        "Labels": ",".join(f"{name}={value}" for name, value in labels.items()),
        "Label": lambda name: labels.get(name, ""),
        "Mounts": ",".join(mounts if whole else [table.shortened(name, 15) for name in mounts]),
        "LocalVolumes": str(sum(mount["type"] == "volume" for mount in container.options.mounts)),
    }
    if size:
        from labkit.runtime.engine.volumes import size_of  # local: few ask

        written = size_of(f"{container.directory}/upper")
        fields["Size"] = f"{table.size(written)} (virtual {table.size(written + (image.size if image else 0))})"
    return fields


def _image(container: Container) -> Image | None:
    """None where there is none of that name any more, or it cannot be read."""
    name = container.image
    if name not in _images:
        try:
            _images[name] = imagestore.find(name)
        except LabkitError:
            _images[name] = None
    return _images[name]


def _ports(container: Container, image: Image | None) -> str:
    """Those published, and those that are only exposed."""
    published = {mapping.inside for mapping in container.ports}
    exposed = settings.exposed(container, image) if image else []
    return ", ".join([*map(str, container.ports), *(port for port in exposed if port not in published)])


def _status(state: State) -> str:
    """In docker's words."""
    if state.status in ("running", "paused"):
        paused = " (Paused)" if state.status == "paused" else ""
        return f"Up {table.duration(time.time() - state.started_at)}{paused}"
    if state.status == "created":
        return "Created"
    ago = f" {table.ago(state.finished_at)}" if state.finished_at else ""
    return f"{state.status.capitalize()} ({state.exit_code}){ago}"
