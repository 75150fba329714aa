"""The short commands. Each function is one, and its docstring the command's help."""

from __future__ import annotations

import os

from labkit.errors import LabkitError, NotFoundError, UsageError
from labkit.runtime.cli.flags import Option, verb
from labkit.runtime.cli.oci import making
from labkit.runtime.cli.oci.report import Invocation, show
from labkit.runtime.kernel import signals
from labkit.runtime.kernel.blocks import kernel_error
from labkit.runtime.oci import lifecycle, state
from labkit.runtime.oci.state import BundleContainer
from labkit.runtime.std.typing import Any


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


@verb(
    "CONTAINER",
    Option(("force", "f"), "kill it first, if it runs; no error if there is none"),
    Option(("regex",), "CONTAINER is a regular expression: delete all in whose ids it is found, as crun does"),
    examples=("delete redis", "delete --force redis", "delete --force --regex '^test-'"),
)
def delete(call: Invocation) -> int:
    """Delete a container that has stopped, and all that it holds.

    With --regex the exit status is 1 where one of them could not be deleted; the others are.
    """
    if call.options.regex:
        return _delete_all(call)
    container_id = state.check_id(call.arguments[0])
    if call.options.force and not os.path.isdir(os.path.join(call.root, container_id)):
        return 0
    try:
        lifecycle.delete(call.root, container_id, call.options.force, call.report.warning)
    except NotFoundError:
        if not call.options.force:
            raise
    return 0


def _delete_all(call: Invocation) -> int:
    import re  # local: few ask for it

    try:
        wanted = re.compile(call.arguments[0])
    except re.error as error:
        raise UsageError(f"invalid regular expression: {call.arguments[0]}", str(error)) from None
    # With --force those whose state cannot be read, too.
    ids = state.ids(call.root) if call.options.force else [container.id for container in state.every(call.root)]
    status = 0
    for container_id in ids:
        if wanted.search(container_id):
            try:
                lifecycle.delete(call.root, container_id, call.options.force, call.report.warning)
            except NotFoundError:  # somebody else did
                continue
            except LabkitError as error:
                call.report.warning(error.message)
                status = 1
    return status


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
    show(_described(state.load(call.root, call.arguments[0]), ""), "  ", end="")
    return 0


def _described(container: BundleContainer, owner: str) -> dict[str, Any]:
    """A container as ``state`` and ``list`` show it: more than a hook gets, and the pid first."""
    state = container.oci_state()
    found = {name: state[name] for name in ("ociVersion", "id")}
    found |= {"pid": state.get("pid", 0), "status": state["status"], "bundle": container.bundle}
    found |= {"rootfs": container.rootfs, "created": container.created}
    if container.annotations:
        found["annotations"] = container.annotations
    return {**found, "owner": owner}


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
    entries = [_described(container, _owner(container)) for container in containers]
    if call.options.format == "json":
        show(entries or None)  # Go's word for a list that nothing was ever put into
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
        show(pids or None)  # as in a list of no containers
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


@verb("", least=0, most=0, examples=("features",))
def features(call: Invocation) -> int:
    """Print what labkit-oci can do, whatever the kernel can, as the specification's features document (features.md)."""
    from labkit import __version__
    from labkit.runtime.kernel import capabilities, mountoptions, namespaces
    from labkit.runtime.oci.spec import hooks, seccomp

    document = {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": state.OCI_VERSION,
        "hooks": list(hooks.KINDS),
        "mountOptions": sorted(mountoptions.WORDS),
        "linux": {
            "namespaces": sorted(namespaces.OCI_NAMES),
            "capabilities": [f"CAP_{name}" for name in capabilities.NAMES],
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHITECTURES),
                "knownFlags": list(seccomp.FLAGS),
                "supportedFlags": list(seccomp.FLAGS),
            },
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
        "annotations": {"labkit.version": __version__},
        "potentiallyUnsafeConfigAnnotations": [],
    }
    show(document, "    ")
    return 0
