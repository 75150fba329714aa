"""The short commands. Each function is one, and its docstring the command's help."""

from __future__ import annotations

import os

from labkit.errors import UsageError
from labkit.runtime.cli.flags import Option, verb
from labkit.runtime.cli.oci import answer, making
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.kernel import signals
from labkit.runtime.kernel.blocks import kernel_error
from labkit.runtime.oci import lifecycle, state
from labkit.runtime.oci.state import BundleContainer
from labkit.runtime.std.dataclasses import replace


@verb("CONTAINER", *making.OPTIONS, examples=("create --bundle /srv/redis --pid-file redis.pid redis",))
def create(call: Invocation) -> int:
    """Create a container: everything is made, and its first process waits for ``start``."""
    options = call.options
    making.check_descriptors(options.preserve_fds)
    pid_file, console_socket = making.absolute(options.pid_file), making.absolute(options.console_socket)
    wanted = making.request(call, True)
    making.check_terminal(wanted.specification.process.terminal, console_socket, True)
    if console_socket:
        from labkit.runtime.oci.console import connect  # local: most containers have no terminal

        wanted = replace(wanted, console=connect(console_socket))
    container, created = lifecycle.create(wanted)
    try:
        making.write_pid_file(pid_file, created.pid)
    except BaseException:
        lifecycle.delete(container.root, container.id, True, call.report.warning)
        raise
    return 0


@verb("CONTAINER", examples=("start redis",))
def start(call: Invocation) -> int:
    """Execute the program of a created container."""
    container = state.load(call.root, call.arguments[0])
    # Otherwise it is refused below, and the socket that may be there is that of another command, which listens.
    listener = making.listener(container) if container.status() == "created" else None
    lifecycle.start(container, call.report.warning)
    if listener:
        listener.pass_on(container.pid, container.is_alive, leaving=True)
    return 0


@verb(
    "CONTAINER [SIGNAL]",
    Option(("all", "a"), "to all processes of the container"),
    most=2,
    examples=("kill redis", "kill redis KILL", "kill --all redis 15", "kill redis RTMIN+3", "kill redis 0"),
)
def kill(call: Invocation) -> int:
    """Send a signal (SIGTERM, if none is named) to a container's first process.

    The signal 0 asks whether one could be sent: the exit status is 0 while the container runs.
    """
    container = state.load(call.root, call.arguments[0])
    word = call.arguments[1] if len(call.arguments) > 1 else ""  # an empty one is none, as runc has it
    lifecycle.kill(container, signals.number(word or "SIGTERM", least=0), call.options.all)
    return 0


@verb("CONTAINER", examples=("pause redis",))
def pause(call: Invocation) -> int:
    """Stop all of a container's processes where they are; they notice nothing."""
    lifecycle.pause(state.load(call.root, call.arguments[0]))
    return 0


@verb("CONTAINER", examples=("resume redis",))
def resume(call: Invocation) -> int:
    """Let a paused container go on."""
    lifecycle.resume(state.load(call.root, call.arguments[0]))
    return 0


@verb("CONTAINER", examples=("state redis",))
def state_(call: Invocation) -> int:
    """Print a container's state as JSON."""
    answer.show(answer.described(state.load(call.root, call.arguments[0]), ""), "  ", end="")
    return 0


@verb(
    "",
    Option(("format", "f"), "table (default) or json", "FORMAT", "table"),
    Option(("quiet", "q"), "only the ids"),
    least=0,
    most=0,
    examples=("list", "list --quiet", "list --format json"),
)
def list_(call: Invocation) -> int:
    """List the containers below --root."""
    _check_format(call)
    containers = state.every(call.root)
    if call.options.quiet:
        for container in containers:
            print(container.id)
        return 0
    entries = [answer.described(container, _owner(container)) for container in containers]
    if call.options.format == "json":
        answer.show(entries or None)  # Go's word for a list that nothing was ever put into
        return 0
    columns = ("id", "pid", "status", "bundle", "created", "owner")
    rows = [[name.upper() for name in columns], *([str(entry[name]) for name in columns] for entry in entries)]
    widths = [max(12, *(len(row[column]) + 3 for row in rows)) for column in range(6)]
    for row in rows:
        print("".join(f"{word:<{width}}" for word, width in zip(row, widths)).rstrip())
    return 0


def _check_format(call: Invocation) -> None:
    if call.options.format not in ("table", "json"):
        raise UsageError(f"invalid format option: {call.options.format}", "it is table or json")


def _owner(container: BundleContainer) -> str:
    import pwd  # local: only a list has the column

    try:
        return pwd.getpwuid(os.stat(container.directory).st_uid).pw_name
    except (KeyError, FileNotFoundError):
        return ""


@verb(
    "CONTAINER [OPTION OF PS …]",
    Option(("format", "f"), "table (default) or json, which is a list of pids", "FORMAT", "table"),
    most=-1,
    examples=("ps redis", "ps redis -eo pid,rss,args", "ps --format json redis"),
    takes_program=True,
)
def ps(call: Invocation) -> int:
    """Show a container's processes, as ps(1) of the host shows them."""
    _check_format(call)
    pids = state.load(call.root, call.arguments[0]).pids()
    if call.options.format == "json":
        answer.show(pids or None)  # as in a list of no containers
        return 0
    for line in rows_of(set(pids), listed(call.arguments[1:] or ["-ef"])):
        print(line)
    return 0


def rows_of(pids: set[int], lines: list[str]) -> list[str]:
    """The heading, and the lines of those processes. UsageError where no column is PID."""
    heading = lines[0].split() if lines else []
    if "PID" not in heading:
        raise UsageError("couldn't find PID field in ps output", "ps must show the column pid")
    column = heading.index("PID")
    found = [line for line in lines[1:] if len(line.split()) > column and line.split()[column].isdigit()]
    return [lines[0], *(line for line in found if int(line.split()[column]) in pids)]


def listed(options: list[str]) -> list[str]:
    """What ps(1) says with those options. KernelError where it is not installed, UsageError where it refuses them."""
    import subprocess  # local: nothing else here starts a program

    with kernel_error("ps cannot be executed", "install procps"):
        done = subprocess.run(["ps", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UsageError(f"ps: {(done.stderr or done.stdout).strip().splitlines()[0]}", "see ps(1)")
    return done.stdout.splitlines()
