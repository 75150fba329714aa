from __future__ import annotations

import pytest

from labkit.runtime.cli import table

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.9, "Less than a second"),
        (-3, "Less than a second"),
        (1.9, "1 second"),
        (59.9, "59 seconds"),
        (MINUTE, "About a minute"),
        (2 * MINUTE, "2 minutes"),
        (59 * MINUTE, "59 minutes"),
        (HOUR, "About an hour"),
        (1.4 * HOUR, "About an hour"),
        (1.6 * HOUR, "2 hours"),
        (47.4 * HOUR, "47 hours"),
        (2 * DAY, "2 days"),
        (13.9 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (61 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (731 * DAY, "2 years"),
    ],
)
def test_times_in_dockers_words(seconds: float, said: str) -> None:
    """Those of docker's units.HumanDuration."""
    assert table.duration(seconds) == said


def test_sizes_in_dockers_digits() -> None:
    sizes = {
        0: "0B",
        999: "999B",
        1250: "1.25kB",
        999_900: "1MB",
        1_982_256: "1.98MB",
        20_858_880: "20.9MB",
        3e12: "3TB",
    }
    assert {count: table.size(count) for count in sizes} == sizes
    memory = {184 << 10: "184KiB", 64 << 20: "64MiB", 3150000: "3.004MiB", 25275860000: "23.54GiB", 1023: "1023B"}
    assert {count: table.memory(count) for count in memory} == memory
    assert table.shortened("0123456789", 10) == "0123456789"
    assert table.shortened("0123456789a", 10) == "012345678…"
