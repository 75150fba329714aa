"""Show all that is known of containers or images, as a JSON list.

Examples:
  labkit inspect redis
  labkit inspect busybox:latest
  labkit inspect -f '{{.State.Status}} {{.NetworkSettings.IPAddress}}' redis

docker's names for the usual things stand beside labkit's own.
"""

from __future__ import annotations

import json
from pathlib import Path

from labkit.cli import dockernames
from labkit.cli.options import Call, Command, Option
from labkit.document import Reader
from labkit.engine import lifecycle, networking, record
from labkit.engine.record import Container
from labkit.errors import NotFoundError, UsageError
from labkit.images import store
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


COMMAND = Command(
    "NAME …",
    (
        Option(("format", "f"), "a template, as {{.State.Status}}", "TEMPLATE", ""),
        Option(("type",), "container or image, where both have that name", "TYPE", ""),
    ),
    most=-1,
)


def main(call: Call) -> int:
    """Print them."""
    options = call.options
    if options.type not in ("", "container", "image"):
        raise UsageError(f"--type {options.type} is not possible", "it is container or image")
    found = [_inspect(name, options.type) for name in call.arguments]
    if options.format:
        from labkit.cli import template  # local: most calls do without

        for line in template.render(options.format, found):
            print(line)
    else:
        print(json.dumps(found, indent=2))
    return 0


def _inspect(name: str, kind: str) -> dict[str, Any]:
    if kind != "image":
        try:
            return _container(record.find(name))
        except NotFoundError:
            if kind:
                raise
    try:
        image = store.find(name)
    except NotFoundError:
        if kind:
            raise
        raise NotFoundError(
            f"there is no container and no image '{name}'", "see 'labkit ps -a' and 'labkit images'"
        ) from None
    return {**image.as_dict(), "layer_directories": image.lowers()}


def _container(container: Container) -> dict[str, Any]:
    path = Path(container.directory, "config.json")
    specification = Reader.parse(path.read_bytes(), str(path)).object if path.exists() else None
    state = container.state()
    return {
        **dockernames.of(container, state, specification),
        **container.shown(),
        "state": state.as_dict(),
        "processes": lifecycle.processes(container),
        "network_namespace": networking.shown_namespace(container),
        "rootfs": container.rootfs,
        "upper": f"{container.directory}/upper",
        "layers": store.find(container.image).lowers(),
        "cgroup": container.cgroups_path,
        "log": container.log_path,
        "specification": specification,
    }
