"""typing: all that annotations name. They are never evaluated, so that any object will do."""

from __future__ import annotations

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import *
else:
    Any = NoReturn = BinaryIO = IO = object()

    class Protocol:
        """What a class of such methods and attributes has; nothing at run time."""

    def TypeVar(name, *constraints, bound=None, covariant=False, contravariant=False):
        """A name for a type that varies; nothing at run time."""
        return object()

    def cast(typ, val):
        """The value, as it is."""
        return val

    __getattr__ = original("typing")
