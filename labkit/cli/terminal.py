"""What everybody types and labkit does not have yet: a terminal in the container."""

from __future__ import annotations

import argparse

from labkit.errors import UsageError


def refuse_terminal(options: argparse.Namespace) -> None:
    """UsageError for ``-t``, alone or as docker's ``-it``."""
    if options.tty:
        raise UsageError("labkit gives no terminal to a container (-t)", "use -i alone: it gets what you type")
