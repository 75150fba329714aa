"""One small process for each container: its parent, the keeper of its output and its exit status (as containerd-shim).

It is forked from the command that starts the container, early, before that command loads what it needs for networks,
and waits for ``go``. From then on it reports what happens (events, ``created``, ``started``, ``exited``) over a
socket. Until ``started`` the command must be there to answer; afterwards nobody has to read.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
import traceback
from dataclasses import replace
from typing import Any, NoReturn, TextIO

from labkit import log
from labkit.cgroups import group
from labkit.cgroups.detect import detect
from labkit.engine import record
from labkit.engine.lease import Lease
from labkit.engine.logs import LogWriter
from labkit.engine.record import Container, State
from labkit.errors import LabkitError
from labkit.kernel import process
from labkit.oci import launch, plan, spec


class Shim:
    """The starting command's end of the wire."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.lines = channel.makefile("r", encoding="utf-8")

    def go(self, container: Container) -> None:
        """The host's part is done: make the process. ``container`` now has its address."""
        self.channel.sendall((json.dumps({"container": vars(container)}) + "\n").encode())

    def start(self) -> None:
        """The answer to ``created``: let the program run. A shim whose command died before this takes all back."""
        self.channel.sendall(b"start\n")

    def read(self) -> dict[str, Any]:
        """The next event; ``{"event": "end"}`` when the shim is gone."""
        line = _read_line(self.lines)
        return json.loads(line) if line else {"event": "end"}

    def close(self) -> None:
        """Stop listening; the shim goes on."""
        self.lines.close()
        self.channel.close()

    def abort(self) -> None:
        """Tell a shim that has not started the program to take back what it did, and wait until it has."""
        with contextlib.suppress(OSError):
            self.channel.shutdown(socket.SHUT_WR)
        while self.read()["event"] != "end":
            pass
        self.close()


def fork(lease: Lease, stdin: tuple[int, int], foreground: bool) -> Shim:
    """Fork the shim. It keeps ``lease``; ``stdin`` is a pipe to the container (its end, our end), or (-1, -1).

    ``foreground``: the container's output goes to our standard output and error, too, not only to its log.
    """
    ours, theirs = socket.socketpair()
    between = os.fork()
    if between:
        theirs.close()
        if stdin[0] >= 0:
            os.close(stdin[0])
        os.waitpid(between, 0)
        return Shim(ours)
    # A second fork makes it a child of init (or the nearest subreaper), a session of its own keeps Ctrl-C away from it.
    os.setsid()
    if os.fork():
        os._exit(0)
    ours.close()
    if stdin[1] >= 0:
        os.close(stdin[1])  # or the container would never read the end of its input
    return _main(theirs, lease, stdin[0], foreground)


def _main(channel: socket.socket, lease: Lease, stdin: int, foreground: bool) -> NoReturn:
    code = 125
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        lines = channel.makefile("r", encoding="utf-8")
        request = _read_line(lines)
        if request:
            container = Container(**json.loads(request)["container"])
            code = _Keeper(channel, lines, container, stdin, foreground).run()
            lease.release()
            _report(channel, "exited", code=code)
    except BaseException:
        with contextlib.suppress(OSError), open(f"{record.RUN}/shim-errors.log", "a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
    finally:
        os._exit(0)


def _read_line(lines: TextIO) -> str:
    """A line, or nothing at the end; a peer that died before it read all of ours is a reset, which is an end, too."""
    try:
        return lines.readline()
    except ConnectionResetError:
        return ""


def _report(channel: socket.socket, event: str, **fields: Any) -> None:
    with contextlib.suppress(OSError):
        channel.sendall((json.dumps({"event": event, **fields}) + "\n").encode())


class _Keeper:
    """The shim at work."""

    def __init__(
        self, channel: socket.socket, lines: TextIO, container: Container, stdin: int, foreground: bool
    ) -> None:
        self.channel = channel
        self.lines = lines
        self.container = container
        self.hierarchies = detect()
        null = os.open(os.devnull, os.O_RDWR)
        self.stdin = stdin if stdin >= 0 else null
        self.copies = (os.dup(1), os.dup(2)) if foreground else (-1, -1)
        for number in (0, 1, 2):
            os.dup2(null, number)
        log.listen(self._forward)

    def _forward(self, event: dict[str, Any]) -> None:
        name = event.pop("event")
        _report(self.channel, name, **event)

    def run(self) -> int:
        """From the process's clone to the last thing that is taken back; its exit status as a shell counts it."""
        process.set_title(f"labkit-shim {self.container.short_id} {self.container.name}")
        stdout, stdout_writer = os.pipe()
        stderr, stderr_writer = os.pipe()
        try:
            created = self._create((self.stdin, stdout_writer, stderr_writer))
        except LabkitError as error:
            self._take_back(with_creation=True)  # the command may be dead, and a failed start leaves nothing
            _report(self.channel, "error", message=error.message, hint=error.hint, status=error.exit_status)
            return error.exit_status
        for descriptor in (stdout_writer, stderr_writer, self.stdin):
            os.close(descriptor)
        _report(self.channel, "started", pid=created.pid)
        with LogWriter(self.container.log_path, self.copies) as writer:
            _copy_until_end(created.pid, writer, stdout, stderr)
        _, status = os.waitpid(created.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        code = code if code >= 0 else 128 - code
        self._end(replace(self.container.state(), status="exited", pid=0, exit_code=code, finished_at=time.time()))
        return code

    def _create(self, stdio: tuple[int, int, int]) -> launch.Created:
        """The low-level runtime's part. StartError if the command that wanted the container is no longer there."""
        specification = spec.load(self.container.directory)
        todo = plan.make(specification, self.hierarchies)
        record.run_journal(self.container.id).run(todo.host)
        created = launch.create(specification, todo, self.hierarchies, stdio)
        _report(self.channel, "created")
        if _read_line(self.lines) != "start\n":
            raise launch.StartError("the command that starts the container is gone", "", 125)
        # Written before the start: whoever sees the program at work finds its pid.
        self.container.save_state(State("running", created.pid, created.started, started_at=time.time()))
        created.start()
        return created

    def _end(self, state: State) -> None:
        """Nothing of the run is left when the state says so: whoever waits for ``exited`` may count on it."""
        self._take_back(with_creation=False)
        self.container.save_state(state)
        if self.container.auto_remove:
            self._take_back(with_creation=True)

    def _take_back(self, with_creation: bool) -> None:
        group.kill(self.container.cgroups_path, self.hierarchies)
        with contextlib.suppress(LabkitError):  # what cannot be undone stays in the journal, and gc tries it again
            record.run_journal(self.container.id).undo()
            if with_creation:
                record.creation_journal(self.container.id).undo()


def _copy_until_end(pid: int, writer: LogWriter, stdout: int, stderr: int) -> None:
    """Copy the output until the process has ended and what it wrote is read.

    Not until end of file: another process may hold the pipe's other end for ever.
    """
    ended = os.pidfd_open(pid)
    names = {stdout: "stdout", stderr: "stderr"}
    for descriptor in names:
        os.set_blocking(descriptor, False)
    waiting = [*names, ended]
    while waiting:
        ready, _, _ = select.select(waiting, [], [], None if ended in waiting else 0)
        for descriptor in ready:
            if descriptor == ended:
                waiting.remove(ended)
                continue
            data = os.read(descriptor, 65536)
            if data:
                writer.write(names[descriptor], data)
            else:
                waiting.remove(descriptor)
        if not ready and ended not in waiting:
            break
    for descriptor in (*names, ended):
        os.close(descriptor)
