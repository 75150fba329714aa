"""Stop all processes of containers where they are; they notice nothing. 'labkit unpause' lets them go on.

Examples:
  labkit pause redis
  labkit pause --explain redis      shows the line that does it

A paused container answers nobody and uses no processor, and its memory stays. 'labkit stop' works on it,
'labkit exec' does not.
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
    """Pause in turn; all names are looked up first."""
    if options.explain:
        explain.listen()
    for word, container in [(word, record.find(word)) for word in options.containers]:
        lifecycle.pause(container)
        print(word)
    return 0
