"""Create a container: everything is made, and its first process waits for ``start``."""

from __future__ import annotations

from labkit.runtime.cli.flags import Command
from labkit.runtime.cli.oci import making
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import lifecycle
from labkit.runtime.std.dataclasses import replace

COMMAND = Command("CONTAINER", making.OPTIONS, examples=("create --bundle /srv/redis --pid-file redis.pid redis",))


def main(call: Invocation) -> int:
    """Create it."""
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
