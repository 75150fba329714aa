"""The engines and runtimes that labkit is measured beside, and how each is set up in a test host."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

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


class Podman:
    """podman with crun, in directories of its own."""

    def __init__(self, place: Path, runtime: str = "crun") -> None:
        place.mkdir(parents=True, exist_ok=True)
        self.base = [
            "podman", f"--root={place}/root", f"--runroot={place}/run", f"--tmpdir={place / 'temporary'}",
            "--cgroup-manager=cgroupfs", f"--runtime={runtime}", "--storage-driver=overlay", "--events-backend=none",
        ]  # fmt: skip

    def take(self, archive: Path, name: str = IMAGE) -> None:
        """Make the image of a root file system."""
        subprocess.run([*self.base, "import", str(archive), name], check=True, capture_output=True)

    def run(self, *options: str) -> list[str]:
        """``podman run OPTIONS IMAGE true``."""
        return [*self.base, "run", *ULIMITS, *options, IMAGE, "true"]

    def call(self, *words: str) -> str:
        """Another command, which must succeed; what it prints."""
        return subprocess.run([*self.base, *words], check=True, capture_output=True, text=True).stdout

    @contextlib.contextmanager
    def sleeping(self, *options: str) -> Iterator[None]:
        """While a container sleeps."""
        self.call("run", "-d", *ULIMITS, "--name", SLEEPER, *options, IMAGE, "sleep", "3600")
        try:
            yield
        finally:
            self.call("rm", "-f", "-t", "0", SLEEPER)


class Docker:
    """docker, with a daemon of its own in the test host; it dies with that."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.base = ["/usr/bin/docker", "-H", f"unix://{place}/docker.sock"]

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

    def take(self, archive: Path) -> None:
        """Make the image of a root file system."""
        subprocess.run([*self.base, "import", str(archive), IMAGE], check=True, capture_output=True)

    def run(self, *options: str) -> list[str]:
        """``docker run OPTIONS IMAGE true``."""
        return [*self.base, "run", *options, IMAGE, "true"]


def unmount_empty_unified_tree() -> None:
    """crun takes a hybrid machine for one of version 2 and finds no controllers there; in a test host it may go."""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, point, kind, *_ = line.split()
        if kind == "cgroup2" and point != "/sys/fs/cgroup":
            subprocess.run(["umount", "--lazy", point], check=False, env={"PATH": os.environ["PATH"]})
