"""What makes a container, or says how it would be made, and what changes its limits. Each function is a verb, and its
docstring the verb's help.
"""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.cli import limitflags, runflags
from labkit.runtime.cli.flags import DRY_RUN, EXPLAIN, Option, VerbCall, verb
from labkit.runtime.engine.life import gc
from labkit.runtime.engine.record import record

_USAGE = "IMAGE [PROGRAM [ARGUMENT …]]"

# Imports in functions are local so that a mistyped option is answered sooner, and since only dry runs need scripts.


@verb(
    _USAGE,
    Option(("detach", "d"), "leave it running and print its id"),
    *runflags.OPTIONS,
    DRY_RUN,
    most=-1,
    takes_program=True,
)
def run(call: VerbCall) -> int:
    """Make a container from an image and start it.

    Examples:
      labkit run --rm busybox echo hello
      labkit run -d -p 6379:6379 --name redis redis
      echo 'hello' | labkit run --rm -i busybox tr a-z A-Z
      labkit run --storage-driver aufs busybox ls   on a kernel that has aufs
      labkit run --explain --rm busybox true      every operation as it is done
      labkit run --dry-run -d redis > start.sh    the same as a script, nothing done

    The exit status is the container's own; 125 when labkit failed, 126 when the program cannot be
    executed, 127 when it is not there.
    """
    options = runflags.wanted(call)
    if call.options.dry_run:
        from labkit.runtime.engine import scripts

        print(scripts.run(options, call.options.detach, call.words), end="")
        return 0
    gc.collect_quietly()
    from labkit.runtime.engine.life import start

    return start.run(options, call.options.detach)


@verb(_USAGE, *runflags.OPTIONS, most=-1, takes_program=True)
def create(call: VerbCall) -> int:
    """Make a container from an image, and do not start it yet. Its flags are those of 'labkit run'.

    Examples:
      labkit create --name redis -p 6379:6379 redis && labkit start redis
      labkit create -it --name box busybox sh && labkit start -ai box

    Its id is printed. The exit status is 125 when labkit failed.
    """
    options = runflags.wanted(call)
    gc.collect_quietly()
    from labkit.runtime.engine.life import create

    print(create.create(options).id)
    return 0


@verb(
    _USAGE,
    *runflags.OPTIONS,
    Option(("rootfs",), "a root file system that is there, for use with another runtime", "DIRECTORY", ""),
    most=-1,
    takes_program=True,
)
def spec(call: VerbCall) -> int:
    """Print the specification (config.json) that 'labkit run' would use. Its flags are those of 'labkit run'.

    Examples:
      labkit spec --memory 64m --cap-drop ALL busybox sh
      labkit spec redis | jq .process.capabilities
      labkit spec --network none --rootfs /tmp/box/rootfs busybox sh > /tmp/box/config.json
      runc run --bundle /tmp/box box            any runtime of the OCI makes it

    Nothing is made or reserved: addresses, volumes and files of a name are there once a container runs.
    """
    options = runflags.wanted(call)
    from labkit.runtime.engine import scripts

    print(scripts.specification(options, call.options.rootfs))
    return 0


@verb("CONTAINER …", *limitflags.OPTIONS, EXPLAIN, most=-1)
def update(call: VerbCall) -> int:
    """Change the limits of running containers, at once and without a restart.

    Examples:
      labkit update --cpus 0.25 redis
      labkit update --memory 128m --memory-swap 256m redis
      labkit update --explain --pids-limit -1 redis      shows the line that does it

    If one of a container's limits cannot be set, none of them is changed.
    """
    wanted = limitflags.resources(call.options)
    if not wanted:
        raise UsageError("no limit is given", "one or more of them, as labkit update --cpus 0.5 redis")
    gc.collect_quietly()
    from labkit.runtime.engine.life import update

    for word, container in [(word, record.find(word)) for word in call.arguments]:
        update.update(container, wanted)
        print(word)
    return 0
