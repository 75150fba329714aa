from __future__ import annotations

import pytest

from labkit.errors import UsageError
from labkit.runtime.engine.record.options import RestartPolicy


@pytest.mark.parametrize(
    ("text", "code", "by_hand", "wanted"),
    [
        ("", 1, False, False),
        ("no", 1, False, False),
        ("always", 0, False, True),
        ("always", 0, True, False),
        ("unless-stopped", 137, False, True),
        ("unless-stopped", 137, True, False),
        ("on-failure", 0, False, False),
        ("on-failure", 3, False, True),
        ("on-failure:2", 3, True, False),
    ],
)
def test_who_is_started_again(text: str, code: int, by_hand: bool, wanted: bool) -> None:
    assert (RestartPolicy(text).after(code, 0.1, by_hand) is not None) == wanted


def test_the_delay_doubles_and_a_steady_life_begins_anew() -> None:
    policy = RestartPolicy("always")
    assert [policy.after(1, 0.1, False) for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    assert policy.after(1, 11, False) == 0.1
    for _ in range(40):
        policy.after(1, 0.1, False)
    assert policy.after(1, 0.1, False) == 60


def test_times_are_counted() -> None:
    policy = RestartPolicy("on-failure:2")
    assert [policy.after(1, 0.1, False) is None for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("text", ["sometimes", "always:3", "on-failure:", "on-failure:x", "on-failure:-1"])
def test_no_policies(text: str) -> None:
    with pytest.raises(UsageError):
        RestartPolicy(text)
