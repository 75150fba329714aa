"""Run a program in a running container, beside its first process.

Examples:
  labkit exec redis redis-cli ping
  labkit exec -i redis sh < script.sh
  labkit exec -e LANG=C -w /data redis ls

The exit status is the program's own; 125 when labkit failed, 126 when it cannot be executed, 127
when it is not there.
"""

from __future__ import annotations

import argparse
import os

from labkit.cli.terminal import refuse_terminal
from labkit.engine import bundle, lifecycle, record


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("-i", "--interactive", action="store_true", help="pass our standard input on to it")
    parser.add_argument(
        "-e", "--env", action="append", default=[], metavar="NAME=VALUE", help="an environment variable"
    )
    parser.add_argument("-t", "--tty", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("-w", "--workdir", default="", help="its working directory")
    parser.add_argument("container", help="name, id or the beginning of an id")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="the program and its arguments")


def main(options: argparse.Namespace) -> int:
    """Run it."""
    refuse_terminal(options)
    container = record.find(options.container)
    env = bundle.environment_entries(options.env)
    if not options.interactive:
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        os.close(null)
    return lifecycle.execute(container, options.command, env, options.workdir)
