#!/usr/bin/env python3
"""Deploys labkit in this very machine, for somebody who has no Python on the computer where ``vagrant up`` was typed.

Usage: ``PYTHONPATH=CODE[:PYROUTE2] python3 deploy_here.py``, as root; vagrant/deploy.sh does that. It makes what
``invoke deploy`` makes, by the same receiver, so that one can follow the other. pyroute2 is in place already, or comes
from PYTHONPATH.

Python 3.9 and newer, standard library only, as everything that runs in the machine.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from labkit.host.payload import installation, payload

IMAGES = Path("/usr/share/labkit/images")


def main() -> None:
    """Receive from ourselves what is missing or different, then load the base images."""
    sent = installation.install()
    archives = sorted(str(path) for path in IMAGES.glob("*.tar"))
    load = [f"{payload.PREFIX}/bin/labkit", "load", "-q"]
    for archive in archives:
        load += ["-i", archive]
    subprocess.run(load, check=True, stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"]})
    print(f"labkit: deployed ({sent} files), base images loaded. Try: sudo labkit run --rm busybox echo it works")


if __name__ == "__main__":
    main()
