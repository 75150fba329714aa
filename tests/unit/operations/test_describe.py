"""What operations say is what a shell would do: compared as text."""

from __future__ import annotations

import pytest

from labkit.cgroups.operations import EnableControllers, InheritCpuset, SetLimit
from labkit.network.iptables import AddRules
from labkit.network.links import AddBridge, AddNamespace
from labkit.oci.operations import DetachOldRoot, MakeFile, PivotRoot, SetHostname
from labkit.operations import Operation
from labkit.operations.files import Link, MakeDevice, WriteSetting
from labkit.operations.mounting import BindMount, Mount, Remount, SetPropagation


@pytest.mark.parametrize(
    ("operation", "command"),
    [
        (Mount("proc", "/r/proc", "proc", ("nosuid", "ro")), "mount -t proc -o nosuid,ro proc /r/proc"),
        (Mount("tmpfs", "/with space", "tmpfs"), "mount -t tmpfs tmpfs '/with space'"),
        (BindMount("/a", "/b"), "mount -o rbind /a /b"),
        (BindMount("/a", "/b", recursive=False, options=("ro",)), "mount -o bind,ro /a /b"),
        (Remount("/r", ("ro",)), "mount -o remount,bind,ro /r"),
        (SetPropagation("/"), "mount --make-rprivate /"),
        (MakeDevice("/r/dev/null", 1, 3), "mknod -m 0666 /r/dev/null c 1 3"),
        (Link("/proc/self/fd", "/r/dev/fd"), "ln -s /proc/self/fd /r/dev/fd"),
        (MakeFile("/r/etc/hosts"), "mkdir -p /r/etc && touch /r/etc/hosts"),
        (WriteSetting("/proc/sys/net/ipv4/ip_forward", "1", "0"), "echo 1 > /proc/sys/net/ipv4/ip_forward"),
        (SetHostname("box"), "echo box > /proc/sys/kernel/hostname"),
        (PivotRoot("/r"), "cd /r && pivot_root . ."),
        (DetachOldRoot(), "umount --lazy --no-canonicalize ."),
        (AddBridge("labkit0"), "ip link add labkit0 type bridge"),
        (AddNamespace("x"), "ip netns add x"),
        (SetLimit("/c/g", "pids.max", "7"), "echo 7 > /c/g/pids.max"),
        (EnableControllers("/c", ("cpu", "pids")), "echo '+cpu +pids' > /c/cgroup.subtree_control"),
        (AddRules(("nat X -j RETURN",), ("nat X",)), "iptables -t nat -N X\niptables -t nat -A X -j RETURN"),
        (
            InheritCpuset("/c/p/g"),
            "cat /c/cpuset.cpus > /c/p/cpuset.cpus && cat /c/cpuset.mems > /c/p/cpuset.mems && "
            "cat /c/p/cpuset.cpus > /c/p/g/cpuset.cpus && cat /c/p/cpuset.mems > /c/p/g/cpuset.mems",
        ),
    ],
)
def test_an_operation_describes_itself_as_a_command(operation: Operation, command: str) -> None:
    assert operation.describe() == command
