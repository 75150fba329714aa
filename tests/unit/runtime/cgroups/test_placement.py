from __future__ import annotations

import pytest

from labkit.errors import ConfigError
from labkit.runtime.cgroups import placement


@pytest.mark.parametrize(
    ("wanted", "place"),
    [
        ("", "/box"),
        ("/libpod_parent/libpod-1", "/libpod_parent/libpod-1"),
        ("a/b", "/a/b"),
        ("/../../x", "/x"),
        ("../x/./y", "/x/y"),
        ("//a//b/", "/a/b"),
        ("/a:b:c", "/a:b:c"),
    ],
)
def test_every_path_counts_from_the_top_and_none_leads_out(wanted: str, place: str) -> None:
    assert placement.path(wanted, "box") == place


def test_systemds_form_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'system\.slice:libpod:abc', which is systemd's form"):
        placement.path("system.slice:libpod:abc", "box")
