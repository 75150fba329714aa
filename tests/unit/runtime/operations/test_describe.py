"""What operations say is what a shell would do: compared as text."""

from __future__ import annotations

import pytest

from labkit.runtime.cgroups.grouptree import EnableControllers, InheritCpuset, SetLimit
from labkit.runtime.network.iptables import AddRules
from labkit.runtime.network.links import AddBridge, AddNamespace
from labkit.runtime.oci.ownsettings import SetHostname
from labkit.runtime.oci.root.devicenode import MakeDeviceInside
from labkit.runtime.oci.root.mounting import BindInside, MountInside, RemountInside
from labkit.runtime.oci.root.newroot import ChangeRoot, DetachOldRoot, PivotRoot
from labkit.runtime.oci.root.rootfs import LinkInside, MakeDirectoryInside, MakeReadOnly, Mask
from labkit.runtime.operations import Operation
from labkit.runtime.operations.files import Mount, SetPropagation, WriteSetting


@pytest.mark.parametrize(
    ("operation", "command"),
    [
        (Mount("proc", "/r/proc", "proc", ("nosuid", "ro")), "mount -t proc -o nosuid,ro proc /r/proc"),
        (Mount("tmpfs", "/with space", "tmpfs"), "mount -t tmpfs tmpfs '/with space'"),
        (RemountInside("/r", "/", ("ro",)), "mount -o remount,bind,ro none /r"),
        (SetPropagation("/"), "mount --make-rprivate /"),
        (MakeDeviceInside("/r", "/dev/null", "c", 1, 3), "mknod -m 0666 /r/dev/null c 1 3"),
        (
            MakeDeviceInside("/r", "/x/pipe", "p", 0, 0, 0o600, 7, 8),
            "mkdir -p /r/x && mknod -m 0600 /r/x/pipe p && chown 7:8 /r/x/pipe",
        ),
        (LinkInside("/r", "/dev/fd", "/proc/self/fd"), "ln -s /proc/self/fd /r/dev/fd"),
        (MakeDirectoryInside("/r", "/../work dir"), "mkdir -p '/r/work dir'"),
        (
            MountInside("/r", "/proc", "proc", "proc", ("nosuid", "ro")),
            "mkdir -p /r/proc && mount -t proc -o nosuid,ro proc /r/proc",
        ),
        (
            MountInside("/r", "/no-such", "", "tmpfs", ("rslave",)),
            "mkdir -p /r/no-such && mount -t tmpfs -o rslave none /r/no-such",
        ),
        (BindInside("/r", "/b", "/", ("rbind", "ro")), "mkdir -p /r/b && mount -o rbind,ro / /r/b"),
        (
            BindInside("/r", "/b/f", "/no-such", ("bind", "rro")),
            "if [ -d /no-such ]; then mkdir -p /r/b/f; else mkdir -p /r/b && touch /r/b/f; fi && "
            "mount -o bind /no-such /r/b/f && findmnt --noheadings --list --submounts "
            '--output TARGET /r/b/f | while read -r each; do mount -o remount,bind,ro "$each"; done',
        ),
        (MakeReadOnly("/r", "/proc/sys", ("nosuid",)), "mount -o rbind,ro,nosuid /r/proc/sys /r/proc/sys"),
        (
            Mask("/r", "/no-such"),
            "if [ -d /r/no-such ]; then mount -t tmpfs -o ro,size=0k tmpfs /r/no-such; "
            "elif [ -e /r/no-such ]; then mount -o bind /dev/null /r/no-such; fi",
        ),
        (ChangeRoot("/r"), "exec chroot /r"),
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
