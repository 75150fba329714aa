"""What we need of the standard ``signal``, without its import: 1.5 ms, since it makes enumerations of all constants.

Both are the same C module; numbers are plain ones here, and have no names (signals.py has).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import *  # noqa: F403 - a type checker sees the standard one
else:
    from _signal import *  # noqa: F403
