"""Let paused containers go on.

Examples:
  labkit unpause redis
  labkit unpause $(labkit ps -q)
"""

from __future__ import annotations

import argparse

from labkit.cli import explain
from labkit.engine import lifecycle, record


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("--explain", action="store_true", help="print what is done")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER", help="name, id or the beginning of an id")


def main(options: argparse.Namespace) -> int:
    """Let them go on in turn; all names are looked up first."""
    if options.explain:
        explain.listen()
    for word, container in [(word, record.find(word)) for word in options.containers]:
        lifecycle.unpause(container)
        print(word)
    return 0
