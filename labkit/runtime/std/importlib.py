"""importlib: ``import_module`` without ``warnings``, which the package imports."""

from __future__ import annotations

import sys

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib import *
else:

    def import_module(name, package=None):
        """The module of that name."""
        if name.startswith("."):
            from importlib import import_module  # local: nothing here asks for a relative one

            return import_module(name, package)
        __import__(name)
        return sys.modules[name]

    __getattr__ = original("importlib")
