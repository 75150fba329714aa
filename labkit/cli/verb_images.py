"""List images.

Examples:
  labkit images
  labkit images --json
"""

from __future__ import annotations

import json

from labkit.cli import table
from labkit.cli.options import Call, Command, Option
from labkit.images import store

COMMAND = Command(
    "",
    (
        Option(("quiet", "q"), "names only"),
        Option(("json",), "a JSON list of objects"),
    ),
    least=0,
    most=0,
)


def main(call: Call) -> int:
    """Print them."""
    images = store.everything()
    if call.options.json:
        print(json.dumps([image.as_dict() for image in images], indent=1))
    elif call.options.quiet:
        for image in images:
            print(image.reference)
    else:
        rows = [
            [*image.reference.split(":"), image.id[:12], str(len(image.layers)), table.size(image.size)]
            for image in images
        ]
        print(table.render(["REPOSITORY", "TAG", "IMAGE ID", "LAYERS", "SIZE"], rows))
    return 0
