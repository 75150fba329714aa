"""``python3 -m labkit.runtime.cli``: the command line where it is not installed as ``labkit``."""

import sys

from labkit.runtime.cli.main import main

sys.exit(main())
