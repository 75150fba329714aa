"""What a container gets when nothing else is said, as data: mounts, devices, links, capabilities, masked paths.

Mounts and devices are those that the OCI runtime specification asks for (config-linux.md, "Default Filesystems" and
"Default Devices"); masked paths and capabilities are docker's. CAP_MKNOD is one of them: a container may make the node
of the host's disk, and the device filter of its cgroup keeps it from opening it.
"""

from __future__ import annotations

from labkit.runtime.std.typing import Any

CAPABILITIES = (
    "CAP_AUDIT_WRITE CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER CAP_FSETID CAP_KILL CAP_MKNOD CAP_NET_BIND_SERVICE "
    "CAP_NET_RAW CAP_SETFCAP CAP_SETGID CAP_SETPCAP CAP_SETUID CAP_SYS_CHROOT"
).split()

#: (path, major, minor) of the character devices that every container has (Documentation/admin-guide/devices.txt).
DEVICES = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
]

#: What a container may do with devices when its specification's list ends, as v1 writes it (runc's built-in list,
#: without its tun device): make any node; use those above, and terminals of its own devpts. The rest cannot be opened.
ALLOWED_DEVICES = [
    {"allow": True, "type": "c", "access": "m"},
    {"allow": True, "type": "b", "access": "m"},
    *[
        {"allow": True, "type": "c", "major": major, "minor": minor, "access": "rwm"}
        for _, major, minor in [*DEVICES, ("/dev/ptmx", 5, 2)]
    ],
    {"allow": True, "type": "c", "major": 136, "access": "rwm"},
]

#: (target, link); config-linux.md, "Default Devices", and runtime-linux.md, "Dev symbolic links".
LINKS = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
]

MASKED_PATHS = (
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/sched_debug /proc/scsi "
    "/proc/timer_list /proc/timer_stats /sys/devices/virtual/powercap /sys/firmware"
).split()

READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def mounts() -> list[dict[str, Any]]:
    """In the order in which they are made: what lies deeper comes later."""

    def entry(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
        return {"destination": destination, "type": kind, "source": source, "options": list(options)}

    quiet = ("nosuid", "noexec", "nodev")
    return [
        entry("/proc", "proc", "proc", *quiet),
        entry("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        entry("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
        entry("/dev/shm", "tmpfs", "shm", *quiet, "mode=1777", "size=65536k"),  # noqa: S108 - the container's
        entry("/dev/mqueue", "mqueue", "mqueue", *quiet),
        entry("/sys", "sysfs", "sysfs", *quiet, "ro"),
        entry("/sys/fs/cgroup", "cgroup", "cgroup", *quiet, "relatime", "ro"),
    ]
