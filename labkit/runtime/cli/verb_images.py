"""Images: the list of them, and where they come from."""

from __future__ import annotations

from labkit.runtime.cli import listing, table
from labkit.runtime.cli.flags import Option, VerbCall, verb
from labkit.runtime.images import imagestore
from labkit.runtime.images.imagestore import Image
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import asdict
from labkit.runtime.text import timestamps

_HEADINGS = listing.headings(
    "ID Repository Tag Digest CreatedSince CreatedAt Size VirtualSize Layers", ID="IMAGE ID", CreatedSince="CREATED"
)


@verb("", Option(("no-trunc",), "whole ids"), *listing.OPTIONS, least=0, most=0)
def images(call: VerbCall) -> int:
    """List images.

    Examples:
      labkit images
      labkit images --json
      labkit images --format '{{.Repository}}:{{.Tag}} {{.Size}}'

    The fields of --format are docker's: ID, Repository, Tag, Digest, CreatedSince, CreatedAt, Size and VirtualSize; and
    Layers.
    """
    return listing.show(
        call.options,
        imagestore.everything(),
        _HEADINGS,
        ("Repository", "Tag", "ID", "Layers", "Size"),
        plain=asdict,
        name=lambda image: image.reference,
        entry=lambda image: _fields(image, call.options.no_trunc),
    )


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


@verb(
    "",
    Option(("input", "i"), "the archive, may be repeated", "FILE", many=True),
    Option(("quiet", "q"), "print nothing"),
    least=0,
    most=0,
)
def load(call: VerbCall) -> int:
    """Load images from archives: tar files with an OCI image layout in them.

    Example:
      labkit load -i redis.tar
    """
    from labkit.runtime.images import archive

    for path in call.options.input:
        for image in archive.load(path):
            if not call.options.quiet:
                print(f"Loaded image: {image.reference}")
    return 0
