"""Environment variables as ``-e`` and ``--env-file`` give them. A module of its own, since ``exec`` needs no more."""

from __future__ import annotations

import os

from labkit.errors import UsageError


def entries(entries: list[str]) -> list[str]:
    """``-e`` as docker reads it: NAME=VALUE, or NAME alone for our own value of it. Where we have none it stays NAME:
    the variable is taken away that the image, or the container, has of this name.
    """
    found = []
    for entry in entries:
        name, given, _ = entry.partition("=")
        if not name or "\0" in entry:
            raise UsageError(f"-e '{entry}' names no variable", "write NAME=VALUE")
        found.append(f"{name}={os.environ[name]}" if not given and name in os.environ else entry)
    return found


def set_variable(variables: dict[str, str], entry: str) -> None:
    """What an entry of ``entries`` asks for."""
    name, given, value = entry.partition("=")
    if given:
        variables[name] = value
    else:
        variables.pop(name, None)
