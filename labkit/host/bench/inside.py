"""What is measured, in the test host: ``python -m labkit.host.bench.inside RUNS IMAGES_DIRECTORY [CASE …]``.

Standard output takes a line of JSON for the report without rows, and one for each row when it is measured; standard
error takes a line for each step.
"""

from __future__ import annotations

import json
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil

from labkit import __version__
from labkit.host.bench import carried, engines, result
from labkit.host.bench.engines import Bench, CommandFailedError, Engine, Times, compared, ms, say
from labkit.host.bench.result import Report, Row
from labkit.host.payload import installation

_FEW = 5
"""Fewer runs where one takes long."""

CROWD = 200
"""Containers that run beside."""


def oci_run(bench: Bench) -> Iterator[Row]:
    """The low-level runtimes on one bundle."""

    def times() -> Times:
        bundle = bench.place / "bundle"
        bundle.mkdir()
        shutil.copytree(bench.layer(), bundle / "rootfs", symlinks=True)
        subprocess.run([bench.oci, "spec", "--bundle", str(bundle)], check=True, capture_output=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(terminal=False, args=["/bin/true"])
        (bundle / "config.json").write_text(json.dumps(config))
        return bench.in_turns(
            {
                "ours": lambda number: [bench.oci, "run", "--bundle", str(bundle), f"ours{number}"],
                "runc": lambda number: ["runc", "run", "--bundle", str(bundle), f"runc{number}"],
            }
        )

    yield compared("`labkit-oci run` of `true` against `runc run`, same bundle", 1.3, 1.0, "runc", times)


def engine_run(bench: Bench) -> Iterator[Row]:
    """A container without a network."""
    what = "`labkit run --rm --network none busybox true` against podman with crun"
    yield bench.against("podman", what, 0.5, 0.3, lambda engine, _: engine.run("--rm", "--network", "none"))


def published_port(bench: Bench) -> Iterator[Row]:
    """A container with a published port, while another keeps the bridge up."""

    def command(engine: Engine, _: int) -> Sequence[str]:
        return engine.run(*engine.bridge, "--rm", "-p", "18080:80")

    what = "`labkit run --rm -p … busybox true` against podman with crun"
    yield bench.against("podman", what, 0.4, 0.25, command, beside=lambda engine: engine.bridge)
    yield bench.against("dockerd", "the same against docker", 0.35, 0.25, command, beside=lambda engine: engine.bridge)


def engine_exec(bench: Bench) -> Iterator[Row]:
    """A second program in a running container."""
    yield bench.against(
        *("podman", "`labkit exec` against `podman exec`", 0.5, 0.3),
        lambda engine, _: [*engine.base, "exec", engines.SLEEPER, "true"],
        beside=lambda _: ("--network", "none"),
    )


def crowd(bench: Bench) -> Iterator[Row]:
    """What 200 running containers cost the next one, and the list of them.

    Runs with and without them cannot take turns: those without are made before and after.
    """
    command = bench.run("--rm", "--network", "none")
    alone = bench.in_turns({"ours": lambda _: command})["ours"]
    names = [f"crowd{number}" for number in range(CROWD)]
    try:
        for name in names:
            say(f"{name} of {CROWD}")
            bench.call("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "3600")
        among = bench.in_turns({"ours": lambda _: command, "ps": lambda _: [*bench.base, "ps"]})
    finally:
        bench.call("rm", "-f", *names)
    alone += bench.in_turns({"ours": lambda _: command})["ours"]
    ours, quiet, listed = statistics.median(among["ours"]), statistics.median(alone), statistics.median(among["ps"])
    yield Row(f"start with {CROWD} running containers against none", ms(ours), ms(quiet), ours / quiet, 1.2, 1.0)
    yield Row(f"`labkit ps` with {CROWD}", ms(listed), "", listed * 1000, 100, 50, unit="ms")


def memory(bench: Bench) -> Iterator[Row]:
    """Resident memory at its largest: the command that starts a container, and the shim that stays."""
    command = max(peak(bench.run("--rm")) for _ in range(_FEW))
    with bench.sleeping("--network", "none"):
        time.sleep(1)  # what stays: it lets go of code when nothing happens
        shim = max(each.memory_info().rss for each in processes_called("labkit-shim")) // 1024
    for what, kib, reach, best in (("a command", command, 25, 15), ("a shim", shim, 12, 8)):
        yield Row(f"resident memory of {what}", f"{kib / 1024:.1f} MiB", "", kib / 1024, reach, best, unit="MiB")


_PEAK = """
import os, sys
null = os.open(os.devnull, os.O_WRONLY)
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 1)])
_, status, usage = os.wait4(pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def peak(command: Sequence[str]) -> int:
    """A program's largest resident set in KiB, by a small process: what its parent has at execve(2) counts as its own.

    (getrusage(2): the old memory's mark is kept; a benchmark of 26 MiB would measure itself.)
    """
    words = [installation.PYTHON, "-IS", "-c", _PEAK, *command]
    return int(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def processes_called(name: str) -> list[psutil.Process]:
    """Those whose short or long name begins with ``name``."""
    found = psutil.process_iter(["name", "cmdline"])
    return [each for each in found if name in (each.info["name"], " ".join(each.info["cmdline"] or ())[: len(name)])]


CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "oci": oci_run,
    "run": engine_run,
    "port": published_port,
    "exec": engine_exec,
    "output": carried.output,
    "cp": carried.copied,
    "redis": carried.redis_rate,
    "crowd": crowd,
    "memory": memory,
}


def rows_of(name: str, bench: Bench) -> Iterator[Row]:
    """A case's rows; where it breaks, one that says why, since the other cases' figures are as good as before."""
    try:
        yield from CASES[name](bench)
    except (subprocess.SubprocessError, CommandFailedError, OSError, LookupError, ValueError) as error:
        yield Row(f"the rest of “{name}”", "", "", None, 0, 0, missing=engines.words_of(error))


@contextmanager
def place_in_memory() -> Iterator[Path]:
    """A directory in memory, as /var/lib/labkit is in a test host: disks are not what is compared.

    What the engines have mounted in it goes with it. What cannot be taken back is said: it ends with the test host.
    """
    directory = tempfile.mkdtemp(prefix="labkit-bench-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "labkit-bench", directory], check=True)
    try:
        yield Path(directory)
    finally:
        try:
            subprocess.run(["umount", "--recursive", "--lazy", directory], check=True, capture_output=True)
            Path(directory).rmdir()
        except (OSError, subprocess.SubprocessError) as error:
            say(f"{result.WARNING}{directory} cannot be removed: {engines.words_of(error)}")


def main() -> int:
    """Measure, and print the report: first what it was measured with, then a row as soon as it is there."""
    runs, images, *names = sys.argv[1:]
    engines.unmount_empty_unified_tree()
    programs = ("runc", "crun", "podman", "dockerd", "redis-server")
    versions = {name: engines.version(name) for name in programs if shutil.which(name)}
    kernel, python = platform.release(), ".".join(map(str, sys.version_info[:3]))
    about = {"labkit": __version__, "Linux": kernel, "Python": python, **versions}
    print(json.dumps(asdict(Report(time.strftime("%Y-%m-%d"), about, int(runs)))), flush=True)
    with place_in_memory() as directory:
        bench = Bench(directory, Path(images), int(runs))
        say("== preparing")
        bench.prepare()
        for name in names or CASES:
            say(f"== {name}")
            for row in rows_of(name, bench):
                print(json.dumps(asdict(row)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
