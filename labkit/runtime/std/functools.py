"""functools: ``cache`` is C code; the original brings ``collections`` and ``reprlib`` as well."""

from __future__ import annotations

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from functools import *
else:
    from _functools import _lru_cache_wrapper

    def cache(user_function, /):
        """Call it once for each set of arguments, and give the same ever after."""
        cached = _lru_cache_wrapper(user_function, None, False, _information)
        cached.__doc__, cached.__name__ = user_function.__doc__, user_function.__name__
        cached.__wrapped__ = user_function
        return cached

    def _information(*numbers):
        import functools  # local: asked by nobody but a curious person

        return functools._CacheInfo(*numbers)

    __getattr__ = original("functools")
