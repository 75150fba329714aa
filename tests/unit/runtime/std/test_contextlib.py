"""The two managers do what the originals do."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from labkit.runtime.std import contextlib as ours


@pytest.fixture(params=[ours, contextlib], ids=["ours", "the original"])
def tools(request: pytest.FixtureRequest) -> Any:
    return request.param


class OddError(Exception):
    pass


def test_suppress(tools: Any) -> None:
    with tools.suppress(KeyError, OSError):
        raise FileNotFoundError
    with tools.suppress():
        reached = True
    assert reached
    with pytest.raises(ValueError, match="x"), tools.suppress(KeyError):
        raise ValueError("x")


def manager(tools: Any, handler: Callable[[], None] = lambda: None) -> Any:
    """A context manager whose generator notes what it did, and calls ``handler`` for an OddError."""
    seen: list[str] = []

    @tools.contextmanager
    def made(word: str, *, last: str = "end") -> Iterator[list[str]]:
        """A word."""
        seen.append(word)
        try:
            yield seen
        except OddError:
            handler()
            seen.append("odd")
        finally:
            seen.append(last)

    return made


def test_a_generator_runs_to_its_yield_and_on(tools: Any) -> None:
    made = manager(tools)
    assert (made.__name__, made.__doc__) == ("made", "A word.")
    with made("a", last="z") as seen:
        assert seen == ["a"]
    assert seen == ["a", "z"]


def test_an_error_can_be_dealt_with_in_it(tools: Any) -> None:
    with manager(tools)("a") as seen:
        raise OddError
    assert seen == ["a", "odd", "end"]


@pytest.mark.parametrize("error", [ValueError("x"), StopIteration("x"), KeyboardInterrupt("x"), RuntimeError("x")])
def test_an_error_passes_through_as_it_was(tools: Any, error: BaseException) -> None:
    made = manager(tools)("a")
    with pytest.raises(type(error)) as caught, made:
        raise error
    assert caught.value is error


@pytest.mark.parametrize("another", [LookupError, RuntimeError])
def test_another_error_may_come_of_it(tools: Any, another: type[Exception]) -> None:
    def fail() -> None:
        raise another("another") from sys.exc_info()[1]

    with pytest.raises(another, match="another") as caught, manager(tools, fail)("a"):
        raise OddError
    assert isinstance(caught.value.__cause__, OddError)


def test_a_block_may_be_left_early(tools: Any) -> None:
    seen: list[list[str]] = []

    def leaves() -> str:
        with manager(tools)("a") as one:
            seen.append(one)
            return "left"

    assert leaves() == "left"
    assert seen == [["a", "end"]]


def test_a_generator_yields_once(tools: Any) -> None:
    @tools.contextmanager
    def twice(catches: bool) -> Iterator[None]:
        try:
            yield
        except OddError:
            assert catches
        yield

    with pytest.raises(RuntimeError), twice(catches=False):
        pass
    with pytest.raises(RuntimeError), twice(catches=True):
        raise OddError
