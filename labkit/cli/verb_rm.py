"""Remove containers: their names, writable layers and logs.

Examples:
  labkit rm redis
  labkit rm -f $(labkit ps -aq)     running ones, too
"""

from __future__ import annotations

import argparse

from labkit.engine import lifecycle, record


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("-f", "--force", action="store_true", help="kill those that run")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER", help="name, id or the beginning of an id")


def main(options: argparse.Namespace) -> int:
    """Remove them in turn; all names are looked up first."""
    for word, container in [(word, record.find(word)) for word in options.containers]:
        lifecycle.remove(container, options.force)
        print(word)
    return 0
