"""One small process for each container: its parent, the keeper of its output and its exit status (as containerd-shim).

It is forked from the command that starts the container, early, before that command loads what it needs for networks,
and waits for ``go``. From then on it reports what happens (events, ``created``, ``started``, ``exited``) over a
socket. Until ``started`` the command must be there to answer; afterwards nobody has to read.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
import traceback

from labkit import log
from labkit.cgroups import group
from labkit.cgroups.detect import detect
from labkit.engine import record
from labkit.engine.lease import Lease
from labkit.engine.output import Copier, LogWriter
from labkit.engine.record import Container, State
from labkit.errors import InfrastructureError, LabkitError
from labkit.kernel import process
from labkit.oci import launch, plan, spec
from labkit.value import TYPE_CHECKING, Value

if TYPE_CHECKING:
    from typing import Any, NoReturn, TextIO


class Pipes(Value):
    """Pipes between the command and the container: (our end, the command's end) each, or (-1, -1) for none."""

    stdin: tuple[int, int] = (-1, -1)
    stdout: tuple[int, int] = (-1, -1)
    stderr: tuple[int, int] = (-1, -1)

    @classmethod
    def make(cls, stdin: bool, output: bool) -> Pipes:
        """Those that are wanted."""
        none = (-1, -1)
        # os.pipe() gives (reading end, writing end): of standard input the container reads, of the others the command.
        backwards = [os.pipe()[::-1] for _ in range(2 if output else 0)] or [none, none]
        return cls(os.pipe() if stdin else none, backwards[0], backwards[1])

    def close(self, side: int) -> None:
        """Close the container's ends (0) or the command's (1)."""
        for ends in (self.stdin, self.stdout, self.stderr):
            if ends[side] >= 0:
                os.close(ends[side])


class Wire:
    """The starting command's end of the socket to the shim."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.lines = channel.makefile("r", encoding="utf-8")

    def go(self, container: Container) -> None:
        """The host's part is done: make the process. ``container`` now has its address."""
        self._send(json.dumps({"container": container.as_dict()}))

    def start(self) -> None:
        """The answer to ``created``: let the program run. A shim whose command died before this takes all back."""
        self._send("start")

    def _send(self, line: str) -> None:
        try:
            self.channel.sendall(f"{line}\n".encode())
        except OSError:
            raise InfrastructureError(
                "the container's shim died while it started", f"see {record.RUN}/shim-errors.log, and dmesg"
            ) from None

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


def fork(lease: Lease, pipes: Pipes) -> Wire:
    """Fork the shim. It keeps ``lease`` and the container's ends of ``pipes``, and nothing else of ours."""
    ours, theirs = socket.socketpair()
    between = os.fork()
    if between:
        theirs.close()
        pipes.close(0)
        os.waitpid(between, 0)
        return Wire(ours)
    # A second fork makes it a child of init (or the nearest subreaper), a session of its own keeps Ctrl-C away from it.
    os.setsid()
    if os.fork():
        os._exit(0)
    ours.close()
    pipes.close(1)
    return _main(theirs, lease, pipes)


def _main(channel: socket.socket, lease: Lease, pipes: Pipes) -> NoReturn:
    try:
        _become_nobodys(keep=[channel.fileno(), lease.descriptor, pipes.stdin[0], pipes.stdout[0], pipes.stderr[0]])
        lines = channel.makefile("r", encoding="utf-8")
        request = _read_line(lines)
        if request:
            container = record.from_record(json.loads(request)["container"])
            keeper = _Keeper(channel, lines, container, pipes)
            code = keeper.run()
            lease.release()
            keeper.deliver_rest()
            _report(channel, "exited", code=code)
    except BaseException:
        with contextlib.suppress(OSError), open(f"{record.RUN}/shim-errors.log", "a", encoding="utf-8") as file:
            file.write(traceback.format_exc())
    finally:
        os._exit(0)


def _become_nobodys(keep: list[int]) -> None:
    """Let go of what we have from the command: its descriptors, directory and listeners, and its terminal's signals.

    A shim that kept them would hold a pipe open for which somebody waits, or a file system that is to be unmounted.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    log.listen_no_more()
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))


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

    def __init__(self, channel: socket.socket, lines: TextIO, container: Container, pipes: Pipes) -> None:
        self.channel = channel
        self.lines = lines
        self.container = container
        self.hierarchies = detect()
        self.stdin = pipes.stdin[0] if pipes.stdin[0] >= 0 else os.open(os.devnull, os.O_RDONLY)
        self.sinks = (pipes.stdout[0], pipes.stderr[0])
        self.copier: Copier | None = None
        log.listen(self._forward)

    def _forward(self, event: dict[str, Any]) -> None:
        _report(self.channel, **event)

    def run(self) -> int:
        """From the process's clone to the last thing that is taken back; its exit status as a shell counts it."""
        process.set_title(f"labkit-shim {self.container.short_id} {self.container.name}")
        stdout, stdout_writer = os.pipe()
        stderr, stderr_writer = os.pipe()
        try:
            created = self._create((self.stdin, stdout_writer, stderr_writer))
        except LabkitError as error:
            self._take_back(with_creation=True)  # the command may be dead, and a failed start leaves nothing
            fields = {"message": error.message, "hint": error.hint}
            failed = error.exit_status if error.passes_status_on else launch.LABKIT_FAILED
            _report(self.channel, "error", status=failed, **fields)
            return failed
        for descriptor in (stdout_writer, stderr_writer, self.stdin):
            os.close(descriptor)
        _report(self.channel, "started", pid=created.pid)
        self.copier = Copier(LogWriter(self.container.log_path), (stdout, stderr), self.sinks)
        self.copier.run(created.pid)
        _, status = os.waitpid(created.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        code = code if code >= 0 else 128 - code
        self._end(self.container.written_state().changed(status="exited", pid=0, exit_code=code))
        return code

    def deliver_rest(self) -> None:
        """What the command has not read yet. Everything else is done, so that nobody waits for a slow reader."""
        if self.copier:
            self.copier.deliver_rest()

    def _create(self, stdio: tuple[int, int, int]) -> launch.Created:
        """The low-level runtime's part. StartError if the command that wanted the container is no longer there."""
        specification = spec.load(self.container.directory)
        todo = plan.make(specification, self.hierarchies)
        record.run_journal(self.container.id).run(todo.host)
        created = launch.create(specification, todo, self.hierarchies, stdio)
        _report(self.channel, "created")
        if _read_line(self.lines) != "start\n":
            created.abandon()
            raise launch.StartError("the command that starts the container is gone", "", launch.LABKIT_FAILED)
        # Written before the start: whoever sees the program at work finds its pid.
        self.container.save_state(
            State("running", created.pid, created.started, started_at=time.time(), boot=process.boot_id())
        )
        created.start()
        return created

    def _end(self, state: State) -> None:
        """Nothing of the run is left when the state says so: whoever waits for ``exited`` may count on it."""
        self._take_back(with_creation=False)
        with contextlib.suppress(LabkitError):  # a full disk; the state still says running, and gc corrects it
            self.container.save_state(state.changed(finished_at=time.time()))
        if self.container.options.auto_remove:
            self._take_back(with_creation=True)

    def _take_back(self, with_creation: bool) -> None:
        group.kill(self.container.cgroups_path, self.hierarchies)
        with contextlib.suppress(LabkitError):  # what cannot be undone stays in the journal, and gc tries it again
            record.run_journal(self.container.id).undo()
            if with_creation:
                self.container.forget_state()
                record.creation_journal(self.container.id).undo()
