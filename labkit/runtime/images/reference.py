"""Image names: ``NAME[:TAG]``. Pure."""

from __future__ import annotations

from labkit.errors import UsageError

# As the OCI distribution specification 1.1 has them ("Pulling manifests").
_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_TAG = r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}"


def parse(text: str) -> str:
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
