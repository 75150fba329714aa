"""What is done once in a machine that was booted, before its snapshot is taken.

First: is it what lab.yaml asked for? Cgroup version and iptables back end are chosen by words on the kernel's command
line, which nobody refuses: where the kernel or systemd cannot give what was chosen, the machine boots with something
else (systemd from 258 on has no cgroup v1; Linux from 6.17 on can be built without the tables of iptables-legacy,
CONFIG_NETFILTER_XTABLES_LEGACY).

Then, so that no lesson pays for the first time of anything: the first `labkit run` after a boot takes twice as long as
the second, since the kernel loads modules (veth, bridge, nf_tables, overlay), the filter of system calls is compiled
and kept, and programs and libraries come from the disk. The snapshot has the machine's memory, and with it all of that.
"""

from __future__ import annotations

import fabric

from labkit import log
from labkit.errors import ConfigError
from labkit.host.lab.config import MachineConfig
from labkit.host.wire.ssh import execute

# What is mounted at /sys/fs/cgroup: cgroup2 itself, or a tmpfs that holds v1's hierarchies; `unified` is hybrid's v2
# tree. modprobe only says whether it would find the module: nothing is loaded that a lesson may want to see absent.
_LOOK = """
case $(stat -f -c %T /sys/fs/cgroup) in
    cgroup2fs) echo v2;;
    *) if [ -d /sys/fs/cgroup/unified ]; then echo hybrid; else echo v1; fi;;
esac
case $(iptables -V) in
    *legacy*) modprobe -qn iptable_nat && echo legacy || echo none;;
    *nf_tables*) modprobe -qn nf_tables && echo nft || echo none;;
    *) echo none;;
esac
"""


def check(connection: fabric.Connection, config: MachineConfig, kernel_release: str) -> None:
    """ConfigError where the machine is not what ``config`` says, InfrastructureError where it is lost."""
    _, found, _ = execute(connection, _LOOK)
    compare(found.decode().split(), config, kernel_release)


def compare(found: list[str], config: MachineConfig, kernel_release: str) -> None:
    """``found``: cgroup version and iptables back end, ``none`` where the kernel has not what the command needs."""
    for key, wanted, got in zip(("cgroup", "iptables"), (config.cgroup, config.iptables), found, strict=True):
        if got != wanted:
            raise ConfigError(
                f"The machine {config.name} shall have {key} {wanted}, "
                f"and with the kernel {kernel_release} it gets {got}.",
                f"Choose another kernel: or another {key}: for it in lab.yaml.",
            )


_PROGRAMS = "awk bridge find ip iptables-save nsenter ping ps redis-cli ss unshare"
"""What lessons and checks start most."""

_WARM_UP = f"""
labkit run -d -p 127.0.0.1:7:7 --name warm-up redis redis-server && labkit exec warm-up true; labkit rm -f warm-up
for program in {_PROGRAMS}; do $program --version </dev/null; done
true
"""
"""It leaves nothing behind but what the kernel remembers. That it fails is no reason not to start."""


def warm_up(connection: fabric.Connection) -> None:
    """The machine has just been deployed to."""
    with log.step("Warming the machine up"):
        execute(connection, f"{{ {_WARM_UP.strip()}; }} >/dev/null 2>&1")
