"""The command line: one module for each verb, one table, one place where errors become words and exit statuses."""

from labkit.cli.main import main

__all__ = ["main"]
