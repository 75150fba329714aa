from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.errors import UsageError
from labkit.runtime.images import imagestore


@pytest.mark.parametrize(
    ("text", "full"),
    [("redis", "redis:latest"), ("redis:7", "redis:7"), ("a/b_c/d--e:v1.0", "a/b_c/d--e:v1.0")],
)
def test_names(text: str, full: str) -> None:
    assert imagestore.full_name(text) == full


@pytest.mark.parametrize(
    "text", ["", "Redis", "redis:", ":x", "a//b", "../x", "a b", "-x", "redis:.x", "a:b:c", "x" + ":" + "t" * 129]
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UsageError, match="is no image name"):
        imagestore.full_name(text)


@given(st.text(max_size=40))
def test_no_name_can_leave_the_images_directory(text: str) -> None:
    try:
        full = imagestore.full_name(text)
    except UsageError:
        return
    assert not full.startswith(("/", "."))
    assert ".." not in full.split(":")[0].split("/")
