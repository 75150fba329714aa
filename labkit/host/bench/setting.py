"""What the benchmark's cases share: labkit and its rivals, set up in the test host, and the row of a comparison."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.host.bench import measure, rivals
from labkit.host.bench.measure import CommandFailedError, Times
from labkit.host.bench.result import Row
from labkit.host.payload import installation


class Bench:
    """labkit below a prefix of its own, images for everybody, and the rows so far."""

    def __init__(self, place: Path, images: Path, runs: int) -> None:
        self.place, self.images, self.runs = place, images, runs
        self.labkit = f"{place}/labkit/bin/labkit"
        self.oci = f"{place}/labkit/bin/labkit-oci"
        self.rootfs_archive = place / "rootfs.tar"
        self.errors = str(place / "errors")

    def prepare(self) -> None:
        """Install, load, and pack the root file system for the others."""
        installation.install(f"{self.place}/labkit")
        for name in ("busybox", "redis"):
            subprocess.run([self.labkit, "load", "-q", "-i", str(self.images / f"{name}.tar")], check=True)
        subprocess.run(["tar", "-C", self.layer(), "-cf", str(self.rootfs_archive), "."], check=True)

    def layer(self) -> str:
        """busybox's only layer, a whole root file system."""
        return str(self.inspect("busybox")["layer_directories"][0])

    def inspect(self, name: str) -> dict[str, Any]:
        """What labkit knows of an image or a container."""
        found = json.loads(self.call("inspect", name))
        document: dict[str, Any] = found[0] if isinstance(found, list) else found
        return document

    def call(self, *words: str) -> str:
        """A labkit command, which must succeed; what it prints."""
        return subprocess.run([self.labkit, *words], capture_output=True, text=True, check=True).stdout.strip()

    def run(self, *options: str) -> list[str]:
        """``labkit run OPTIONS busybox true``."""
        return [self.labkit, "run", *options, "busybox", "true"]

    @contextmanager
    def sleeping(self, *options: str) -> Iterator[None]:
        """While a container sleeps."""
        self.call("run", "-d", *options, "--name", rivals.SLEEPER, "busybox", "sleep", "3600")
        try:
            yield
        finally:
            self.call("rm", "-f", rivals.SLEEPER)

    def pairs(self, commands: dict[str, Callable[[int], Sequence[str]]], runs: int | None = None) -> dict[str, Times]:
        """``measure.in_turns`` with this bench's number of runs."""
        return measure.in_turns(commands, runs or self.runs, say, self.errors)


def podman_of(bench: Bench) -> rivals.Podman:
    """podman with the image, made at its first use."""
    podman = rivals.Podman(bench.place / "podman")
    if rivals.IMAGE not in podman.call("images"):
        podman.take(bench.rootfs_archive)
    return podman


def compared(what: str, to_reach: float, reach_for: float, other: str, times: Callable[[], dict[str, Times]]) -> Row:
    """The row of a comparison with the program ``other``; where that is missing or fails, why there is no figure."""
    missing = rivals.missing(other)
    if not missing:
        try:
            measured = times()
            ours, theirs = measured["ours"].median, measured[other].median
            return Row(what, ms(ours), f"{other} {ms(theirs)}", ours / theirs, to_reach, reach_for)
        except (CommandFailedError, OSError, subprocess.SubprocessError) as error:
            missing = words_of(error)
    return Row(what, "", "", None, to_reach, reach_for, missing=missing)


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
