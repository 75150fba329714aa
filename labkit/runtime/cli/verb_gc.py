"""Take back what killed commands and containers left behind: mounts, links, rules, cgroups, namespaces, processes.

Nothing is done to containers that are in good order. run, ps, stop and rm do the same by themselves.

Example:
  labkit gc
"""

from __future__ import annotations

from labkit.runtime.cli.flags import Command, Option, VerbCall
from labkit.runtime.engine.life import gc

COMMAND = Command(
    "",
    (Option(("quiet", "q"), "print nothing"),),
    least=0,
    most=0,
)


def main(call: VerbCall) -> int:
    """Clean up and say after whom."""
    cleaned = gc.collect()
    if not call.options.quiet:
        for container_id in cleaned:
            print(f"cleaned up after {container_id[:12]}")
        if not cleaned:
            print("nothing to clean up")
    return 0
