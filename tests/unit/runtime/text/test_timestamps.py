from __future__ import annotations

import pytest

from labkit.runtime.text import timestamps


def test_written_and_read_again() -> None:
    assert timestamps.of_nanoseconds(1714564800_250000009) == "2024-05-01T12:00:00.250000009Z"
    assert timestamps.seconds_of("2024-05-01T12:00:00.250000009Z") == 1714564800.25


@pytest.mark.parametrize("text", ["", "yesterday", "10m", "2024-13-01", "\0", "\udcff"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"format|month|range|string"):
        timestamps.seconds_of(text)
