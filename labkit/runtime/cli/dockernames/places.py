"""Where a container's files are: its layers, its mounts, the files that name it."""

from __future__ import annotations

from labkit.runtime.cli.gotypes import Mapping, only_in_templates
from labkit.runtime.engine import volumes
from labkit.runtime.engine.record.mountflags import PROPAGATION
from labkit.runtime.engine.record.record import Container
from labkit.runtime.images.imagestore import Image
from labkit.runtime.std.typing import Any


def name_files(container: Container, was_started: bool) -> dict[str, str]:
    """docker writes them at the first start, too; with the machine's network it is the machine's that one sees."""
    own = was_started and container.network != "host"
    keys = {"ResolvConfPath": "resolv.conf", "HostnamePath": "hostname", "HostsPath": "hosts"}
    return {key: f"{container.directory}/{name}" if own else "" for key, name in keys.items()}


def layers(container: Container, image: Image) -> dict[str, Any]:
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


def mounts(container: Container) -> list[dict[str, Any]]:
    """``Mounts``. Those in memory are not among them: they are ``HostConfig.Tmpfs``, however they were asked for."""
    return [_mount(mount) for mount in container.options.mounts if mount["type"] != "tmpfs"]


def _mount(mount: dict[str, Any]) -> dict[str, Any]:
    words = mount["options"]
    is_volume = mount["type"] == "volume"
    return {
        "Type": mount["type"],
        "Name": mount["source"] if is_volume else only_in_templates(""),
        "Source": _data(mount["source"]) if is_volume else mount["source"],
        "Destination": mount["target"],
        "Driver": "local" if is_volume else only_in_templates(""),
        "Mode": ",".join(words),
        "RW": "ro" not in words,
        "Propagation": "" if is_volume else _propagation(words) or "rprivate",
    }


def _data(volume: str) -> str:
    return volumes.data(volume)


def _propagation(words: list[str]) -> str:
    """Empty where none is said."""
    return next((word for word in words if word in PROPAGATION), "")


def binds(mounts_: list[dict[str, Any]]) -> list[str]:
    """``HostConfig.Binds``: what ``-v`` asks for. A volume is the same to labkit, whichever flag asked for it."""
    found = [mount for mount in mounts_ if _is_bind(mount)]
    return [":".join([mount["source"], mount["target"], *_joined(mount["options"])]) for mount in found]


def _is_bind(mount: dict[str, Any]) -> bool:
    named = mount["type"] == "volume" and not mount.get("anonymous")
    return named or (mount["type"] == "bind" and bool(mount["make"]))


def _joined(words: list[str]) -> list[str]:
    return [",".join(words)] if words else []


def asked_by_mount(mounts_: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``HostConfig.Mounts``: what ``--mount`` asks for and ``-v`` cannot."""
    found = []
    for mount in mounts_:
        if mount["type"] == "bind" and not mount["make"]:
            spread = _propagation(mount["options"])
            found.append(
                {
                    "Type": "bind",
                    "Source": mount["source"],
                    "Target": mount["target"],
                    **({"ReadOnly": True} if "ro" in mount["options"] else {}),
                    **({"BindOptions": {"Propagation": spread}} if spread else {}),
                }
            )
    return found


def tmpfs(mounts_: list[dict[str, Any]]) -> dict[str, str]:
    """``HostConfig.Tmpfs``: place -> options; those that every one has are not told."""
    usual = ("nosuid", "nodev", "noexec")
    return Mapping(
        (mount["target"], ",".join(word for word in mount["options"] if word not in usual))
        for mount in mounts_
        if mount["type"] == "tmpfs"
    )
