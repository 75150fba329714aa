"""Four small things of the standard library, without what comes with them.

``contextlib``, ``functools`` and ``collections.abc`` import ``collections``, ``operator`` and ``reprlib``, and
``importlib`` imports ``warnings``: 3 ms, nearly a tenth of what ``labkit-oci run`` takes as a whole. A type checker
sees the originals, and to whoever reads the code they are the same.
"""

from __future__ import annotations

import sys

__all__ = ("TYPE_CHECKING", "contextmanager", "module", "once", "suppress")

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import contextmanager, suppress
    from types import ModuleType
    from typing import Any, TypeVar

    T = TypeVar("T")
else:

    class suppress:  # noqa: N801 - as in contextlib
        """contextlib.suppress: go on behind the block when one of these is raised in it."""

        def __init__(self, *kinds: type[BaseException]) -> None:
            self.kinds = kinds

        def __enter__(self) -> None:
            pass

        def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
            return kind is not None and issubclass(kind, self.kinds)

    class _Manager:
        """A generator as a context manager: it runs to its only ``yield``, and goes on at the end of the block."""

        def __init__(self, generator: Any) -> None:
            self.generator = generator

        def __enter__(self) -> Any:
            return next(self.generator)

        def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
            if kind is None:
                for _ in self.generator:
                    raise RuntimeError("the generator of a context manager has a second yield")
                return False
            try:
                self.generator.throw(error)
            except StopIteration as end:
                # It came to its end: the error is dealt with. (Unless it is the error, which was raised by the block.)
                return end is not error
            except RuntimeError as wrapped:
                # Python makes a RuntimeError of a StopIteration that leaves a generator (PEP 479).
                if wrapped is error or wrapped.__cause__ is error:
                    return False
                raise
            except BaseException as raised:
                if raised is error:
                    return False  # the caller raises it, with its own traceback
                raise
            raise RuntimeError("the generator of a context manager goes on after an error")

    def contextmanager(function: Callable[..., Any]) -> Callable[..., _Manager]:
        """contextlib.contextmanager; what it returns cannot be used as a decorator."""

        def made(*args: Any, **named: Any) -> _Manager:
            return _Manager(function(*args, **named))

        made.__doc__, made.__name__, made.__wrapped__ = function.__doc__, function.__name__, function
        return made


def once(function: Callable[[], T]) -> Callable[[], T]:
    """A function that is called the first time only, and gives the same ever after (as functools.cache)."""
    found: list[T] = []

    def given() -> T:
        if not found:
            found.append(function())
        return found[0]

    given.__doc__, given.__name__ = function.__doc__, function.__name__
    return given


def module(name: str) -> ModuleType:
    """importlib.import_module, for a whole name."""
    __import__(name)
    return sys.modules[name]
