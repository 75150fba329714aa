"""contextlib: two of its managers; the original imports ``collections`` and ``functools``."""

from __future__ import annotations

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from contextlib import *
else:

    class suppress:
        """Go on behind the block when one of these is raised in it."""

        def __init__(self, *exceptions):
            self._exceptions = exceptions

        def __enter__(self):
            """Nothing to give."""

        def __exit__(self, exctype, excinst, exctb):
            """Whether it was one of these."""
            return exctype is not None and issubclass(exctype, self._exceptions)

    class _Manager:
        """A generator as a context manager: it runs to its only ``yield``, and goes on at the end of the block."""

        def __init__(self, generator):
            self.generator = generator

        def __enter__(self):
            return next(self.generator)

        def __exit__(self, kind, error, trace):
            if kind is None:
                for _ in self.generator:
                    raise RuntimeError("generator didn't stop")
                return False
            try:
                self.generator.throw(error)
            except StopIteration as end:
                # It came to its end: the error is dealt with. (Unless it is the error, which was raised by the block.)
                return end is not error
            except RuntimeError as wrapped:
                # Python makes a RuntimeError of a StopIteration that leaves a generator (PEP 479).
                if wrapped is error or (isinstance(error, StopIteration) and wrapped.__cause__ is error):
                    return False
                raise
            except BaseException as raised:
                if raised is error:
                    return False  # the caller raises it, with its own traceback
                raise
            raise RuntimeError("generator didn't stop after throw()")

    def contextmanager(func):
        """A function whose generator is the manager. What it returns cannot be used as a decorator."""

        def made(*args, **kwds):
            return _Manager(func(*args, **kwds))

        made.__doc__, made.__name__, made.__wrapped__ = func.__doc__, func.__name__, func
        return made

    __getattr__ = original("contextlib")
