"""Looks whether a machine that was booted is what lab.yaml asked for: its cgroup version and its iptables back end.

Both are chosen by words on the kernel's command line, which nobody refuses: where the kernel or systemd cannot give
what was chosen, the machine boots with something else (systemd from 258 on has no cgroup v1; Linux from 6.17 on can be
built without the tables of iptables-legacy, CONFIG_NETFILTER_XTABLES_LEGACY).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.errors import ConfigError
from labkit.host.lab.config import MachineConfig

if TYPE_CHECKING:
    import fabric

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
    from labkit.host.wire.ssh import execute  # paramiko comes with it, which a machine that runs already does not need

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
