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

from __future__ import annotations

import argparse

from labkit.cli import explain, limitflags
from labkit.cli.terminal import refuse_terminal
from labkit.engine import bundle, gc
from labkit.engine.bundle import Options
from labkit.errors import UsageError
from labkit.network import portmap


def arguments(parser: argparse.ArgumentParser) -> None:
    """The command line."""
    add = parser.add_argument
    add("-d", "--detach", action="store_true", help="leave it running and print its id")
    add(
        "-p",
        "--publish",
        action="append",
        default=[],
        metavar="PORTS",
        help="HOST_PORT:CONTAINER_PORT, may be repeated",
    )
    add("--name", default="", help="its name, for other commands and for people")
    add("--rm", action="store_true", help="remove it when it has ended")
    add(
        "-e",
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an environment variable, may be repeated",
    )
    add("-i", "--interactive", action="store_true", help="pass our standard input on to it")
    add("-t", "--tty", action="store_true", help=argparse.SUPPRESS)
    add("--network", default="bridge", metavar="MODE", help="bridge (the default), host or none")
    limitflags.add(parser)
    add("--storage-driver", default="", metavar="NAME", help="overlay or aufs (by default the first that is here)")
    add("--explain", action="store_true", help="print each operation as it is done")
    add("--dry-run", action="store_true", help="print what would be done as a shell script, and do nothing")
    add("image", help="the image, see 'labkit images'")
    add("command", nargs=argparse.REMAINDER, help="the program and its arguments (the image's own by default)")


def main(options: argparse.Namespace) -> int:
    """Run it."""
    wanted = _checked(options)
    if options.dry_run:
        from labkit.engine import script  # local: only dry runs need it

        print(script.render(wanted, options.typed), end="")
        return 0
    if options.explain:
        explain.listen()
    gc.collect_quietly()
    from labkit.engine.run import run  # local: a mistyped option is answered sooner

    return run(wanted)


def _checked(options: argparse.Namespace) -> Options:
    """Everything is looked at before anything is done."""
    refuse_terminal(options)
    if options.detach and options.interactive:
        raise UsageError(
            "-d and -i exclude one another: a detached container has nobody to read from", "leave one of them out"
        )
    ports = [portmap.parse(text) for text in options.publish]
    portmap.check_distinct(ports)
    if ports and options.network != "bridge":
        raise UsageError(f"-p needs the bridge network, not '{options.network}'", "leave --network out")
    resources = limitflags.resources(options)
    limitflags.check_swap(resources.get("memory", {}))
    if options.name:
        from labkit.engine.record import check_name

        check_name(options.name)
    return Options(
        image=options.image,
        command=options.command,
        name=options.name,
        ports=ports,
        env=bundle.environment_entries(options.env),
        network=bundle.check_network(options.network),
        resources=resources,
        auto_remove=options.rm,
        detach=options.detach,
        interactive=options.interactive,
        storage_driver=bundle.check_storage_driver(options.storage_driver),
    )
