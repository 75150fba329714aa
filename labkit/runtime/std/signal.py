"""signal: the C module itself; the original makes enumerations of all its constants. Numbers are plain ones here."""

from __future__ import annotations

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import *
else:
    from _signal import *

    __getattr__ = original("signal")
