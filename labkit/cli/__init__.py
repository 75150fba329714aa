"""The command line: one module for each verb, one table, one place where errors become words and exit statuses."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """``labkit``. (Imported when it is called: ``labkit-oci`` lies in this package, too, and does without argparse.)"""
    from labkit.cli.main import main as run

    return run(arguments)
