"""``python -m labkit.cli.oci`` is ``labkit-oci``."""

from __future__ import annotations

import sys

from labkit.cli.oci.main import main

sys.exit(main())
