"""Where in the trees a container's group lies (config-linux.md, "Cgroups Path")."""

from __future__ import annotations

import os

from labkit.errors import ConfigError, ConflictError
from labkit.runtime.text import textfile

#: The engine's own group, which all its containers share and the last one removes.
ENGINE = "labkit"


def path(wanted: str, container_id: str) -> str:
    """``linux.cgroupsPath`` as a path from the top of every tree; nothing given means ``/ID``.

    A relative one counts from the top, too. runc puts it below its own group, which is another one in each of v1's
    trees and for each shell that ``delete`` is called from; the specification leaves the place to the runtime, and
    says only that the same path must give the same group. No ``..`` leads out of the tree. ConfigError for systemd's
    form.
    """
    if not wanted.startswith("/") and wanted.count(":") == 2:
        raise ConfigError(
            f"linux.cgroupsPath is '{wanted}', which is systemd's form (slice:prefix:name), and labkit writes the tree "
            "itself",
            "give a path, as /containers/NAME; with podman: --cgroup-manager cgroupfs",
        )
    return os.path.normpath("/" + (wanted or container_id).lstrip("/"))


def ours() -> str:
    """The group of v2 that this process is in, as a path from the top of the tree (cgroups(7), "/proc files")."""
    return next((line[3:] for line in textfile.read("/proc/self/cgroup").splitlines() if line.startswith("0::")), "/")


def parents(point: str, group: str) -> tuple[str, ...]:
    """The directories between the tree's top ``point`` and ``group``, the lowest first, that are to go with it when
    they are empty: those that are missing now, and the engine's own.
    """
    names = group.strip("/").split("/")[:-1]
    above = ["/".join([point, *names[:depth]]) for depth in range(len(names), 0, -1)]
    if names == [ENGINE]:
        return tuple(above)
    return tuple(place for place in above if not os.path.exists(place))


def check_free(group: str, pids: list[int], frozen: bool) -> None:
    """ConflictError where a group that is there already is in use or frozen: a container's group is its own."""
    if pids:
        raise ConflictError(
            f"container's cgroup is not empty: {len(pids)} process(es) found in {group}",
            "another container, or something else, uses that cgroupsPath",
        )
    if frozen:
        raise ConflictError(
            f"container's cgroup unexpectedly frozen: {group}",
            "write THAWED to its freezer.state (v2: 0 to cgroup.freeze)",
        )
