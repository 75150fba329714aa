"""Every step between must be one that the kernel takes; its rules are in the test, in one line each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.runtime.cgroups.grouptree import ChangeSetting, in_order


def change(name: str, before: int, after: int) -> ChangeSetting:
    return ChangeSetting("/g", name, str(after), before=str(before))


def steps(changes: list[ChangeSetting]) -> list[dict[str, int]]:
    """What the files say after each write."""
    state = {each.name: int(each.before) for each in changes}
    found = []
    for each in in_order(changes):
        state[each.name] = int(each.value)
        found.append(dict(state))
    return found


SIZES = st.integers(1, 1000)


@given(memory=st.tuples(SIZES, SIZES), swap=st.tuples(SIZES, SIZES))
def test_memory_and_swap(memory: tuple[int, int], swap: tuple[int, int]) -> None:
    one, both = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
    changes = [change(name, first, second) for name, (first, second) in
               ((one, memory), (both, (memory[0] + swap[0], memory[1] + swap[1])))]  # fmt: skip
    assert all(state[one] <= state[both] for state in steps(changes))


@given(quota=st.tuples(SIZES, SIZES), period=st.tuples(SIZES, SIZES))
def test_no_step_gives_more_of_the_processors_than_it_must(quota: tuple[int, int], period: tuple[int, int]) -> None:
    names = ("cpu.cfs_period_us", "cpu.cfs_quota_us")
    between = steps([change(names[0], *period), change(names[1], *quota)])[0]
    shares = (quota[0] / period[1], quota[1] / period[0])
    assert between[names[1]] / between[names[0]] == pytest.approx(min(shares))


@pytest.mark.parametrize(("before", "after"), [((10, 5), (4, 2)), ((4, 2), (10, 5)), ((10, 5), (12, 5))])
def test_a_burst_is_never_more_than_its_quota(before: tuple[int, int], after: tuple[int, int]) -> None:
    names = ("cpu.cfs_quota_us", "cpu.cfs_burst_us")
    changes = [change(name, first, second) for name, first, second in zip(names, before, after, strict=True)]
    assert all(state[names[1]] <= state[names[0]] for state in steps(changes))
