from __future__ import annotations

import pytest

from labkit.runtime.cli import verb_images
from labkit.runtime.images.imagestore import Image


@pytest.mark.parametrize(
    ("created", "shown"),
    [
        ("2024-05-01T12:00:00.123456789Z", "2024-"),
        ("0001-01-01T00:00:00Z", "1-01-01"),
        ("", "N/A"),
        ("long ago", "N/A"),
    ],
)
def test_when_it_was_made(created: str, shown: str) -> None:
    """Archives of anybody say it, and one of them must not hide all other images."""
    fields = verb_images._fields(Image("odd:latest", "0" * 64, [], {}, created, 1), whole=False)
    assert shown in fields["CreatedAt"]
    assert (fields["CreatedSince"] == "N/A") == (shown == "N/A")
