"""Containers and images, under docker's names and labkit's own."""

from __future__ import annotations

from pathlib import Path

from labkit.errors import NotFoundError, UsageError
from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import here
from labkit.runtime.cli import listing
from labkit.runtime.cli.dockernames import container as docker_container
from labkit.runtime.cli.flags import Option, VerbCall, verb
from labkit.runtime.cli.gotypes import Mapping, only_in_templates, or_nothing
from labkit.runtime.engine.net import networking
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.record import Container
from labkit.runtime.engine.volumes import size_of
from labkit.runtime.images import imagestore
from labkit.runtime.images.imagestore import Image
from labkit.runtime.std.dataclasses import asdict
from labkit.runtime.std.typing import Any
from labkit.runtime.text.document import Reader


@verb(
    "NAME …",
    Option(("format", "f"), "a template, as {{.State.Status}}, or json", "TEMPLATE", ""),
    Option(("size", "s"), "how much containers have written, too"),
    Option(("type",), "container or image, where both have that name", "TYPE", ""),
    most=-1,
)
def inspect(call: VerbCall) -> int:
    """Show all that is known of containers or images, as a JSON list.

    Examples:
      labkit inspect redis
      labkit inspect busybox:latest
      labkit inspect -f '{{.State.Status}} {{.NetworkSettings.IPAddress}}' redis

    docker's names come first, all in capitals at their beginning, with docker's values; labkit's own follow, in small
    letters. Templates are Go's, as docker's: {{.Name}}, {{json .Mounts}}, {{len .Mounts}}, {{join .Config.Cmd " "}},
    {{index .Config.Labels "key"}}, {{range $port, $places := .NetworkSettings.Ports}}{{$port}} {{end}},
    {{if .State.Running}}yes{{else}}no{{end}}.
    """
    options = call.options
    if options.type not in ("", "container", "image"):
        raise UsageError(f"--type {options.type} is not possible", "it is container or image")
    found = [_inspect(name, options.type, options.size) for name in call.arguments]
    return listing.inspected(options.format, found)


def _inspect(name: str, kind: str, size: bool) -> dict[str, Any]:
    if kind != "image":
        try:
            return _container(record.find(name), size)
        except NotFoundError:
            if kind:
                raise
    try:
        image = imagestore.find(name)
    except NotFoundError:
        if kind:
            raise
        raise NotFoundError(
            f"there is no container and no image '{name}'", "see 'labkit ps -a' and 'labkit images'"
        ) from None
    return {**_dockers(image), **asdict(image), "layer_directories": image.lowers()}


def _container(container: Container, size: bool) -> dict[str, Any]:
    path = Path(container.directory, "config.json")
    specification = Reader.parse(path.read_bytes(), str(path)).object if path.exists() else None
    state, image = container.state(), imagestore.find(container.image)
    return {
        **docker_container.of(container, state, specification, image),
        **(_sizes(container, image) if size else {}),
        **container.shown(),
        "state": asdict(state),
        "processes": group.pids(container.cgroups_path, here()),
        "network_namespace": networking.shown_namespace(container),
        "rootfs": container.rootfs,
        "upper": f"{container.directory}/upper",
        "layers": image.lowers(),
        "cgroup": container.cgroups_path,
        "log": container.log_path,
        "specification": specification,
    }


def _sizes(container: Container, image: Image) -> dict[str, int]:
    """Bytes: what it has written, and all that it sees."""
    written = size_of(f"{container.directory}/upper")
    return {"SizeRw": written, "SizeRootFs": written + image.size}


def _dockers(image: Image) -> dict[str, Any]:
    """docker's names; the Config has what its maker wrote there, in docker's order."""
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
