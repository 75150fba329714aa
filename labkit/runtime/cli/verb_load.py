"""Load images from archives: tar files with an OCI image layout in them.

Example:
  labkit load -i redis.tar
"""

from __future__ import annotations

from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.images import archive

COMMAND = Command(
    "",
    (
        Option(("input", "i"), "the archive, may be repeated", "FILE", many=True),
        Option(("quiet", "q"), "print nothing"),
    ),
    least=0,
    most=0,
)


def main(call: Call) -> int:
    """Load them; what is there already costs nothing."""
    for path in call.options.input:
        for image in archive.load(path):
            if not call.options.quiet:
                print(f"Loaded image: {image.reference}")
    return 0
