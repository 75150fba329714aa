"""``HostConfig``: what was asked of the machine."""

from __future__ import annotations

from labkit.errors import LabkitError
from labkit.runtime.cli.dockernames import settings
from labkit.runtime.cli.gotypes import Mapping, only_in_templates, or_nothing
from labkit.runtime.engine.config import rights
from labkit.runtime.engine.record import record
from labkit.runtime.engine.record.mountflags import PROPAGATION
from labkit.runtime.engine.record.options import Options, RestartPolicy
from labkit.runtime.engine.record.record import Container
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.typing import Any

_UNLIMITED = (1 << 64) - 1
_USUAL_PERIOD = 100000
"""Microseconds: that of ``--cpus``, which docker shows as NanoCpus alone."""


def config(container: Container, specification: dict[str, Any] | None) -> dict[str, Any]:
    """All of it. Limits are those of the last start, and of ``labkit update`` since then."""
    options = container.options
    linux = (specification or {}).get("linux") or {}
    limits = linux.get("resources") or options.resources
    return {
        **_life(container),
        **_rights(options, linux),
        **_namespaces(options),
        "ShmSize": options.shm_size,
        "Sysctls": Mapping(options.sysctls) if options.sysctls else only_in_templates(or_nothing({})),
        "Runtime": container.runtime,
        **_processor(limits.get("cpu") or {}),
        **_memory(limits.get("memory") or {}),
        **_disks(limits.get("blockIO") or {}),
        "Devices": [_device(text) for text in options.devices],
        "DeviceCgroupRules": or_nothing(options.device_rules),
        "PidsLimit": (limits.get("pids") or {}).get("limit"),
        "Ulimits": or_nothing([_ulimit(text) for text in options.ulimits]),
    }


def _life(container: Container) -> dict[str, Any]:
    options = container.options
    policy = RestartPolicy(options.restart)
    mounts = _asked_by_mount(options.mounts)
    tmpfs = _tmpfs(options.mounts)
    return {
        "Binds": or_nothing(_binds(options.mounts)),
        "ContainerIDFile": options.cidfile,
        "LogConfig": {"Type": options.log_driver, "Config": Mapping(options.log_options)},
        "NetworkMode": _others_id(options.network) or "none",
        "PortBindings": settings.wanted(container),
        "RestartPolicy": {"Name": policy.name, "MaximumRetryCount": policy.most},
        "AutoRemove": options.auto_remove,
        "Mounts": mounts or only_in_templates(or_nothing(mounts)),
        "Tmpfs": tmpfs or only_in_templates(or_nothing(tmpfs)),
        "Dns": options.dns,
        "DnsSearch": options.dns_search,
        "ExtraHosts": or_nothing(options.add_hosts),
        "Init": True if options.init else only_in_templates(None),
    }


def _rights(options: Options, linux: dict[str, Any]) -> dict[str, Any]:
    if linux:
        masked, readonly = linux.get("maskedPaths", []), linux.get("readonlyPaths", [])
    else:
        masked, readonly = rights.hidden(options)
    return {
        "CapAdd": or_nothing(options.cap_add),
        "CapDrop": or_nothing(options.cap_drop),
        "GroupAdd": or_nothing(options.groups),
        "OomScoreAdj": options.oom_score_adj or 0,
        "Privileged": options.privileged,
        "ReadonlyRootfs": options.read_only,
        "SecurityOpt": or_nothing(options.security),
        "MaskedPaths": or_nothing(masked),
        "ReadonlyPaths": or_nothing(readonly),
    }


def _namespaces(options: Options) -> dict[str, str]:
    """Empty is docker's word for one of its own, but for the two that it calls private."""
    return {
        "CgroupnsMode": options.cgroupns or "private",
        "IpcMode": _others_id(options.ipc) or "private",
        "PidMode": _others_id(options.pid),
        "UTSMode": options.uts,
        "UsernsMode": options.userns,
    }


