"""Other limits for a container that runs: all of them, or none."""

from __future__ import annotations

import os

from labkit.errors import ConflictError
from labkit.runtime.cgroups import group, limits
from labkit.runtime.cgroups.detect import here
from labkit.runtime.kernel.blocks import kept_open
from labkit.runtime.oci import state
from labkit.runtime.oci.spec import FILE, resources
from labkit.runtime.oci.state import BundleContainer
from labkit.runtime.operations.journal import Journal
from labkit.runtime.std import json
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile
from labkit.runtime.text.document import Reader


def update(container: BundleContainer, wanted: dict[str, Any]) -> None:
    """Set these properties of ``linux.resources``. ConfigError for what is none, ConflictError if it has stopped.

    What is not named stays, devices included. All that the container has then is kept, for the next update.
    """
    with kept_open(state.take_lock(container)):
        if container.status() == "stopped":
            raise ConflictError("cannot update a stopped container", "see 'labkit-oci state'")
        changes = Journal(os.path.join(container.directory, "update"))
        changes.undo()  # what an update that was killed half-way has left
        path = os.path.join(container.directory, "config.json")
        with open(path, "rb") as file:
            document = Reader.parse(file.read(), FILE)
        # Under the names that it has there: beside a "Linux" a new "linux" would be the only one that is read.
        linux = document.child("linux")
        section = linux.spelt("resources")
        before, wanted = resources.in_order(linux.object.get(section) or {}), resources.in_order(wanted)
        linux.object[section] = _merged(before, wanted)
        changed = limits.to_change(before, {section: value for section, value in wanted.items() if value is not None})
        checked = resources.read(Reader(changed, FILE, "linux.resources"), default_devices=False)
        changes.run(group.change(container.own_group(), checked, here()))
        textfile.remove(changes.path)  # done for good
        textfile.replace(path, json.dumps(document.object))


def _merged(before: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Section by section; of a property that is named the new value counts, and null is none."""
    merged = dict(before)
    for section, properties in wanted.items():
        old = before.get(section)
        if isinstance(properties, dict) and isinstance(old, dict):
            merged[section] = {**old, **{name: value for name, value in properties.items() if value is not None}}
        elif properties is not None:
            merged[section] = properties
    return merged
