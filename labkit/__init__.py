"""labkit: see how containers work, on a real Linux kernel, and prove it.

The package holds two worlds that never import one another: ``labkit.host`` runs on your computer and starts a
machine; ``labkit.runtime`` runs as root inside that machine and makes containers. Both share ``errors`` and ``log``.
"""

__version__ = "0.1.0"
