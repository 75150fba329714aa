"""What ``create`` and ``run`` have in common: their options, and the request that these become."""

from __future__ import annotations

import os

from labkit.errors import ConflictError, KernelError, UsageError
from labkit.runtime.cli.flags import Option
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import spec
from labkit.runtime.oci.lifecycle import Creation
from labkit.runtime.oci.state import BundleContainer
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
