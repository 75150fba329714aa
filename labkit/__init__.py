"""labkit: see how containers work, on a real Linux kernel, and prove it.

The package holds two worlds that never import one another: ``labkit.host`` runs on the participant's
computer and starts a machine; everything else runs as root inside that machine and makes containers.
"""

__version__ = "0.1.0"
