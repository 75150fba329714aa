"""The list of images."""

from __future__ import annotations

from labkit.runtime.cli import table
from labkit.runtime.cli.flags import Option, VerbCall, verb
from labkit.runtime.images import imagestore
from labkit.runtime.images.imagestore import Image
from labkit.runtime.std import json
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import asdict
from labkit.runtime.text import timestamps

_FIELDS = tuple("ID Repository Tag Digest CreatedSince CreatedAt Size VirtualSize Layers".split())


@verb(
    "",
    Option(("quiet", "q"), "names only"),
    Option(("no-trunc",), "whole ids"),
    Option(("format",), "a template, or json", "TEMPLATE", ""),
    Option(("json",), "a JSON list of objects"),
    least=0,
    most=0,
)
def images(call: VerbCall) -> int:
    """List images.

    Examples:
      labkit images
      labkit images --json
      labkit images --format '{{.Repository}}:{{.Tag}} {{.Size}}'

    The fields of --format are docker's: ID, Repository, Tag, Digest, CreatedSince, CreatedAt, Size and VirtualSize; and
    Layers.
    """
    images = imagestore.everything()
    if call.options.json:
        print(json.dumps([asdict(image) for image in images], indent=1))
    elif call.options.quiet:
        for image in images:
            print(image.reference)
    elif call.options.format:
        from labkit.runtime.cli import template  # local: most calls do without

        entries = [_fields(image, call.options.no_trunc) for image in images]
        print("\n".join(template.listing(call.options.format, entries, _FIELDS, ID="IMAGE ID")))
    else:
        shown = ("Repository", "Tag", "ID", "Layers", "Size")
        entries = [_fields(image, call.options.no_trunc) for image in images]
        rows = [[str(entry[name]) for name in shown] for entry in entries]
        print(table.render(["REPOSITORY", "TAG", "IMAGE ID", "LAYERS", "SIZE"], rows))
    return 0


def _fields(image: Image, whole: bool) -> dict[str, str]:
    """docker's names for them; labkit's images come from archives, without a registry's digest."""
    repository, _, tag = image.reference.rpartition(":")
    made = None
    with suppress(ValueError):  # nobody says, or one that an earlier version took over as it was
        made = timestamps.seconds_of(image.created)
    return {
        "ID": f"sha256:{image.id}" if whole else image.id[:12],
        "Repository": repository,
        "Tag": tag,
        "Digest": "<none>",
        "CreatedSince": "N/A" if made is None else table.ago(made),
        "CreatedAt": "N/A" if made is None else table.moment(made),
        "Size": table.size(image.size),
        "VirtualSize": table.size(image.size),
        "Layers": str(len(image.layers)),
    }
