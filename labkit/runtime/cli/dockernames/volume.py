"""A volume as docker's ``volume inspect`` and ``volume ls`` show it."""

from __future__ import annotations

import time

from labkit.runtime.cli.gotypes import Mapping, or_nothing
from labkit.runtime.engine.volumes import Volume
from labkit.runtime.std.typing import Any

FIELDS = ("Name", "Driver", "Labels", "Mountpoint", "Scope")


def of(volume: Volume) -> dict[str, Any]:
    """docker's moments are whole seconds here."""
    labels = Mapping((name, value) for name, _, value in (label.partition("=") for label in volume.labels))
    return {
        "CreatedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(volume.created)),
        "Driver": "local",
        "Labels": or_nothing(labels),
        "Mountpoint": volume.shown()["mountpoint"],
        "Name": volume.name,
        "Options": or_nothing(Mapping()),
        "Scope": "local",
    }


def row(volume: Volume) -> dict[str, Any]:
    """An entry of the list: all of it text."""
    known = {name: of(volume)[name] for name in ("Name", "Driver", "Mountpoint", "Scope")}
    labels = dict(label.partition("=")[::2] for label in volume.labels)
    return {**known, "Labels": ",".join(volume.labels), "Label": lambda name: labels.get(name, "")}
