"""``runs_bundle.py BUNDLE [--no-pivot]``: a container from a bundle, by labkit.oci alone.

The exit status is the program's; an error is one sentence on standard error.
"""

from __future__ import annotations

import os
import sys
import tempfile

from labkit.cgroups import group
from labkit.cgroups.detect import here
from labkit.errors import LabkitError
from labkit.oci import launch, plan, spec
from labkit.operations.journal import Journal

bundle = sys.argv[1]
journal = Journal(os.path.join(tempfile.mkdtemp(), "journal"))
try:
    wanted = spec.load(bundle)
    todo = plan.make(wanted, here(), no_pivot="--no-pivot" in sys.argv)
    journal.run(todo.host)
    try:
        created = launch.create(wanted, todo, here(), (0, 1, 2))
        try:
            created.start()
        finally:
            _, status = os.waitpid(created.pid, 0)
    finally:
        if wanted.cgroups_path:
            group.kill(wanted.cgroups_path, here())
        journal.undo()
except LabkitError as error:
    sys.exit(f"labkit: {error.message}")
sys.exit(os.waitstatus_to_exitcode(status))
