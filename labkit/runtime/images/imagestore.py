"""Where images are kept: unpacked layers by their digest, and one JSON file for each image name.

/var/lib/labkit/layers/HEX/fs        a layer; HEX is the SHA-256 of its uncompressed tar (its diff id)
/var/lib/labkit/layers/HEX/aufs      the same in another form (images/layers.py), where it differs
/var/lib/labkit/images/NAME.json     what a name stands for
"""

from __future__ import annotations

import os

from labkit.errors import ConfigError, NotFoundError, UsageError
from labkit.runtime.std import json
from labkit.runtime.std.dataclasses import asdict, dataclass
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile

LAYERS = "/var/lib/labkit/layers"
IMAGES = "/var/lib/labkit/images"

FIRST_FORM = "fs"
"""The form that every layer has; see layers.py."""

# As the OCI distribution specification 1.1 has them ("Pulling manifests").
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"


@dataclass(frozen=True)
class Image:
    """``id`` is the SHA-256 of its configuration, in hex; ``layers`` are diff ids in hex, the lowest first."""

    reference: str
    id: str
    layers: list[str]
    config: dict[str, Any]
    """The ``config`` property of the OCI image configuration: Env, Cmd, Entrypoint, WorkingDir, ExposedPorts …"""
    created: str
    size: int
    """Bytes of the uncompressed layers."""

    def lowers(self, form: str = FIRST_FORM) -> list[str]:
        """The layers' directories in a storage driver's form, topmost first, as a union mount wants them.

        A layer may stand twice in an image (two steps that did the same), and no union takes a directory twice: the
        upper one covers all that the lower one has.
        """
        return [layer_directory(layer, form) for layer in dict.fromkeys(reversed(self.layers))]


def full_name(text: str) -> str:
    """The full form, ``NAME:TAG``; the tag is ``latest`` where none is given. UsageError for what is no image name."""
    name, colon, tag = text.partition(":")
    if not _matches(_NAME, name) or (colon and not _matches(_TAG, tag)):
        raise UsageError(
            f"'{text}' is no image name", "an image name is in lower case, as redis or redis:7; see 'labkit images'"
        )
    return f"{name}:{tag or 'latest'}"


def _matches(pattern: str, word: str) -> bool:
    """Both patterns take a word of small letters and digits; ``re`` takes 3 ms to import."""
    if word.isascii() and word.isalnum() and word == word.lower() and len(word) < 64:
        return True
    import re

    return bool(re.fullmatch(pattern, word))


def layer_directory(layer: str, form: str = FIRST_FORM) -> str:
    """Where a layer lies unpacked in that form, or in the first where it has no form of its own."""
    directory = f"{LAYERS}/{layer}/{form}"
    return directory if os.path.isdir(directory) else f"{LAYERS}/{layer}/{FIRST_FORM}"


def has_layer(layer: str) -> bool:
    """Whether it is there, whole: a layer is unpacked beside and then renamed."""
    return os.path.isdir(layer_directory(layer))


def _file(name: str) -> str:
    # The only two characters of a name (_NAME, _TAG) that a file's name cannot have everywhere.
    return f"{IMAGES}/" + name.replace("/", "%2F").replace(":", "%3A") + ".json"


def save(image: Image) -> None:
    """Let the image's name stand for it; what the name stood for before loses it."""
    path = _file(image.reference)
    os.makedirs(IMAGES, exist_ok=True)
    textfile.replace(path, json.dumps(asdict(image)))


def find(text: str) -> Image:
    """The image of a name. NotFoundError lists the names there are."""
    name = full_name(text)
    try:
        return _read(_file(name))
    except FileNotFoundError:
        names = ", ".join(image.reference for image in everything())
        hint = f"images here: {names}" if names else "there are none at all: the lab's machine has some (invoke ssh)"
        raise NotFoundError(f"there is no image {name} on this machine", hint) from None


def everything() -> list[Image]:
    """All images, by name."""
    return [_read(f"{IMAGES}/{name}") for name in sorted(textfile.names(IMAGES)) if name.endswith(".json")]


def _read(path: str) -> Image:
    try:
        return Image(**json.loads(textfile.read(path)))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", "remove it, and load the image again") from error
