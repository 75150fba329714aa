from __future__ import annotations

import pytest

from labkit.errors import UsageError
from labkit.runtime.text import timestamps


def test_written_and_read_again() -> None:
    assert timestamps.of_nanoseconds(1714564800_250000009) == "2024-05-01T12:00:00.250000009Z"
    assert timestamps.seconds_of("2024-05-01T12:00:00.250000009Z") == 1714564800.25


@pytest.mark.parametrize("text", ["", "yesterday", "10m", "2024-13-01", "\0", "\udcff"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"format|month|range|string"):
        timestamps.seconds_of(text)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1714564800", 1714564800),
        ("1714564800.5", 1714564800.5),
        ("2024-05-01T12:00:00Z", 1714564800),
        ("2024-05-01T14:00:00.250000000+02:00", 1714564800.25),
        ("2024-05-01T12:00:00.123456789Z", 1714564800.123456),
        ("10m", 1000.0 - 600),
        ("1h30m", 1000.0 - 5400),
        ("1.5s", 998.5),
        ("200ms", 999.8),
    ],
)
def test_what_docker_takes(text: str, moment: float) -> None:
    assert timestamps.parse(text, 1000.0) == pytest.approx(moment)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "10x", "1h30", "nan", "inf", "2024-13-01", "m", "9999999h9z", f"{'9' * 400}h"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UsageError):
        timestamps.parse(text, 1000.0)


def test_written_as_docker_writes_it_and_read_again() -> None:
    assert timestamps.rfc3339(1714564800.25) == "2024-05-01T12:00:00.250000000Z"
    assert timestamps.parse(timestamps.rfc3339(1714564800.25), 0) == 1714564800.25


@pytest.mark.parametrize(("text", "found"), [("5s", 5), ("500ms", 0.5), ("1m30s", 90), ("1.5s", 1.5), ("2µs", 2e-6)])
def test_durations_are_gos(text: str, found: float) -> None:
    assert timestamps.duration(text) == pytest.approx(found)


@pytest.mark.parametrize("text", ["", "5", "s", "-1s", "5 s", "1x", "1.2.3s"])
def test_what_is_no_duration(text: str) -> None:
    assert timestamps.duration(text) is None
