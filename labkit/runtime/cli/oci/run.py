"""Create a container, start it, wait for its end, delete it. The exit status is the program's own."""

from __future__ import annotations

import os

from labkit.runtime.cli.flags import Command, Option
from labkit.runtime.cli.oci import making
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import lifecycle
from labkit.runtime.oci.foreground import start_and_wait
from labkit.runtime.oci.launch import Created
from labkit.runtime.oci.state import BundleContainer
from labkit.runtime.std import socket
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.runtime.oci.notify import Listener

COMMAND = Command(
    "CONTAINER",
    (
        *making.OPTIONS,
        Option(("detach", "d"), "return when it runs"),
        Option(("keep",), "do not delete the container after its end"),
        Option(("no-subreaper",), "accepted: labkit-oci is no subreaper"),
    ),
    examples=("run --bundle /srv/redis redis", "run --detach --pid-file redis.pid redis"),
)


def main(call: Invocation) -> int:
    """Run it."""
    options = call.options
    making.check_descriptors(options.preserve_fds)
    options.pid_file = making.absolute(options.pid_file)
    options.console_socket = making.absolute(options.console_socket)
    wanted = making.request(call, waits_at_gate=False)
    making.check_terminal(wanted.specification.process.terminal, options.console_socket, options.detach)
    made: list[BundleContainer] = []
    listeners: list[Listener] = []

    def create(console: socket.socket | None) -> Created:
        container, created = lifecycle.create(replace(wanted, console=console))
        made.append(container)
        try:
            listener = making.listener(container)
        except BaseException:
            created.abandon()
            raise
        listeners.extend([listener] if listener else [])
        return created

    def started(pid: int) -> None:
        making.write_pid_file(options.pid_file, pid)
        lifecycle.run_poststart(made[0], call.report.warning)
        for listener in listeners:
            _listen(listener, made[0], options.detach)

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
