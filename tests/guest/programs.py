"""The programs under test, as they are shipped: their launchers, not the modules behind them.

``invoke test`` installs them and names the place in LABKIT_PROGRAMS; a machine has them deployed; a pytest that was
started by hand installs them for itself.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

import labkit

DEPLOYED = Path("/opt/labkit")


def _directory() -> Path:
    if os.environ.get("LABKIT_PROGRAMS"):
        return Path(os.environ["LABKIT_PROGRAMS"])
    if Path(labkit.__file__).is_relative_to(DEPLOYED):
        return DEPLOYED / "bin"
    from labkit.host.payload import installation  # not there in a machine

    prefix = Path(tempfile.mkdtemp(prefix="labkit-programs-"))
    atexit.register(shutil.rmtree, prefix)
    prefix.chmod(0o755)
    installation.install(str(prefix / "labkit"))
    return prefix / "labkit/bin"


PROGRAMS = _directory()
LABKIT = [str(PROGRAMS / "labkit")]
LABKIT_OCI = [str(PROGRAMS / "labkit-oci")]
