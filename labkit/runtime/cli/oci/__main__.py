"""``python -m labkit.runtime.cli.oci`` is ``labkit-oci``."""

from __future__ import annotations

import sys

from labkit.runtime.cli.oci.main import main

sys.exit(main())
