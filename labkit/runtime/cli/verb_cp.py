"""Copies between a container and out here."""

from __future__ import annotations

import os
import sys

from labkit.errors import UsageError
from labkit.runtime.cli import table
from labkit.runtime.cli.flags import EXPLAIN, Option, VerbCall, verb
from labkit.runtime.engine.files import copying
from labkit.runtime.engine.record import record


@verb(
    "CONTAINER:PATH PATH|-  or  PATH|- CONTAINER:PATH",
    Option(("archive", "a"), "keep users and groups of what is copied out"),
    Option(("follow-link", "L"), "follow a link at the end of the source"),
    Option(("quiet", "q"), "do not say how much it was"),
    EXPLAIN,
    least=2,
    most=2,
)
def cp(call: VerbCall) -> int:
    """Copy files out of a container or into one, whether it runs or not.

    Examples:
      labkit cp redis:/etc/hosts .
      labkit cp ./site web:/var/www            a directory that is there takes it in
      labkit cp ./site/. web:/var/www          what is in it, without it
      labkit cp -L web:/etc/localtime now      what the link leads to
      labkit cp web:/var/log - | tar -t        a tar to standard output
      tar -c site | labkit cp - web:/var/www   a tar from standard input
      labkit cp --explain ./x web:/x

    Paths mean what they mean to docker: a link at the end of the target is written through, also where it leads to a
    file that is not there yet, and none inside the container can lead out of it. What is copied in keeps the numbers of
    its users and groups, what is copied out is yours; with -a it keeps them, too. Of a container that does not run, its
    volumes are seen, and a tmpfs is not. Nothing is copied to a read-only root file system.
    """
    options = call.options
    source, target = call.arguments
    from_name, from_path = _split(source)
    to_name, to_path = _split(target)
    if bool(from_name) == bool(to_name):
        raise UsageError("one of the two must be in a container, and one not", "as labkit cp web:/etc/hosts .")
    container = record.find(from_name or to_name)
    if from_name:
        if to_path == "-" and sys.stdout.isatty():
            raise UsageError("a tar archive is not for a terminal", "write it to a file or into a pipe")
        stream = sys.stdout.fileno() if to_path == "-" else None
        count = copying.out_of(container, from_path, to_path, stream, options.follow_link, options.archive)
    else:
        stream = sys.stdin.fileno() if from_path == "-" else None
        count = copying.into(container, from_path, to_path, stream, options.follow_link)
    if not options.quiet:
        print(f"copied {table.size(count)} to {target}", file=sys.stderr)
    return 0


def _split(word: str) -> tuple[str, str]:
    """``NAME:PATH``; no name for a path of ours, which begins with / or . where it holds a colon."""
    name, colon, path = word.partition(":")
    if not colon or word.startswith((".", "/")) or "/" in name:
        return "", word
    if not path:
        raise UsageError(f"'{word}' names no path in the container", f"as {name}:/etc")
    return name, os.path.join("/", path)
