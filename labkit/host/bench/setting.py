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
from labkit.host.bench.rivals import Engine
from labkit.host.payload import installation


class Bench(Engine):
    """labkit below a prefix of its own, images for everybody, and its rivals."""

    def __init__(self, place: Path, images: Path, runs: int) -> None:
        super().__init__([f"{place}/labkit/bin/labkit"], "busybox")
        self.place, self.images, self.runs = place, images, runs
        self.labkit = self.base[0]
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

    def pairs(self, commands: dict[str, Callable[[int], Sequence[str]]], runs: int | None = None) -> dict[str, Times]:
        """``measure.in_turns`` with this bench's number of runs."""
        return measure.in_turns(commands, runs or self.runs, say, self.errors)

    def podman(self) -> rivals.Podman:
        """podman with the image, made at its first use."""
        podman = rivals.Podman(self.place / "podman")
        if rivals.IMAGE not in podman.call("images"):
            podman.take(self.rootfs_archive)
        return podman

    @contextmanager
    def docker(self) -> Iterator[rivals.Docker]:
        """docker with the image, while its daemon runs."""
        docker = rivals.Docker(self.place / "docker")
        with docker.daemon():
            docker.take(self.rootfs_archive)
            yield docker


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
