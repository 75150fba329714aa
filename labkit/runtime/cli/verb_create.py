"""Make a container from an image, and do not start it yet. Its flags are those of 'labkit run'.

Examples:
  labkit create --name redis -p 6379:6379 redis && labkit start redis
  labkit create -it --name box busybox sh && labkit start -ai box

Its id is printed. The exit status is 125 when labkit failed.
"""

from __future__ import annotations

from labkit.runtime.cli import explain, runflags
from labkit.runtime.cli.options import Call, Command
from labkit.runtime.engine.life import gc

COMMAND = Command("IMAGE [PROGRAM [ARGUMENT …]]", runflags.OPTIONS, most=-1, takes_program=True)


def main(call: Call) -> int:
    """Make it."""
    options = runflags.wanted(call)
    if call.options.explain:
        explain.listen()
    gc.collect_quietly()
    from labkit.runtime.engine.life.create import create  # local: a mistyped option is answered sooner

    print(create(options).id)
    return 0
