"""What ``labkit inspect`` shows under docker's names, beside its own: for the templates that people have already."""

from __future__ import annotations

from labkit.engine import moments, restart
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from labkit.engine.record import Container, State

_NEVER = "0001-01-01T00:00:00Z"


def of(container: Container, state: State, specification: dict[str, Any] | None) -> dict[str, Any]:
    """The usual ones of ``docker inspect``; 0 and empty stand for what was not asked for. The name has no ``/``."""
    process = (specification or {}).get("process", {})
    return {
        "Id": container.id,
        "Name": container.name,
        "Created": moments.rfc3339(container.created),
        "Path": container.command[0],
        "Args": container.command[1:],
        "Image": f"sha256:{container.image_id}",
        "State": _state(state),
        "RestartCount": state.restarts,
        "Driver": container.storage_driver,
        "LogPath": container.log_path,
        "Config": {
            "Image": container.image,
            "Env": process.get("env", []),
            "Cmd": container.options.command,
            "WorkingDir": process.get("cwd", ""),
            "User": container.options.user,
            "Hostname": (specification or {}).get("hostname", ""),
            "Tty": container.options.tty,
            "OpenStdin": container.options.interactive,
            "Labels": container.options.labels,
        },
        "HostConfig": _host(container),
        "NetworkSettings": {
            "IPAddress": container.address,
            "Networks": {name: {"IPAddress": known.get("address", "")} for name, known in container.endpoints.items()},
        },
    }


def _state(state: State) -> dict[str, Any]:
    return {
        "Status": state.status,
        "Running": state.status in ("running", "paused", "restarting"),
        "Paused": state.status == "paused",
        "Restarting": state.status == "restarting",
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "StartedAt": moments.rfc3339(state.started_at) if state.started_at else _NEVER,
        "FinishedAt": moments.rfc3339(state.finished_at) if state.finished_at else _NEVER,
    }


def _host(container: Container) -> dict[str, Any]:
    options = container.options
    memory, cpu = (options.resources.get(name, {}) for name in ("memory", "cpu"))
    policy = restart.parse(options.restart)
    return {
        "Memory": memory.get("limit", 0),
        "MemoryReservation": memory.get("reservation", 0),
        "MemorySwap": memory.get("swap", 0),
        "CpuShares": cpu.get("shares", 0),
        "CpuQuota": cpu.get("quota", 0),
        "CpuPeriod": cpu.get("period", 0),
        "CpusetCpus": cpu.get("cpus", ""),
        "PidsLimit": options.resources.get("pids", {}).get("limit", 0),
        "NetworkMode": options.network,
        "RestartPolicy": {"Name": policy.name, "MaximumRetryCount": policy.most},
        "AutoRemove": options.auto_remove,
        "Privileged": options.privileged,
        "ReadonlyRootfs": options.read_only,
        "CapAdd": options.cap_add,
        "CapDrop": options.cap_drop,
        "Mounts": options.mounts,
        "Runtime": container.runtime,
    }
