"""Show all that is known of containers or images, as a JSON list.

Examples:
  labkit inspect redis
  labkit inspect busybox:latest
"""

from __future__ import annotations

import json
from pathlib import Path

from labkit.cli.options import Call, Command
from labkit.document import Reader
from labkit.engine import lifecycle, networking, record
from labkit.errors import NotFoundError
from labkit.images import store
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


COMMAND = Command(
    "NAME …",
    (),
    most=-1,
)


def main(call: Call) -> int:
    """Print them."""
    print(json.dumps([_inspect(name) for name in call.arguments], indent=2))
    return 0


def _inspect(name: str) -> dict[str, Any]:
    try:
        container = record.find(name)
    except NotFoundError:
        try:
            image = store.find(name)
        except NotFoundError:
            raise NotFoundError(
                f"there is no container and no image '{name}'", "see 'labkit ps -a' and 'labkit images'"
            ) from None
        return {**image.as_dict(), "layer_directories": image.lowers()}
    path = Path(container.directory, "config.json")
    specification = Reader.parse(path.read_bytes(), str(path)).object if path.exists() else None
    return {
        **container.shown(),
        "state": container.state().as_dict(),
        "processes": lifecycle.processes(container),
        "network_namespace": networking.shown_namespace(container),
        "rootfs": container.rootfs,
        "upper": f"{container.directory}/upper",
        "layers": store.find(container.image).lowers(),
        "cgroup": container.cgroups_path,
        "log": container.log_path,
        "specification": specification,
    }
