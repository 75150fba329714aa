from __future__ import annotations

from typing import Any

import pytest

from labkit.errors import UsageError
from labkit.runtime.cli import limitflags
from labkit.runtime.cli.flags import parse


def given(*words: str) -> dict[str, Any]:
    return limitflags.resources(parse(limitflags.OPTIONS, list(words), stop_at_first=False)[0])


def test_dockers_flags_in_the_specifications_words() -> None:
    flags = "--cpus 0.5 --cpu-shares 512 --cpuset-cpus 0-1,3 -m 64m --memory-swap 128m --pids-limit 9"
    assert given(*flags.split()) == {
        "cpu": {"quota": 50000, "period": 100000, "shares": 512, "cpus": "0-1,3"},
        "memory": {"limit": 64 << 20, "swap": 128 << 20},
        "pids": {"limit": 9},
    }


def test_no_limit() -> None:
    assert given("--cpus", "0", "--memory-swap", "-1", "--pids-limit", "-1") == {
        "cpu": {"quota": -1, "period": 100000},
        "memory": {"swap": -1},
        "pids": {"limit": -1},
    }
    assert given() == {}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--cpus nan", "--cpus nan is not possible"),
        ("--cpus -1", "--cpus -1 is not possible"),
        ("--cpus 0.001", "--cpus 0.001 is not possible"),
        ("--cpu-shares 0", "--cpu-shares 0 is not possible"),
        ("--cpuset-cpus ,1", "',1' is no list of processors"),
        ("--cpuset-cpus 1-2-3", "'1-2-3' is no list of processors"),
        ("--memory 1k", "is not enough to start a program"),
        ("--pids-limit 0", "--pids-limit 0 is not possible"),
        ("--pids-limit -2", "--pids-limit -2 is not possible"),
    ],
)
def test_what_cannot_be_meant(words: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        given(*words.split())


def test_swap_is_limited_together_with_memory() -> None:
    limitflags.check_swap({"limit": 5, "swap": 5})
    limitflags.check_swap({"swap": -1})
    for wrong in ({"swap": 5}, {"limit": 6, "swap": 5}):
        with pytest.raises(UsageError, match="--memory-swap"):
            limitflags.check_swap(wrong)


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("64m", 64 << 20), ("2G", 2 << 30), ("3kb", 3072)])
def test_sizes(text: str, size: int) -> None:
    assert limitflags.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1", "1.5g", "1t", "0x10"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="is no size"):
        limitflags.parse_size(text)
