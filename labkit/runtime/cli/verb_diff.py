"""Show what a container has changed in its root file system: A added, C changed, D deleted.

Examples:
  labkit diff redis
  labkit diff --json redis

It is read from the container's writable layer, so it works for those that have ended, too.
"""

from __future__ import annotations

from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.files.changes import changes
from labkit.runtime.engine.record import record
from labkit.runtime.images import store
from labkit.runtime.std import json
from labkit.runtime.storage import DRIVERS

COMMAND = Command("CONTAINER", (Option(("json",), "a JSON list of objects"),))


def main(call: Call) -> int:
    """Print a line for each."""
    container = record.find(call.arguments[0])
    lowers = store.find(container.image).lowers(DRIVERS[container.storage_driver].LAYER_FORM)
    found = changes(f"{container.directory}/upper", lowers)
    if call.options.json:
        print(json.dumps([{"kind": kind, "path": path} for kind, path in found], indent=1))
    else:
        for kind, path in found:
            print(kind, path)
    return 0
