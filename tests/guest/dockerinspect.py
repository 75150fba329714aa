"""What docker's ``inspect``, ``ps``, ``stats`` and ``images`` show, and what of it labkit shows otherwise, and why.

docker-20.10.json is what a real docker (20.10.24 of Debian 12, its CLI too) said of two containers, of their image and
in its lists; test_oci_docker.py holds it against a docker that runs, where there is one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

PLAIN = ["busybox", "sleep", "100"]
"""A container with nothing asked for, and one with a bit of everything; ``PLACE`` is a directory."""
FURNISHED = """
    -p 127.0.0.1:8099:80 -p 90 -v PLACE:/x:ro -v labkit-data:/data -v /anon --mount type=bind,source=PLACE,target=/m
    --tmpfs /t:size=1m -l a=b -e X=1 -w /tmp -u 1000 --group-add 5 --cap-add NET_ADMIN --cap-drop CHOWN
    --ulimit nofile=100:200 --restart on-failure:3 --hostname h --dns 192.0.2.1 --dns-search example.com
    --add-host a:192.0.2.2 --stop-signal SIGQUIT --stop-timeout 5 --security-opt no-new-privileges
    --sysctl net.ipv4.ip_forward=1 --device /dev/null:/dev/xx:r --device-cgroup-rule C_1:1_R --oom-score-adj 100
    --shm-size 1m --read-only --entrypoint sleep busybox 100
"""
LISTS = ("ps", "stats", "images")

LEFT_OUT = {
    # Windows has it, or had it.
    "HostConfig.ConsoleSize": "a console's size when it is made is for Windows",
    "HostConfig.CpuCount": "a limit of Windows",
    "HostConfig.CpuPercent": "a limit of Windows",
    "HostConfig.IOMaximumBandwidth": "a limit of Windows",
    "HostConfig.IOMaximumIOps": "a limit of Windows",
    "HostConfig.Isolation": "a way of Windows",
    # labkit has no such thing, so that there is nothing to tell.
    "AppArmorProfile": "labkit sets no policy of AppArmor",
    "MountLabel": "labkit sets no labels of SELinux",
    "ProcessLabel": "labkit sets no labels of SELinux",
    "HostConfig.BlkioWeightDevice": "there is no weight for a single disk",
    "HostConfig.Cgroup": "no group of another container can be joined",
    "HostConfig.CgroupParent": "the group is always below /labkit; see cgroup",
    "HostConfig.CpuRealtimePeriod": "there are no limits for real-time processes",
    "HostConfig.CpuRealtimeRuntime": "there are no limits for real-time processes",
    "HostConfig.DeviceRequests": "no drivers choose devices",
    "HostConfig.DnsOptions": "there is no --dns-option",
    "HostConfig.KernelMemory": "the kernel has it no more (since 5.16)",
    "HostConfig.KernelMemoryTCP": "there is no limit for buffers of TCP alone",
    "HostConfig.Links": "links between containers are of docker's past",
    "HostConfig.PublishAllPorts": "there is no -P",
    "HostConfig.VolumeDriver": "volumes have no drivers",
    "HostConfig.VolumesFrom": "there is no --volumes-from",
    "Config.OnBuild": "labkit builds no images",
    "NetworkSettings.LinkLocalIPv6Address": "there is no IPv6; GlobalIPv6Address says so",
    "NetworkSettings.LinkLocalIPv6PrefixLen": "as above",
    "NetworkSettings.SecondaryIPAddresses": "an endpoint has one address",
    "NetworkSettings.SecondaryIPv6Addresses": "an endpoint has one address",
    "NetworkSettings.HairpinMode": "it is always on (and docker always says false)",
    "NetworkSettings.Networks.*.DriverOpts": "networks' drivers take no options",
    "NetworkSettings.Networks.*.Links": "links between containers are of docker's past",
    # There is such a thing, and labkit does not keep it.
    "Config.AttachStdin": "who was attached when it was made is not kept",
    "Config.AttachStdout": "as above",
    "Config.AttachStderr": "as above",
    "Config.StdinOnce": "as above",
    "ExecIDs": "a process of labkit exec has no record; see processes, and labkit top",
    "NetworkSettings.EndpointID": "an endpoint has no number; it is the veth of endpoints",
    "NetworkSettings.MacAddress": "the kernel chooses it: ip link shows it",
    "NetworkSettings.Networks.*.EndpointID": "as above",
    "NetworkSettings.Networks.*.MacAddress": "as above",
    "NetworkSettings.Networks.*.NetworkID": "networks are known by their names alone",
    "NetworkSettings.SandboxID": "a sandbox has no number; SandboxKey is its place",
    # An image (its paths begin with image).
    "image.Architecture": "it is not kept: an image is loaded where it runs",
    "image.Author": "not kept",
    "image.Comment": "not kept",
    "image.Container": "labkit builds no images",
    "image.ContainerConfig": "labkit builds no images",
    "image.DockerVersion": "docker did not make it",
    "image.GraphDriver": "layers belong to no one storage driver; see layer_directories",
    "image.Metadata": "when it was loaded is not kept",
    "image.Parent": "labkit builds no images",
    "image.RepoDigests": "it came from an archive, not from a registry",
    **{
        f"image.Config.{name}": "docker has it in every image, where it is a container's"
        for name in (
            *("AttachStdin", "AttachStdout", "AttachStderr", "Domainname", "Hostname", "Image", "OnBuild", "OpenStdin"),
            *("StdinOnce", "Tty"),
        )
    },
    # The lists (theirs begin with their verb).
    "images.Containers": "docker never says it either (N/A)",
    "images.SharedSize": "as above",
    "images.UniqueSize": "as above",
}  # fmt: skip
"""docker's names that labkit has not, each with the reason; what is below one is left out, too."""

