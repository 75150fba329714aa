"""Load images from archives: tar files with an OCI image layout in them.

Example:
  labkit load -i redis.tar
"""

from __future__ import annotations

import argparse

from labkit.images import archive


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    parser.add_argument(
        "-i", "--input", action="append", required=True, metavar="FILE", help="the archive, may be repeated"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")


def main(options: argparse.Namespace) -> int:
    """Load them; what is there already costs nothing."""
    for path in options.input:
        for image in archive.load(path):
            if not options.quiet:
                print(f"Loaded image: {image.reference}")
    return 0
