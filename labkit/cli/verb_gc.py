"""Take back what killed commands and containers left behind: mounts, links, rules, cgroups, namespaces, processes.

Nothing is done to containers that are in good order. run, ps, stop and rm do the same by themselves.

Example:
  labkit gc
"""

from __future__ import annotations

import argparse

from labkit.engine import gc


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")


def main(options: argparse.Namespace) -> int:
    """Clean up and say after whom."""
    cleaned = gc.collect()
    if not options.quiet:
        for container_id in cleaned:
            print(f"cleaned up after {container_id[:12]}")
        if not cleaned:
            print("nothing to clean up")
    return 0
