"""The shim at work: it makes the container's process, carries its output, and answers for its end.

A container with a restart policy gets a new process when one has ended; the sandbox and the root file system stay.
"""

from __future__ import annotations

import os
import time

from labkit.errors import LabkitError
from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.detect import here
from labkit.runtime.engine.config import runtimes
from labkit.runtime.engine.record import eventlog, record
from labkit.runtime.engine.record.options import RestartPolicy
from labkit.runtime.engine.record.record import Container, State
from labkit.runtime.engine.shim.logfile import Limits, LogWriter
from labkit.runtime.engine.shim.output import OutputCopier
from labkit.runtime.engine.shim.wire import Line
from labkit.runtime.kernel import process
from labkit.runtime.oci.errors import LABKIT_FAILED, StartError
from labkit.runtime.std import signal, socket
from labkit.runtime.std.collections.abc import Sequence
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import replace
from labkit.runtime.std.typing import Any
from labkit.runtime.text import textfile


class Keeper:
    """``command`` is the one that starts the container, ``sinks`` its pipes for the output (-1 for none).

    ``fresh``: a start that fails takes the container's making back, too.
    """

    def __init__(self, command: Line, container: Container, sinks: Sequence[int], fresh: bool) -> None:
        self.command = command
        self.container = container
        self.fresh = fresh
        self.attached_from_start = sinks[0] >= 0
        self.hierarchies = here()
        self.copier = OutputCopier(_log(container))
        self.copier.attach(sinks)
        self.copier.rest = process.let_code_go
        self.attached: list[Line] = []
        self.sources: list[int] = []
        """What the container writes: its terminal's master, or two pipes."""
        self.input = -1
        """Where others write for it: the same master, or the end of a pipe."""

    def tell_all(self, **event: Any) -> None:
        """Tell everybody who is attached."""
        for line in (self.command, *self.attached):
            line.tell(**event)

    def run(self) -> int:
        """From the process's clone to the last thing that is taken back; its exit status as a shell counts it."""
        process.set_title(f"labkit-shim {self.container.short_id} {self.container.name}")
        try:
            self._listen()
            created = self._create()
            self._wait_for_the_word(created)
            self._begin(created, State())
        except LabkitError as error:
            failed = error.exit_status if error.passes_status_on else LABKIT_FAILED
            self._take_back()  # for the command may be dead; what was there before the start stays
            if self.fresh:
                self._remove()
            self.command.tell(event="error", status=failed, message=error.message, hint=error.hint)
            return failed
        self._hand_over(self.command)
        policy = RestartPolicy(self.container.options.restart)
        while True:
            code, seconds = self._attend(created)
            starved = self._is_starved(code)
            eventlog.note("die", self.container, exit_code=code)
            delay = policy.after(code, seconds, record.is_stopped_by_hand(self.container))
            following = None if delay is None else self._again(code, delay)
            if following is None:
                self._end(code, starved)
                return code
            created = following

    def _is_starved(self, code: int) -> bool:
        """Whether the kernel killed something in it for want of memory: its own limit's, or the machine's (SIGKILL)."""
        if code != 128 + signal.SIGKILL and not self.container.options.resources.get("memory"):
            return False
        from labkit.runtime.cgroups import oom  # local: few end like that

        if not oom.killed(self.container.cgroups_path, self.hierarchies):
            return False
        eventlog.note("oom", self.container)
        return True

    def _create(self) -> runtimes.Process:
        """The low-level runtime's part."""
        terminal = self.container.options.tty
        ours, theirs = socket.socketpair() if terminal else (None, None)
        if terminal:  # a local import, since most have none; now, since the new process finds no modules of the host
            from labkit.runtime.oci import console
        stdio, self.sources, self.input = self._descriptors(terminal)
        try:
            journal = record.runtime_journal(self.container.id)
            created = runtimes.create(self.container, journal, self.hierarchies, stdio, theirs)
            if ours:
                self.input = console.receive(ours)
                self.sources = [self.input]
        finally:
            for descriptor in set(stdio):
                os.close(descriptor)
            if theirs:
                theirs.close()
        return created

    def _descriptors(self, terminal: bool) -> tuple[tuple[int, int, int], list[int], int]:
        """What the process gets as 0, 1 and 2, and our ends of it."""
        if terminal:
            null = os.open(os.devnull, os.O_RDWR)
            return (null, null, null), [], -1
        stdin, writer = os.pipe() if self.container.options.interactive else (os.open(os.devnull, os.O_RDONLY), -1)
        stdout, stdout_writer = os.pipe()
        stderr, stderr_writer = os.pipe()
        return (stdin, stdout_writer, stderr_writer), [stdout, stderr], writer

    def _wait_for_the_word(self, created: runtimes.Process) -> None:
        """StartError if the command that wanted the container is no longer there."""
        self.command.tell(event="created")
        if self.command.read().get("word") != "start":
            created.abandon()
            raise StartError("the command that starts the container is gone", "", LABKIT_FAILED)

    def _begin(self, created: runtimes.Process, before: State) -> None:
        # Written before the start: whoever sees the program at work finds its pid.
        state = replace(before, status="running", pid=created.pid, pid_started=created.started, boot=process.boot_id())
        self.container.save_state(replace(state, started_at=time.time()))
        created.start()
        eventlog.note("start", self.container)

    def _hand_over(self, line: Line) -> None:
        """Say that it runs, and give the command what the container reads from.

        A pipe goes to the first command for good: when that closes it, the container reads an end of file. A terminal
        and a detached container's pipe are kept for the next.
        """
        state = self.container.written_state()
        line.tell([self.input] if self.input >= 0 else [], event="started", pid=state.pid)
        once = line is self.command and self.attached_from_start and not self.container.options.tty
        if once and self.input >= 0:
            os.close(self.input)
            self.input = -1

    def _listen(self) -> None:
        """For commands that attach later. The directory is root's."""
        path = self.container.attach_path
        textfile.remove(path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(8)

    def _welcome(self) -> None:
        """Somebody attaches: one line says so, and its pipes come with it."""
        connection, _ = self.listener.accept()
        connection.settimeout(5)  # a command that says nothing must not keep us from our work
        line = Line(connection)
        request = line.read()
        if "attach" not in request:
            line.close()
            return
        self.attached.append(line)
        if request["attach"] == "end":
            line.tell(event="started", pid=self.container.written_state().pid)
        else:
            self.copier.attach(line.descriptors)
            self._hand_over(line)

    def _attend(self, created: runtimes.Process) -> tuple[int, float]:
        """Until the process has ended: its exit status, and how many seconds it ran."""
        began = time.monotonic()
        self.copier.run(created.pid, self.sources, self.listener.fileno(), self._welcome)
        code = os.waitstatus_to_exitcode(os.waitpid(created.pid, 0)[1])
        if self.input >= 0 and self.input not in self.sources:
            os.close(self.input)
        self.input, self.sources = -1, []
        return code if code >= 0 else 128 - code, time.monotonic() - began

    def _again(self, code: int, delay: float) -> runtimes.Process | None:
        """The next process, after ``delay`` seconds; None when it was stopped meanwhile or cannot be made."""
        state = self.container.written_state()
        waiting = replace(
            state,
            status="restarting",
            pid=os.getpid(),
            pid_started=process.start_time(os.getpid()),
            exit_code=code,
            restarts=state.restarts + 1,
        )
        group.kill(self.container.cgroups_path, self.hierarchies)
        try:
            record.runtime_journal(self.container.id).undo()
            self.container.save_state(waiting)
            until = time.monotonic() + delay
            while time.monotonic() < until and not record.is_stopped_by_hand(self.container):
                time.sleep(min(0.05, delay))
            if record.is_stopped_by_hand(self.container):
                return None
            created = self._create()
            self._begin(created, waiting)
        except LabkitError as error:
            self.container.save_state(replace(waiting, error=error.message))
            return None
        return created

    def _end(self, code: int, starved: bool) -> None:
        """Nothing of the run is left when the state says so: whoever waits for ``exited`` may count on it."""
        self._take_back()
        state = replace(self.container.written_state(), status="exited", pid=0, exit_code=code, oom_killed=starved)
        with suppress(LabkitError):  # a full disk; the state still says running, and gc corrects it
            self.container.save_state(replace(state, finished_at=time.time()))
        if self.container.options.auto_remove:
            self._remove()

    def _take_back(self) -> None:
        group.kill(self.container.cgroups_path, self.hierarchies)
        with suppress(LabkitError):  # what cannot be undone stays in its journal, and gc tries it again
            record.undo_run(self.container.id)

    def _remove(self) -> None:
        with suppress(LabkitError):
            record.unmake(self.container)


def _log(container: Container) -> LogWriter | None:
    """Where its output is kept; None where it is not (``--log-driver none``)."""
    if not container.log_path:
        return None
    limits = Limits()
    if container.options.log_options:
        from labkit.runtime.engine.shim import logoptions  # local: most containers have none

        limits = logoptions.limits(container.options.log_options)
    return LogWriter(container.log_path, limits)
