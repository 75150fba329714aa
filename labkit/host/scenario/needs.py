"""What a lesson needs of the kernel, as data: a probe for each, never an assumption from a version number.

A probe is one shell command, run as root in the machine; it succeeds where the feature works, and what it prints where
it fails is the reason that the reader gets. A probe leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass

from testinfra.host import Host


@dataclass(frozen=True)
class Need:
    """One feature of a kernel."""

    probe: str
    absence: str
    """What to say where the probe fails; what it printed follows in parentheses."""


# A file system that is mounted for a try is mounted in a mount namespace of its own: it ends with the probe, whatever
# happens. The directory is in /var/tmp, since /tmp may be a tmpfs, and / of a container an overlay, which cannot
# be the upper directory of another (overlayfs.rst, "Upper and lower filesystems"). mount(2) loads a module itself.
_TRY_UNION = """
d=$(mktemp -d /var/tmp/labkit-probe.XXXXXX) && mkdir $d/a $d/b $d/w $d/m || exit 1
unshare --mount {mount} 2>&1; status=$?
rm -rf $d; exit $status
"""

# v2 names its controllers in one file; v1 has a tree for each, and one that the kernel has may not be mounted.
# The reason is the kernel's own, where its configuration is at hand.
_CONTROLLER = """
if test -e /sys/fs/cgroup/cgroup.controllers; then
    version=v2; grep -qw {name} /sys/fs/cgroup/cgroup.controllers && exit 0
else
    version=v1; grep -q '^cgroup .* cgroup .*\\b{name}\\b' /proc/mounts && exit 0
fi
why=$(grep -hoEm 1 'CONFIG_({options}) is not set' /boot/config-$(uname -r) /lib/modules/$(uname -r)/config 2>/dev/null)
echo "cgroup $version${{why:+: $why}}"; exit 1
"""


def _controller(name: str, options: str) -> Need:
    """A cgroup controller; ``options`` are the kernel's configuration options for it, the latest one first."""
    return Need(_CONTROLLER.format(name=name, options=options), f"no {name} controller")


NEEDS: dict[str, Need] = {
    "aufs": Need(
        _TRY_UNION.format(mount="mount -i -t aufs -o dirs=$d/a:$d/b none $d/m"),  # -i: no mount.aufs stands in for it
        "the kernel has no aufs, which never entered the mainline",
    ),
    # Not in a mount namespace of its own: the process that stands in would keep it alive.
    "aufs-or-stand-in": Need(
        """
        d=$(mktemp -d /var/tmp/labkit-probe.XXXXXX) && mkdir $d/a $d/b $d/m || exit 1
        mount -t aufs -o dirs=$d/a:$d/b none $d/m 2>&1 && umount $d/m; status=$?
        rm -rf --one-file-system $d; exit $status
        """,
        "aufs cannot be mounted, and nothing stands in for it",
    ),
    "cgroup-cpu": _controller("cpu", "CGROUP_SCHED|FAIR_GROUP_SCHED|CFS_BANDWIDTH"),
    # A memory and a cpuset controller for v1 are options of their own since Linux 6.12.
    "cgroup-cpuset": _controller("cpuset", "CPUSETS_V1|CPUSETS"),
    "cgroup-memory": _controller("memory", "MEMCG_V1|MEMCG"),
    "cgroup-pids": _controller("pids", "CGROUP_PIDS"),
    "cgroup-v1": Need("grep -q '^cgroup .* cgroup ' /proc/mounts", "no cgroup v1 hierarchy is mounted"),
    "cgroup-v2": Need("test -e /sys/fs/cgroup/cgroup.controllers", "cgroup v2 is not mounted at /sys/fs/cgroup"),
    "device-mapper-thin": Need(
        "modprobe -q dm-thin-pool; dmsetup targets 2>&1 | grep -qw thin-pool",
        "the kernel's device-mapper has no thin-pool target",
    ),
    "iptables-nat": Need("iptables -w -t nat -S 2>&1 >/dev/null", "iptables cannot list the nat table"),
    "kernel-without-aufs": Need(
        "! { modprobe --quiet aufs; grep -w aufs /proc/filesystems; }",
        "the kernel has aufs, which its distribution has added",
    ),
    "network-namespaces": Need("unshare --net true 2>&1", "no network namespace can be made"),
    "overlay": Need(
        _TRY_UNION.format(mount="mount -t overlay -o lowerdir=$d/b,upperdir=$d/a,workdir=$d/w none $d/m"),
        "overlay cannot be mounted",
    ),
    "pid-namespaces": Need("unshare --pid --fork true 2>&1", "no pid namespace can be made"),
    "time-namespaces": Need("unshare --time true 2>&1", "no time namespace can be made (Linux 5.6 has them)"),
    "user-namespaces": Need("unshare --user --map-root-user true 2>&1", "no user namespace can be made"),
}


def lacking(name: str, host: Host) -> str | None:
    """Why the machine behind ``host`` lacks the need ``name``, or None where it has it."""
    need = NEEDS[name]
    result = host.run(need.probe)
    if result.rc == 0:
        return None
    lines = (result.stdout + result.stderr).strip().splitlines()
    return f"{need.absence} ({lines[0].strip()})" if lines else need.absence
