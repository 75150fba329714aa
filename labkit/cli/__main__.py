"""``python3 -m labkit.cli``: the command line where it is not installed as ``labkit``."""

import sys

from labkit.cli.main import main

sys.exit(main())
