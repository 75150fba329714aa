"""Stop containers: SIGTERM, and SIGKILL to those that have not ended in time.

Examples:
  labkit stop redis
  labkit stop -t 0 $(labkit ps -q)
"""

from __future__ import annotations

import argparse

from labkit.engine import lifecycle, record
from labkit.errors import UsageError


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("-t", "--time", type=float, default=10.0, metavar="SECONDS", help="how long to wait (10)")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER", help="name, id or the beginning of an id")


def main(options: argparse.Namespace) -> int:
    """Stop them in turn; all names are looked up first."""
    if not 0 <= options.time <= 86400:  # not a number is not in between, either
        raise UsageError(f"-t {options.time:g} is not possible", "seconds from 0 (kills at once) to 86400")
    for word, container in [(word, record.find(word)) for word in options.containers]:
        lifecycle.stop(container, options.time)
        print(word)
    return 0
