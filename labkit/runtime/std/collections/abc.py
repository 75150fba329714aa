"""collections.abc: the very classes, by the name under which Python's start has loaded them already."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import *
else:
    from _collections_abc import *
