"""An image as docker's ``inspect`` shows it."""

from __future__ import annotations

from labkit.runtime.cli.gotypes import Mapping, only_in_templates, or_nothing
from labkit.runtime.images.imagestore import Image
from labkit.runtime.std.typing import Any


def of(image: Image) -> dict[str, Any]:
    """Its Config has what its maker wrote there, in docker's order."""
    known = image.config
    names = ("User", "ExposedPorts", "Env", "Cmd", "Volumes", "WorkingDir", "Entrypoint", "Labels", "StopSignal")
    config = {name: _or_empty(name, known.get(name)) for name in names}
    return {
        "Id": f"sha256:{image.id}",
        "RepoTags": [image.reference],
        "Created": image.created,
        "Config": config,
        "Os": "linux",
        "Size": image.size,
        "VirtualSize": image.size,
        "RootFS": {"Type": "layers", "Layers": [f"sha256:{layer}" for layer in image.layers]},
    }


def _or_empty(name: str, found: Any) -> Any:
    if name in ("User", "WorkingDir"):
        return found or ""
    if name == "StopSignal":
        return found or only_in_templates("")
    if name in ("Env", "Cmd", "Entrypoint"):
        return or_nothing(found or [])
    if name == "ExposedPorts" and not found:
        return only_in_templates(or_nothing({}))
    return or_nothing(Mapping(found or {}))
