"""Show what a container wrote to its standard output and error.

Examples:
  labkit logs redis
  labkit logs -f --tail 10 redis
"""

from __future__ import annotations

import argparse
import sys

from labkit.engine import logs, record
from labkit.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the container has ended")
    parser.add_argument("--tail", type=int, metavar="N", help="the last N lines only")
    parser.add_argument("container", help="name, id or the beginning of an id")


def main(options: argparse.Namespace) -> int:
    """Print them."""
    if options.tail is not None and not 0 <= options.tail <= sys.maxsize:
        raise UsageError(f"--tail {options.tail} is not possible", "a number of lines; 0 with -f shows what is to come")
    logs.show(record.find(options.container), options.follow, options.tail)
    return 0