def _others_id(mode: str) -> str:
    """``container:NAME`` with that one's id, as docker has it; as it was given where there is none any more."""
    kind, colon, name = mode.partition(":")
    if colon and kind == "container":
        with suppress(LabkitError):
            return f"container:{record.find(name).id}"
    return mode


def _processor(cpu: dict[str, Any]) -> dict[str, Any]:
    quota, period = cpu.get("quota", 0), cpu.get("period", 0)
    by_cpus = period == _USUAL_PERIOD and quota > 0
    return {
        "CpuShares": cpu.get("shares", 0),
        "NanoCpus": quota * 1000000000 // period if by_cpus else 0,
        "CpuPeriod": 0 if by_cpus else period,
        "CpuQuota": 0 if by_cpus else quota,
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
    }


def _memory(memory: dict[str, Any]) -> dict[str, Any]:
    return {
        "Memory": memory.get("limit", 0),
        "MemoryReservation": memory.get("reservation", 0),
        "MemorySwap": memory.get("swap", 0),
        "MemorySwappiness": memory.get("swappiness"),
        "OomKillDisable": bool(memory.get("disableOOMKiller")),
    }


def _disks(block: dict[str, Any]) -> dict[str, Any]:
    names = {
        "BlkioDeviceReadBps": "throttleReadBpsDevice",
        "BlkioDeviceWriteBps": "throttleWriteBpsDevice",
        "BlkioDeviceReadIOps": "throttleReadIOPSDevice",
        "BlkioDeviceWriteIOps": "throttleWriteIOPSDevice",
    }
    # The record has a disk's numbers and no longer its name; udev makes this one for each.
    rates = {
        key: [
            {"Path": f"/dev/block/{disk['major']}:{disk['minor']}", "Rate": disk["rate"]}
            for disk in block.get(name, [])
        ]
        for key, name in names.items()
    }
    return {"BlkioWeight": block.get("weight", 0), **{key: or_nothing(found) for key, found in rates.items()}}


def _device(text: str) -> dict[str, str]:
    host, place, access = text.split(":")
    return {"PathOnHost": host, "PathInContainer": place, "CgroupPermissions": access}


def _ulimit(text: str) -> dict[str, Any]:
    name, _, numbers = text.partition("=")
    soft, _, hard = numbers.partition(":")
    limits = [-1 if int(number) == _UNLIMITED else int(number) for number in (hard, soft)]
    return {"Name": name[len("RLIMIT_") :].lower(), "Hard": limits[0], "Soft": limits[1]}


def _binds(mounts_: list[dict[str, Any]]) -> list[str]:
    """``HostConfig.Binds``: what ``-v`` asks for. A volume is the same to labkit, whichever flag asked for it."""
    found = [mount for mount in mounts_ if _is_bind(mount)]
    return [":".join(filter(None, (mount["source"], mount["target"], ",".join(mount["options"])))) for mount in found]


def _is_bind(mount: dict[str, Any]) -> bool:
    named = mount["type"] == "volume" and not mount.get("anonymous")
    return named or (mount["type"] == "bind" and bool(mount["make"]))


def _asked_by_mount(mounts_: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``HostConfig.Mounts``: what ``--mount`` asks for and ``-v`` cannot."""
    return [
        {
            "Type": "bind",
            "Source": mount["source"],
            "Target": mount["target"],
            **({"ReadOnly": True} if "ro" in mount["options"] else {}),
            **({"BindOptions": {"Propagation": spread}} if (spread := propagation(mount["options"])) else {}),
        }
        for mount in mounts_
        if mount["type"] == "bind" and not mount["make"]
    ]


def propagation(words: list[str]) -> str:
    """Empty where none is said."""
    return next((word for word in words if word in PROPAGATION), "")


def _tmpfs(mounts_: list[dict[str, Any]]) -> dict[str, str]:
    """``HostConfig.Tmpfs``: place -> options; those that every one has are not told."""
    usual = ("nosuid", "nodev", "noexec")
    return Mapping(
        (mount["target"], ",".join(word for word in mount["options"] if word not in usual))
        for mount in mounts_
        if mount["type"] == "tmpfs"
    )
