"""types: the classes of Python's own objects."""

from __future__ import annotations

import sys

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import *
else:
    ModuleType = type(sys)
    CodeType = type((lambda: None).__code__)
    FrameType = type(sys._getframe())
    try:
        raise ValueError
    except ValueError as error:
        TracebackType = type(error.__traceback__)

    __getattr__ = original("types")
