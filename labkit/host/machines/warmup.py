"""What is done in a machine before its snapshot is taken, so that no lesson pays for the first time of anything.

The first `labkit run` after a boot takes twice as long as the second: the kernel loads modules (veth, bridge,
nf_tables, overlay), the filter of system calls is compiled and kept, and programs and libraries come from the disk. The
snapshot has the memory of the machine, and with it all of that.
"""

from __future__ import annotations

from collections.abc import Callable

from labkit import log

PROGRAMS = "awk bridge find ip iptables-save nsenter ping ps redis-cli ss unshare"
"""What lessons and checks start most."""

COMMAND = f"""
labkit run -d -p 127.0.0.1:7:7 --name warm-up redis redis-server && labkit exec warm-up true; labkit rm -f warm-up
for program in {PROGRAMS}; do $program --version </dev/null; done
true
"""
"""It leaves nothing behind but what the kernel remembers. That it fails is no reason not to start."""


def warm_up(execute: Callable[[str], object]) -> None:
    """``execute`` runs a command in the machine, which has just been deployed to."""
    with log.step("Warming the machine up"):
        execute(f"{{ {COMMAND.strip()}; }} >/dev/null 2>&1")
