"""What joins a running container, beside its first process."""

from __future__ import annotations

import os

from labkit.errors import ConflictError, LabkitError, UsageError
from labkit.runtime.cgroups.detect import here
from labkit.runtime.cli.flags import Option, verb
from labkit.runtime.cli.oci import making
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.kernel.blocks import kernel_error
from labkit.runtime.oci import exec as oci_exec
from labkit.runtime.oci import spec, state
from labkit.runtime.oci.exec import Beside
from labkit.runtime.oci.foreground import start_and_wait
from labkit.runtime.oci.launch import Created
from labkit.runtime.oci.spec import Process
from labkit.runtime.oci.spec import process as process_section
from labkit.runtime.oci.state import BundleContainer
from labkit.runtime.std import socket
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.text.document import Reader

#: runc's status for "the program was never reached".
_FAILED = 255


@verb(
    "CONTAINER [PROGRAM [ARGUMENT …]]",
    Option(("process", "p"), "take everything from this file, a process object as in config.json", "FILE", ""),
    Option(("tty", "t"), "give it a terminal"),
    Option(("cwd",), "its working directory", "DIRECTORY", ""),
    Option(("env", "e"), "an environment variable", "NAME=VALUE", many=True),
    Option(("user", "u"), "its user", "UID[:GID]", ""),
    Option(("additional-gids", "g"), "another group", "GID", 0, many=True),
    Option(("cap", "c"), "a capability beside the container's", "CAP", many=True),
    Option(("no-new-privs",), "it can gain no privileges"),
    Option(("detach", "d"), "return when it runs"),
    Option(("pid-file",), "write its pid there", "FILE", ""),
    Option(("console-socket",), "listening socket that takes the terminal's master", "SOCKET", ""),
    Option(("preserve-fds",), "pass N more descriptors, from 3 on", "N", 0),
    Option(("ignore-paused",), "also in a paused container: it runs when that is resumed"),
    Option(("process-label",), "refused: labkit knows no SELinux", "LABEL", ""),
    Option(("apparmor",), "refused: labkit knows no AppArmor", "PROFILE", ""),
    Option(("cgroup",), "run it in this group below the container's own", "[CONTROLLER:]PATH", many=True),
    most=-1,
    examples=("exec redis redis-cli ping", "exec --tty redis sh", "exec --detach --process process.json redis"),
    takes_program=True,
)
def exec_(call: Invocation) -> int:
    """Run a program in a running container, beside its first process. The exit status is the program's own.

    It is 255 where the program cannot be executed.
    """
    try:
        making.check_descriptors(call.options.preserve_fds)
        return _exec(call)
    except LabkitError as error:
        call.report.error(f"exec failed: {error.message}", error.hint)
        return _FAILED


def _exec(call: Invocation) -> int:
    options = call.options
    container = state.load(call.root, call.arguments[0])
    _check_status(container, options.ignore_paused)
    beside = _beside(call, container)
    making.check_terminal(beside.process.terminal, options.console_socket, options.detach)
    pid_file = making.absolute(options.pid_file)

    def create(console: socket.socket | None) -> Created:
        return oci_exec.create(replace(beside, console=console), here())

    def started(pid: int) -> None:
        making.write_pid_file(pid_file, pid)

    return start_and_wait(create, beside.process.terminal, options.detach, options.console_socket, started)


def _check_status(container: BundleContainer, ignore_paused: bool) -> None:
    status = container.status()
    if status == "stopped":
        raise ConflictError("cannot exec in a stopped container")
    if status == "paused" and not ignore_paused:
        raise ConflictError("cannot exec in a paused container (use --ignore-paused to override)")


def _beside(call: Invocation, container: BundleContainer) -> Beside:
    options = call.options
    for name in ("process_label", "apparmor"):
        if getattr(options, name):
            raise UsageError(f"labkit-oci does not support --{name.replace('_', '-')}")
    if options.cgroup:
        container.own_group()
    container_spec = spec.load(container.directory)
    return Beside(
        process=_read_process(options.process) if options.process else _changed(container_spec.process, call),
        target=container.pid,
        cgroups_path=container.cgroups_path,
        seccomp=container_spec.seccomp,
        personality=container_spec.personality,
        preserve_fds=options.preserve_fds,
        explained=call.report.debugging,
        sub_groups=options.cgroup,
    )


def _read_process(path: str) -> Process:
    with kernel_error(f"{path} cannot be read"), open(path, "rb") as file:
        text = file.read()
    return process_section.read(Reader.parse(text, os.path.basename(path)))


def _changed(base: Process, call: Invocation) -> Process:
    """The container's own process, with what the command line says."""
    options = call.options
    args = call.arguments[1:]
    if not args:
        raise UsageError("process args cannot be empty", "labkit-oci exec CONTAINER PROGRAM [ARGUMENT …]")
    if options.cwd and not options.cwd.startswith("/"):
        raise UsageError("Cwd must be an absolute path", f"as --cwd /{options.cwd}")
    for variable in options.env:
        if variable.startswith("="):
            raise UsageError(f'environment variable name can\'t be empty: "{variable}"', "as --env NAME=VALUE")
        if "=" not in variable:
            raise UsageError(f'invalid environment variable: "{variable}"', "as --env NAME=VALUE")
    uid, gid = _user(options.user, base)
    sets = {
        name: [*members, *(cap for cap in options.cap if name in ("bounding", "effective", "permitted"))]
        for name, members in base.capabilities.items()
    }
    return replace(
        base,
        args=args,
        env=[*base.env, *options.env],
        cwd=options.cwd or base.cwd,
        uid=uid,
        gid=gid,
        additional_gids=[*base.additional_gids, *options.additional_gids],
        capabilities=sets,
        no_new_privileges=base.no_new_privileges or options.no_new_privs,
        terminal=options.tty,
    )


def _user(words: str, base: Process) -> tuple[int, int]:
    if not words:
        return base.uid, base.gid
    uid, colon, gid = words.partition(":")
    if not uid.isdigit() or (colon and not gid.isdigit()):
        raise UsageError(f"'{words}' is no user", "numbers, as --user 1000 or --user 1000:1000")
    return int(uid), int(gid) if colon else base.gid
