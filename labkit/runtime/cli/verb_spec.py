"""Print the specification (config.json) that 'labkit run' would use. Its flags are those of 'labkit run'.

Examples:
  labkit spec --memory 64m --cap-drop ALL busybox sh
  labkit spec redis | jq .process.capabilities
  labkit spec --network none --rootfs /tmp/box/rootfs busybox sh > /tmp/box/config.json
  runc run --bundle /tmp/box box            any runtime of the OCI makes it

Nothing is made or reserved: addresses, volumes and files of a name are there once a container runs.
"""

from __future__ import annotations

from labkit.runtime.cli import runflags
from labkit.runtime.cli.options import Call, Command, Option

COMMAND = Command(
    "IMAGE [PROGRAM [ARGUMENT …]]",
    (
        *runflags.OPTIONS,
        Option(("rootfs",), "a root file system that is there, for use with another runtime", "DIRECTORY", ""),
    ),
    most=-1,
    takes_program=True,
)


def main(call: Call) -> int:
    """Print it."""
    options = runflags.wanted(call)
    from labkit.runtime.engine.script import preview  # local: a mistyped option is answered sooner

    print(preview.specification(options, call.options.rootfs))
    return 0
