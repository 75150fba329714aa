"""``create`` and ``run``: their options, and the request that these become; with what ``exec`` checks as they do. Each
command is a function, and its docstring the command's help.
"""

from __future__ import annotations

import os

from labkit.errors import ConflictError, KernelError, UsageError
from labkit.runtime.cli.flags import Option, verb
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import lifecycle, spec
from labkit.runtime.oci.launch import Created
from labkit.runtime.oci.lifecycle import Creation
from labkit.runtime.oci.state import BundleContainer
from labkit.runtime.std import socket
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.runtime.oci.notify import Listener

OPTIONS = (
    Option(("bundle", "b"), "directory with config.json (default: this one)", "DIRECTORY", ""),
    Option(("console-socket",), "listening socket that takes the terminal's master", "SOCKET", ""),
    Option(("pid-file",), "write the pid of the container's first process there", "FILE", ""),
    Option(("no-pivot",), "chroot instead of pivot_root, for a root file system on a ramdisk"),
    Option(("no-new-keyring",), "no session keyring of the container's own"),
    Option(("preserve-fds",), "pass N more descriptors, from 3 on", "N", 0),
)


def request(call: Invocation, waits_at_gate: bool) -> Creation:
    """The request of a command line. UsageError where it cannot be meant. Goes into the bundle's directory."""
    options = call.options
    bundle = os.path.abspath(options.bundle or ".")
    try:
        os.chdir(bundle)
    except OSError as error:
        hint = "a bundle is a directory with a config.json and a root file system"
        raise UsageError(f"chdir {bundle}: {(error.strerror or '').lower()}", hint) from None
    return Creation(
        root=call.root,
        id=call.arguments[0],
        bundle=bundle,
        specification=spec.load(bundle),
        preserve_fds=options.preserve_fds,
        new_keyring=not options.no_new_keyring,
        no_pivot=options.no_pivot,
        explained=call.report.debugging,
        waits_at_gate=waits_at_gate,
    )


def listener(container: BundleContainer) -> Listener | None:
    """What is to hear that the container is ready, for the manager that has started us; None where there is none."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return None
    from labkit.runtime.oci import notify  # local: few are started by somebody who wants to hear of it

    return notify.wanted(container.directory)


def absolute(path: str) -> str:
    """A path as it is meant here, before we go into the bundle's directory; an empty one stays empty."""
    return os.path.abspath(path) if path else ""


def check_descriptors(count: int) -> None:
    """UsageError where a descriptor that is to be passed on is not open. Before we open any of our own."""
    for number in range(3, 3 + count):
        try:
            os.fstat(number)
        except OSError:
            which = f"{number - 3} (of {count})"  # runc counts so
            raise UsageError(
                f"unable to stat preserved-fd {which}: no descriptor {number} is open", "see --preserve-fds"
            ) from None


def write_pid_file(path: str, pid: int) -> None:
    """Whole or not at all: somebody may wait for it. KernelError where it cannot be written."""
    if not path:
        return
    path = os.path.abspath(path)
    beside = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}")
    try:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(str(pid))
        os.replace(beside, path)
    except OSError as error:
        message = f"open {beside}: {(error.strerror or '').lower()}"  # runc's words
        raise KernelError(message, f"the pid file {path} cannot be written", error.errno or 0) from None


def check_terminal(terminal: bool, console_socket: str, detached: bool) -> None:
    """A terminal needs somebody who takes its other end, and nobody else does. ConflictError in runc's words."""
    if terminal and detached and not console_socket:
        raise ConflictError(
            "cannot allocate tty if runc will detach without setting console socket", "see --console-socket"
        )
    if console_socket and not (terminal and detached):
        raise ConflictError(
            "cannot use console socket if runc will not detach or allocate tty", "process.terminal must be true"
        )


@verb("CONTAINER", *OPTIONS, examples=("create --bundle /srv/redis --pid-file redis.pid redis",))
def create(call: Invocation) -> int:
    """Create a container: everything is made, and its first process waits for ``start``."""
    options = call.options
    check_descriptors(options.preserve_fds)
    pid_file, console_socket = absolute(options.pid_file), absolute(options.console_socket)
    wanted = request(call, True)
    check_terminal(wanted.specification.process.terminal, console_socket, True)
    if console_socket:
        from labkit.runtime.oci.console import connect  # local: most containers have no terminal

        wanted = replace(wanted, console=connect(console_socket))
    container, created = lifecycle.create(wanted)
    try:
        write_pid_file(pid_file, created.pid)
    except BaseException:
        lifecycle.delete(container.root, container.id, True, call.report.warning)
        raise
    return 0


@verb(
    "CONTAINER",
    *OPTIONS,
    Option(("detach", "d"), "return when it runs"),
    Option(("keep",), "do not delete the container after its end"),
    Option(("no-subreaper",), "accepted: labkit-oci is no subreaper"),
    examples=("run --bundle /srv/redis redis", "run --detach --pid-file redis.pid redis"),
)
def run(call: Invocation) -> int:
    """Create a container, start it, wait for its end, delete it. The exit status is the program's own."""
    options = call.options
    check_descriptors(options.preserve_fds)
    options.pid_file = absolute(options.pid_file)
    options.console_socket = absolute(options.console_socket)
    wanted = request(call, waits_at_gate=False)
    check_terminal(wanted.specification.process.terminal, options.console_socket, options.detach)
    made: list[BundleContainer] = []
    listeners: list[Listener] = []

    def create(console: socket.socket | None) -> Created:
        container, created = lifecycle.create(replace(wanted, console=console))
        made.append(container)
        try:
            heard_by = listener(container)
        except BaseException:
            created.abandon()
            raise
        listeners.extend([heard_by] if heard_by else [])
        return created

    def started(pid: int) -> None:
        write_pid_file(options.pid_file, pid)
        lifecycle.run_poststart(made[0], call.report.warning)
        for heard_by in listeners:
            _listen(heard_by, made[0], options.detach)

    from labkit.runtime.oci.foreground import start_and_wait  # local: ``create`` does not wait

    stays = options.detach or options.keep
    try:
        terminal = wanted.specification.process.terminal
        return start_and_wait(create, terminal, options.detach, options.console_socket, started)
    except BaseException:
        stays = False
        raise
    finally:
        if made and not stays:
            lifecycle.delete(call.root, made[0].id, True, call.report.warning)


def _listen(listener: Listener, container: BundleContainer, detached: bool) -> None:
    """Detached, until it is ready; in the foreground it is us whom the manager watches, and who pass its signals on."""
    if detached:
        listener.pass_on(container.pid, container.is_alive, leaving=True)
        return
    from threading import Thread  # local: as notify.py

    Thread(target=listener.pass_on, args=(os.getpid(), container.is_alive, False), daemon=True).start()
