"""shlex: words for a shell; the original imports ``re`` and ``collections``."""

from __future__ import annotations

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from shlex import *
else:
    #: What needs no quotes.
    _SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-")

    def quote(s):
        """One word, safe from the shell."""
        if s and _SAFE.issuperset(s):
            return s
        return "'" + s.replace("'", "'\"'\"'") + "'"

    def join(split_command):
        """A command line."""
        return " ".join(quote(word) for word in split_command)

    __getattr__ = original("shlex")
