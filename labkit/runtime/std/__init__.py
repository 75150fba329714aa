"""Names of the standard library, without what comes with them: the one room where start-up time is bought.

The rule: a module here has a standard module's name, and what it exports has that module's names and signatures. A type
checker sees the originals. At run time the names cost next to nothing, where the originals would import ``re``,
``enum``, ``collections`` and more (a command of ours lasts some 40 ms, and ``dataclasses`` alone takes 8). Whatever is
asked for beyond what is written here, a name or an argument, is answered by the standard module itself.

So code outside of this room reads as any Python: ``from labkit.runtime.std import json``. Two tests hold it to that:
each signature equals the original's, and a start of ``labkit run`` or ``labkit-oci run`` imports none of them.

``quickstart`` is for the programs: it takes the byte code of labkit's modules from one file, without a search.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def original(name: str) -> Callable[[str], object]:
    """A module's ``__getattr__`` (PEP 562), for what it has not: the standard module ``name`` has it."""

    def fetch(word: str) -> object:
        if word.startswith("__"):  # Python itself asks whether a module is a package, for example
            raise AttributeError(word)
        __import__(name)
        return getattr(sys.modules[name], word)

    return fetch
