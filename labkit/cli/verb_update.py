"""Change the limits of running containers, at once and without a restart.

Examples:
  labkit update --cpus 0.25 redis
  labkit update --memory 128m --memory-swap 256m redis
  labkit update --explain --pids-limit -1 redis      shows the line that does it

If one of a container's limits cannot be set, none of them is changed.
"""

from __future__ import annotations

import argparse

from labkit.cli import explain, limitflags
from labkit.engine import gc, record, update
from labkit.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    limitflags.add(parser)
    parser.add_argument("--explain", action="store_true", help="print what is written where")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER", help="name, id or the beginning of an id")


def main(options: argparse.Namespace) -> int:
    """Change them in turn; all names are looked up first."""
    wanted = limitflags.resources(options)
    if not wanted:
        raise UsageError("no limit is given", "one or more of them, as labkit update --cpus 0.5 redis")
    if options.explain:
        explain.listen()
    gc.collect_quietly()
    for word, container in [(word, record.find(word)) for word in options.containers]:
        update.update(container, wanted)
        print(word)
    return 0
