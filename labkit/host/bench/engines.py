"""The engines that are measured beside one another, how each is set up in a test host, and the row of a comparison."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from labkit.host.bench.result import Row
from labkit.host.payload import installation

IMAGE = "localhost/lab-busybox"
SLEEPER = "sleeper"

#: Limits that a computer without CAP_SYS_RESOURCE cannot raise; podman asks for its own otherwise.
ULIMITS = ("--ulimit", "nofile=20000:20000", "--ulimit", "nproc=32768:32768")

_DOCKER_PATIENCE = 60.0
"""Seconds until dockerd answers."""


def missing(*programs: str) -> str:
    """Why a comparison cannot be made; empty where all are there."""
    gone = [name for name in programs if not shutil.which(name)]
    return f"not installed: {', '.join(gone)}" if gone else ""


def version(program: str) -> str:
    """The number in what ``program --version`` says first."""
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+[^\s,]*", done.stdout)
    return found[0] if found else "?"


class CommandFailedError(Exception):
    """A measured command did not end with 0: its time means nothing."""


Times = Mapping[str, list[float]]
"""Seconds of each run, in the order in which they were made, by the command's name."""


class Engine:
    """One that runs containers, and how to call it: ``base`` before a verb, ``limits`` after its ``run``."""

    limits: Sequence[str] = ()
    bridge: Sequence[str] = ()
    """The options of its ``run`` for a network with published ports."""
    removal: Sequence[str] = ("rm", "-f")

    def __init__(self, base: Sequence[str], image: str = IMAGE) -> None:
        self.base = list(base)
        self.image = image

    def take(self, archive: Path, name: str = IMAGE) -> None:
        """Make the image of a root file system."""
        self.call("import", str(archive), name)

    def run(self, *options: str, words: Sequence[str] = ("true",)) -> list[str]:
        """``run OPTIONS IMAGE WORDS``, as a command."""
        return [*self.base, "run", *self.limits, *options, self.image, *words]

    def in_background(self, name: str, *options: str, words: Sequence[str]) -> list[str]:
        """Start it, wait for its end and remove it, as one command."""
        run = self.run("-d", "--name", name, *options, words=words)
        steps = [run, [*self.base, "wait", name], [*self.base, "rm", name]]
        return ["sh", "-c", " && ".join(f"{shlex.join(step)} > /dev/null" for step in steps)]

    def call(self, *words: str) -> str:
        """Another command, which must succeed; what it prints."""
        return subprocess.run([*self.base, *words], check=True, capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def sleeping(self, *options: str) -> Iterator[None]:
        """While a container sleeps."""
        command = self.run("-d", "--name", SLEEPER, *options, words=("sleep", "3600"))
        subprocess.run(command, check=True, capture_output=True)
        try:
            yield
        finally:
            self.call(*self.removal, SLEEPER)


class Podman(Engine):
    """podman with crun, in directories of its own."""

    limits = ULIMITS
    bridge = ("--network", "podman")
    removal = ("rm", "-f", "-i", "-t", "0")

    def __init__(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        super().__init__([
            "podman", f"--root={place}/root", f"--runroot={place}/run", f"--tmpdir={place / 'temporary'}",
            "--cgroup-manager=cgroupfs", "--runtime=crun", "--storage-driver=overlay", "--events-backend=none",
        ])  # fmt: skip


class Docker(Engine):
    """docker, with a daemon of its own in the test host; it dies with that."""

    def __init__(self, place: Path) -> None:
        super().__init__(["/usr/bin/docker", "-H", f"unix://{place}/docker.sock"])
        self.place = place

    @contextlib.contextmanager
    def daemon(self) -> Iterator[None]:
        """While it runs."""
        self.place.mkdir(parents=True, exist_ok=True)
        with open(self.place / "dockerd.log", "wb") as log:
            daemon = subprocess.Popen(
                ["dockerd", f"--data-root={self.place}/data", f"--exec-root={self.place}/exec",
                 "-H", f"unix://{self.place}/docker.sock", "-p", f"{self.place}/docker.pid",
                 "--default-ulimit", "nofile=20000:20000"],
                stdout=log, stderr=log,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + _DOCKER_PATIENCE
            while subprocess.run([*self.base, "info"], capture_output=True, check=False).returncode != 0:
                if daemon.poll() is not None or time.monotonic() > deadline:
                    last = (self.place / "dockerd.log").read_text(errors="replace").splitlines()[-1:]
                    raise OSError(f"dockerd does not start: {' '.join(last)[:200]}")
                time.sleep(0.1)
            yield
        finally:
            daemon.terminate()
            daemon.wait()


def unmount_empty_unified_tree() -> None:
    """crun takes a hybrid machine for one of version 2 and finds no controllers there; in a test host it may go."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, kind, *_ = line.split()
        if kind == "cgroup2" and point != "/sys/fs/cgroup":
            subprocess.run(["umount", "--lazy", point], check=False, env={"PATH": os.environ["PATH"]})


class Bench(Engine):
    """labkit below a prefix of its own; it has the images for everybody, and how often each command is run."""

    def __init__(self, place: Path, images: Path, runs: int) -> None:
        super().__init__([f"{place}/labkit/bin/labkit"], "busybox")
        self.place, self.images, self.runs = place, images, runs
        self.oci = f"{place}/labkit/bin/labkit-oci"
        self.rootfs_archive = place / "rootfs.tar"
        self.errors = str(place / "errors")

    def prepare(self) -> None:
        """Install, load, and pack the root file system for the others."""
        installation.install(f"{self.place}/labkit")
        for name in ("busybox", "redis"):
            self.call("load", "-q", "-i", str(self.images / f"{name}.tar"))
        subprocess.run(["tar", "-C", self.layer(), "-cf", str(self.rootfs_archive), "."], check=True)

    def layer(self) -> str:
        """busybox's only layer, a whole root file system."""
        return str(self.inspect("busybox")["layer_directories"][0])

    def inspect(self, name: str) -> dict[str, Any]:
        """What labkit knows of an image or a container."""
        found = json.loads(self.call("inspect", name))
        document: dict[str, Any] = found[0] if isinstance(found, list) else found
        return document

    def in_turns(self, commands: dict[str, Callable[[int], Sequence[str]]], runs: int | None = None) -> Times:
        """Each command ``runs`` times, one after the other, after one run of each that does not count.

        Whatever else this computer does meets all of them alike. A command is made from the number of its run, since
        names of containers must differ. CommandFailedError if one fails; what it said is in the file ``errors``.
        """
        runs = runs or self.runs
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for number in range(runs + 1):
            say(f"{number} of {runs}")
            for name, command in commands.items():
                took = timed(command(number), self.errors)
                if number:
                    seconds[name].append(took)
        return seconds

    def podman(self) -> Podman:
        """podman with the image, made at its first use."""
        podman = Podman(self.place / "podman")
        if IMAGE not in podman.call("images"):
            podman.take(self.rootfs_archive)
        return podman

    @contextlib.contextmanager
    def rival(self, name: str) -> Iterator[Engine]:
        """podman, or docker while its daemon runs, with the image."""
        if name == "podman":
            yield self.podman()
            return
        docker = Docker(self.place / "docker")
        with docker.daemon():
            docker.take(self.rootfs_archive)
            yield docker

    def against(
        self,
        other: str,
        what: str,
        to_reach: float,
        reach_for: float,
        command: Callable[[Engine, int], Sequence[str]],
        runs: int | None = None,
        beside: Callable[[Engine], Sequence[str]] | None = None,
    ) -> Row:
        """The row of a command that every engine has, by the engine and the number of the run.

        ``beside`` has the options of a container that sleeps meanwhile, one of each engine.
        """

        def times() -> Times:
            with contextlib.ExitStack() as stack:
                theirs = stack.enter_context(self.rival(other))
                if beside:
                    stack.enter_context(theirs.sleeping(*beside(theirs)))
                    stack.enter_context(self.sleeping(*beside(self)))
                return self.in_turns({"ours": lambda n: command(self, n), other: lambda n: command(theirs, n)}, runs)

        return compared(what, to_reach, reach_for, other, times)


def compared(what: str, to_reach: float, reach_for: float, other: str, times: Callable[[], Times]) -> Row:
    """The row of a comparison with the program ``other``; where that is missing or fails, why there is no figure."""
    reason = missing(other)
    if not reason:
        try:
            measured = times()
            ours, theirs = statistics.median(measured["ours"]), statistics.median(measured[other])
            return Row(what, ms(ours), f"{other} {ms(theirs)}", ours / theirs, to_reach, reach_for)
        except (CommandFailedError, OSError, subprocess.SubprocessError) as error:
            reason = words_of(error)
    return Row(what, "", "", None, to_reach, reach_for, missing=reason)


def words_of(error: Exception) -> str:
    """What a program that failed has said last, or else what the error says."""
    said = getattr(error, "stderr", None) or ""
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return (text.strip().splitlines() or [str(error) or type(error).__name__])[-1][:300]


def ms(seconds: float) -> str:
    """Milliseconds in three digits."""
    return f"{seconds * 1000:.3g} ms"


def say(text: str) -> None:
    """To whoever shows how far it is."""
    print(text, file=sys.stderr, flush=True)


def timed(command: Sequence[str], errors: str) -> float:
    """One run of a whole process, by the clock: seconds from before its start to after its end."""
    if sys.platform == "win32":  # a test host is Linux's, and Windows has none of the calls below
        raise CommandFailedError("nothing is measured on Windows")
    null = os.open(os.devnull, os.O_RDWR)
    said = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        streams = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1), (os.POSIX_SPAWN_DUP2, said, 2)]
        began = time.perf_counter()
        pid = os.posix_spawnp(command[0], list(command), os.environ, file_actions=streams)
        _, status = os.waitpid(pid, 0)
        took = time.perf_counter() - began
    finally:
        os.close(null)
        os.close(said)
    code = os.waitstatus_to_exitcode(status)
    if code != 0:
        raise CommandFailedError(f"`{' '.join(command)}` ended with {code}")
    return took
