"""The low-level runtimes that the engine can have its containers made by: each takes the bundle, and no more.

labkit's own does it in this process; runc(8) and crun(1) are called, as containerd-shim calls them.
"""

from __future__ import annotations

import os

from labkit import log
from labkit.errors import KernelError, MissingToolError, UsageError
from labkit.runtime.cgroups import group
from labkit.runtime.cgroups.grouptree import MakeGroup
from labkit.runtime.engine.record.record import OWN_RUNTIME, RUN
from labkit.runtime.kernel import process
from labkit.runtime.oci import launch, plan, spec
from labkit.runtime.oci.channel import Start
from labkit.runtime.oci.errors import LABKIT_FAILED, StartError
from labkit.runtime.operations import Operation
from labkit.runtime.std import json, socket
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.contextlib import contextmanager, suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.typing import TYPE_CHECKING
from labkit.runtime.text import textfile

if TYPE_CHECKING:
    from labkit.runtime.cgroups.detect import Hierarchies
    from labkit.runtime.engine.record.record import Container
    from labkit.runtime.operations import Journal
    from labkit.runtime.std.typing import Union  # local: it would bring the real module

    Process = Union[launch.Created, "Foreign"]
    """A first process that has done everything but execute its program."""


OWN = OWN_RUNTIME
OTHERS = ("runc", "crun")


def check(name: str) -> None:
    """UsageError where it is none of the others, MissingToolError where it is not installed."""
    if name not in OTHERS:
        raise UsageError(f"there is no runtime '{name}'", f"one of {OWN}, {', '.join(OTHERS)}")
    path_of(name)


def path_of(program: str) -> str:
    """Where a program is. MissingToolError where it is not installed."""
    for directory in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = os.path.join(directory, program)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise MissingToolError(f"{program} is not installed", f"install the package {program}, or leave --runtime out")


def create(
    container: Container,
    journal: Journal,
    hierarchies: Hierarchies,
    stdio: tuple[int, int, int],
    console: socket.socket | None,
) -> Process:
    """Make the first process of the container's bundle; ``journal`` takes what is to be undone after its end.

    ``console`` is connected and takes the terminal's master. StartError where the program cannot be executed.
    """
    if container.runtime != OWN:
        for place in group.directories(container.cgroups_path, hierarchies):
            # It makes them itself, and leaves the one that all containers share.
            journal.write(MakeGroup(place, (os.path.dirname(place),)))
        return Foreign.create(container, journal, stdio, console)
    specification = spec.load(container.directory)
    todo = plan.make(specification, hierarchies)
    journal.run(todo.host)
    return launch.create(Start(specification, todo, hierarchies, stdio, log.is_heard(), console))


@dataclass(frozen=True)
class CreateByRuntime(Operation):
    """A container of another runtime: ``program create``; it reads the bundle and waits for ``start``."""

    program: str
    container: str
    bundle: str
    directory: str
    """Where it leaves the pid and its log."""
    console: str = ""
    """The path of a socket that takes the terminal's master."""

    def words(self, *command: str) -> list[str]:
        """A command of the program, with what goes before it."""
        log = ["--log", f"{self.directory}/runtime.log", "--log-format", "json"]
        return [path_of(self.program), "--root", f"{RUN}/{self.program}", *log, *command]

    def create(self) -> list[str]:
        """Its command line."""
        terminal = ["--console-socket", self.console] if self.console else []
        pid_file = ["--pid-file", f"{self.directory}/pid"]
        return self.words("create", "--bundle", self.bundle, *pid_file, *terminal, self.container)

    def describe(self) -> str:
        """As it is called."""
        return " ".join(self.create())

    def describe_undo(self) -> str:
        """As it is called."""
        return " ".join(self.words("delete", "--force", self.container))

    def do(self) -> None:
        """Call it, with our own standard input, output and error. StartError with its own words where it fails."""
        if _call(self.create()):
            message = self._said() or f"{self.program} create failed and does not say why"
            missing = "no such file" in message or "not found" in message
            status = 127 if missing else 126 if "permission denied" in message else LABKIT_FAILED
            raise StartError(f"{self.program}: {message}", "", status)

    def _said(self) -> str:
        message = ""
        with suppress(OSError, ValueError), open(f"{self.directory}/runtime.log", encoding="utf-8") as file:
            for line in file:
                message = json.loads(line).get("msg", message)
        return message.lower()

    def undo(self) -> None:
        """``delete --force`` ends it, too, and says nothing where there is none. KernelError where it fails."""
        if os.path.isdir(f"{RUN}/{self.program}/{self.container}") and _call(
            self.words("delete", "--force", self.container)
        ):
            raise KernelError(f"{self.program} cannot delete the container {self.container[:12]}", self._said())


def _call(words: list[str]) -> int:
    """Run a program with our standard descriptors; its status."""
    pid = os.fork()
    if pid == 0:
        try:
            process.die_with_parent()  # were we killed now, it would go on and make what nobody knows of any more
            os.execve(words[0], words, os.environ)  # noqa: S606 - no shell is meant
        finally:
            os._exit(127)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@dataclass(frozen=True)
class Foreign:
    """A process that another runtime has made; it is our child, since we are its subreaper (prctl(2))."""

    operation: CreateByRuntime
    pid: int
    started: int

    @classmethod
    def create(
        cls, container: Container, journal: Journal, stdio: tuple[int, int, int], console: socket.socket | None
    ) -> Foreign:
        """Of the container's bundle. StartError where that fails."""
        process.become_subreaper()
        operation = CreateByRuntime(
            container.runtime,
            container.id,
            container.directory,
            container.run_directory,
            f"{container.run_directory}/console" if console else "",
        )
        textfile.remove(f"{operation.directory}/runtime.log")
        journal.write(operation)
        with _standing_in(stdio), _handing_over(operation.console, console):
            operation.do()
        with open(f"{operation.directory}/pid", encoding="utf-8") as file:
            pid = int(file.read())
        return cls(operation, pid, process.start_time(pid))

    def start(self) -> None:
        """``program start``. StartError where it fails."""
        if _call(self.operation.words("start", self.operation.container)):
            raise StartError(f"{self.operation.program} start failed", "", LABKIT_FAILED)

    def abandon(self) -> None:
        """End it."""
        self.operation.undo()


@contextmanager
def _standing_in(stdio: tuple[int, int, int]) -> Iterator[None]:
    """What we call has those as its standard descriptors; the shim's own lead nowhere."""
    for number, descriptor in enumerate(stdio):
        os.dup2(descriptor, number)
    try:
        yield
    finally:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.close(null)


@contextmanager
def _handing_over(path: str, console: socket.socket | None) -> Iterator[None]:
    """A listening socket for the terminal's master, which goes on to whoever waits at ``console``."""
    if not console:
        yield
        return
    textfile.remove(path)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(1)
            yield
            connection, _address = listener.accept()
            with connection:
                data, descriptors, _flags, _ = socket.recv_fds(connection, 4096, 1)
            socket.send_fds(console, [data or b"/dev/ptmx"], descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
    finally:
        textfile.remove(path)
