"""A container as docker's ``inspect`` shows it."""

from __future__ import annotations

from labkit.runtime.cli.dockernames import host, settings
from labkit.runtime.cli.dockernames.host import propagation
from labkit.runtime.cli.gotypes import Mapping, only_in_templates, or_nothing
from labkit.runtime.engine import volumes
from labkit.runtime.engine.record.record import Container, State
from labkit.runtime.images.imagestore import Image
from labkit.runtime.std.typing import Any
from labkit.runtime.text import timestamps

_NEVER = "0001-01-01T00:00:00Z"
_ALIVE = ("running", "paused")


def of(container: Container, state: State, specification: dict[str, Any] | None, image: Image) -> dict[str, Any]:
    """A container's; ``specification`` is that of its last start, None before the first."""
    runs = state.status in _ALIVE
    return {
        "Id": container.id,
        "Created": timestamps.rfc3339(container.created),
        "Path": container.command[0],
        "Args": container.command[1:],
        "State": _state(state),
        "Image": f"sha256:{container.image_id}",
        **_name_files(container, specification is not None),
        "LogPath": container.log_path,
        "Name": f"/{container.name}",
        "RestartCount": state.restarts,
        "Driver": container.storage_driver,
        "Platform": "linux",
        "HostConfig": host.config(container, specification),
        "GraphDriver": _layers(container, image),
        # Those in memory are HostConfig.Tmpfs, however they were asked for.
        "Mounts": [_mount(mount) for mount in container.options.mounts if mount["type"] != "tmpfs"],
        "Config": _config(container, specification, image),
        "NetworkSettings": settings.of(container, runs, image),
    }


def _state(state: State) -> dict[str, Any]:
    alive = state.status in _ALIVE
    return {
        "Status": state.status,
        "Running": alive or state.status == "restarting",
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "OOMKilled": state.oom_killed,
        "Dead": False,  # docker's word for a removal that failed half-way; here the next command goes on with it
        "Pid": state.pid if alive else 0,  # (while it waits to restart, that is the shim's)
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": timestamps.rfc3339(state.started_at) if state.started_at else _NEVER,
        "FinishedAt": timestamps.rfc3339(state.finished_at) if state.finished_at else _NEVER,
        "Health": only_in_templates(None),  # labkit makes no health checks
    }


def _config(container: Container, specification: dict[str, Any] | None, image: Image) -> dict[str, Any]:
    """What its image says and what was asked for, put together as docker does it when it makes a container."""
    options, default = container.options, image.config
    own = options.entrypoint is not None  # it makes the image's command meaningless
    entrypoint = options.entrypoint if own else default.get("Entrypoint")
    hostname = (specification or {}).get("hostname") or options.hostname or container.short_id
    ports = Mapping((port, {}) for port in settings.exposed(container, image))
    anonymous = Mapping((mount["target"], {}) for mount in options.mounts if mount.get("anonymous"))
    return {
        "Hostname": hostname,
        "Domainname": "",
        "User": options.user or default.get("User") or "",
        "ExposedPorts": ports or only_in_templates(or_nothing(ports)),
        "Tty": options.tty,
        "OpenStdin": options.interactive,
        "Env": _environment(options.env, default.get("Env") or []),
        "Cmd": or_nothing(options.command or (not own and default.get("Cmd")) or []),
        "Image": options.image,
        "Volumes": or_nothing(anonymous),
        "WorkingDir": options.workdir or default.get("WorkingDir") or "",
        "Entrypoint": or_nothing(entrypoint or []),
        "Labels": Mapping(options.labels),
        "StopSignal": options.stop_signal or only_in_templates(""),
        "StopTimeout": only_in_templates(None) if options.stop_timeout is None else int(options.stop_timeout),
    }


def _environment(given: list[str], default: list[str]) -> list[str]:
    """What was given, the last of a name, then the image's under other names."""
    last = {entry.partition("=")[0]: entry for entry in given}
    return [*last.values(), *(entry for entry in default if entry.partition("=")[0] not in last)]


def _name_files(container: Container, was_started: bool) -> dict[str, str]:
    """docker writes them at the first start, too; with the machine's network it is the machine's that one sees."""
    own = was_started and container.network != "host"
    keys = {"ResolvConfPath": "resolv.conf", "HostnamePath": "hostname", "HostsPath": "hosts"}
    return {key: f"{container.directory}/{name}" if own else "" for key, name in keys.items()}


def _layers(container: Container, image: Image) -> dict[str, Any]:
    """``GraphDriver``: the union mount's directories, the topmost layer first."""
    return {
        "Data": Mapping(
            LowerDir=":".join(image.lowers()),
            MergedDir=container.rootfs,
            UpperDir=f"{container.directory}/upper",
            WorkDir=f"{container.directory}/work",
        ),
        "Name": container.storage_driver,
    }


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    words = mount["options"]
    is_volume = mount["type"] == "volume"
    return {
        "Type": mount["type"],
        "Name": mount["source"] if is_volume else only_in_templates(""),
        "Source": volumes.data(mount["source"]) if is_volume else mount["source"],
        "Destination": mount["target"],
        "Driver": "local" if is_volume else only_in_templates(""),
        "Mode": ",".join(words),
        "RW": "ro" not in words,
        "Propagation": "" if is_volume else propagation(words) or "rprivate",
    }