DIFFERENT = {
    "Id Created State.Pid State.StartedAt Config.Hostname image.Id image.Created": "chance and time",
    "*Path Driver GraphDriver.*": "another place",
    "Image image.Size image.VirtualSize image.RootFS.Layers.*": "another store",
    "NetworkSettings.*Gateway NetworkSettings.*IPAddress NetworkSettings.SandboxKey": "another subnet, another place",
    "NetworkSettings.Ports.*": "labkit publishes on IPv4 alone, and docker on ::, too",
    "HostConfig.NetworkMode": "docker 20.10 says default; later ones say bridge, as labkit does",
    "HostConfig.CgroupnsMode": "docker's default on cgroup v1 is host",
    "HostConfig.Runtime": "its name in docker's configuration",
    "HostConfig.MaskedPaths.* HostConfig.ReadonlyPaths.*": "each has a list of its own",
    "HostConfig.Ulimits*": "the daemon of the record had a default of its own",
    "HostConfig.Mounts.* Mounts.*": "their order; and the z of SELinux that docker adds",
    "Config.Env* image.Config.*": "the images are made in two ways",
}
"""Paths (as fnmatch has them) whose values are others, with the reason; their kinds are the same all the same."""

CHOSEN_BY_USERS = ("Ports", "Networks", "Labels", "Volumes", "ExposedPorts", "Sysctls", "Tmpfs", "PortBindings")
"""Maps: their keys are no names of docker's."""


def furnished(place: Path) -> list[str]:
    """The words of the second container."""
    words = FURNISHED.replace("PLACE", str(place)).split()
    return [word.replace("C_1:1_R", "c 1:1 r") for word in words]


def recorded() -> dict[str, Any]:
    """docker's words: ``plain``, ``furnished`` and ``image`` as ``inspect`` shows them, an entry of each list."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("docker-20.10.json").read_text(encoding="utf-8"))
    return found


def leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Path -> value of all that is below; a list's and a map's own keys are ``*``. Only names with a capital count,
    which are docker's; labkit's own are small.
    """
    if isinstance(value, dict) and value:
        by_users = path.rpartition(".")[2] in CHOSEN_BY_USERS
        for name, part in value.items():
            if by_users or name[:1].isupper():
                yield from leaves(part, f"{path}.*" if by_users else f"{path}.{name}".lstrip("."))
    elif isinstance(value, list) and value:
        for part in value:
            yield from leaves(part, f"{path}.*")
    else:
        yield path, value


def left_out(path: str) -> str:
    """The line of LEFT_OUT that speaks of it, if any."""
    return next((known for known in LEFT_OUT if f"{path}.".startswith(f"{known}.")), "")


def missing(dockers: Any, ours: Any, path: str = "") -> list[str]:
    """docker's names that labkit neither has nor leaves out on purpose."""
    has = dict(leaves(ours, path))
    return sorted({key for key, _ in leaves(dockers, path) if not left_out(key) and not _is_there(key, has)})


def invented(dockers: Any, ours: Any, path: str = "") -> list[str]:
    """Names of labkit's that look like docker's and are not, or that LEFT_OUT says are not there."""
    has = dict(leaves(dockers, path))
    return sorted({key for key, _ in leaves(ours, path) if left_out(key) or not _is_there(key, has)})


def _is_there(path: str, has: dict[str, Any]) -> bool:
    """Also where one of the two has something in a list or a map, and the other one nothing."""
    above = [key for key, value in has.items() if not value and path.startswith(f"{key}.")]
    return path in has or bool(above) or any(key.startswith(f"{path}.") for key in has)


def different(dockers: Any, ours: Any, path: str = "") -> list[str]:
    """Where values differ that should not, and where they are of another kind."""
    wrong = []
    has: dict[str, list[Any]] = {}
    for key, value in leaves(ours, path):
        has.setdefault(key, []).append(value)
    for key, value in leaves(dockers, path):
        others = [] if left_out(key) else has.get(key, [])
        excused = any(fnmatchcase(key, known) for known in " ".join(DIFFERENT).split())
        kinds = {type(other) for other in others}
        if others and type(value) not in kinds and not (excused and {type(value), *kinds} & {type(None)}):
            wrong.append(f"{key}: {others} is not of the kind of {value!r}")
        elif others and not excused and value not in others:
            wrong.append(f"{key}: {others}, and docker has {value!r}")
    return wrong
