"""List images.

Examples:
  labkit images
  labkit images --json
"""

from __future__ import annotations

import argparse
import json

from labkit.cli import table
from labkit.images import store


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument("-q", "--quiet", action="store_true", help="names only")
    parser.add_argument("--json", action="store_true", help="a JSON list of objects")


def main(options: argparse.Namespace) -> int:
    """Print them."""
    images = store.everything()
    if options.json:
        print(json.dumps([image.as_dict() for image in images], indent=1))
    elif options.quiet:
        for image in images:
            print(image.reference)
    else:
        rows = [
            [*image.reference.split(":"), image.id[:12], str(len(image.layers)), table.size(image.size)]
            for image in images
        ]
        print(table.render(["REPOSITORY", "TAG", "IMAGE ID", "LAYERS", "SIZE"], rows))
    return 0
