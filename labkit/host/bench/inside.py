"""What is measured, in the test host: ``python -m labkit.host.bench.inside RUNS IMAGES_DIRECTORY [CASE …]``.

Standard output is the report as JSON; standard error takes a line for each step.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from labkit import __version__
from labkit.host import installation
from labkit.host.bench import measure, rivals
from labkit.host.bench.measure import CommandFailedError, Times
from labkit.host.bench.result import LARGER, Report, Row

_FEW = 5
"""Fewer runs where one takes long."""

SLEEPER = rivals.SLEEPER

CROWD = 200
"""Containers that run beside."""

_REQUESTS = 50000
"""Of redis-benchmark."""


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
        done = subprocess.run([self.labkit, "inspect", "busybox"], capture_output=True, text=True, check=True)
        document = json.loads(done.stdout)
        image = document[0] if isinstance(document, list) else document
        return str(image["layer_directories"][0])

    def call(self, *words: str) -> str:
        """A labkit command, which must succeed; what it prints."""
        return subprocess.run([self.labkit, *words], capture_output=True, text=True, check=True).stdout.strip()

    def run(self, *options: str) -> list[str]:
        """``labkit run OPTIONS busybox true``."""
        return [self.labkit, "run", *options, "busybox", "true"]

    @contextmanager
    def sleeping(self, *options: str) -> Iterator[None]:
        """While a container sleeps."""
        self.call("run", "-d", *options, "--name", SLEEPER, "busybox", "sleep", "3600")
        try:
            yield
        finally:
            self.call("rm", "-f", SLEEPER)

    def pairs(self, commands: dict[str, Callable[[int], Sequence[str]]], runs: int | None = None) -> dict[str, Times]:
        """``measure.in_turns`` with this bench's number of runs."""
        return measure.in_turns(commands, runs or self.runs, say, self.errors)


def oci_run(bench: Bench) -> Iterator[Row]:
    """The low-level runtimes on one bundle."""

    def times() -> dict[str, Times]:
        bundle = bench.place / "bundle"
        bundle.mkdir()
        shutil.copytree(bench.layer(), bundle / "rootfs", symlinks=True)
        subprocess.run([bench.oci, "spec", "--bundle", str(bundle)], check=True, capture_output=True)
        config = json.loads((bundle / "config.json").read_text())
        config["process"].update(terminal=False, args=["/bin/true"])
        (bundle / "config.json").write_text(json.dumps(config))
        return bench.pairs(
            {
                "ours": lambda number: [bench.oci, "run", "--bundle", str(bundle), f"ours{number}"],
                "runc": lambda number: ["runc", "run", "--bundle", str(bundle), f"runc{number}"],
            }
        )

    yield compared("`labkit-oci run` of `true` against `runc run`, same bundle", 1.3, 1.0, "runc", times)


def engine_run(bench: Bench) -> Iterator[Row]:
    """A container without a network."""
    words = ("--rm", "--network", "none")

    def times() -> dict[str, Times]:
        podman = podman_of(bench)
        return bench.pairs({"ours": lambda _: bench.run(*words), "podman": lambda _: podman.run(*words)})

    yield compared("`labkit run --rm --network none busybox true` against podman with crun", 0.5, 0.3, "podman", times)


def published_port(bench: Bench) -> Iterator[Row]:
    """A container with a published port, while another keeps the bridge up."""
    words = ("--rm", "-p", "18080:80")

    def beside_podman() -> dict[str, Times]:
        podman = podman_of(bench)
        bridge = ("--network", "podman")
        with podman.sleeping(*bridge), bench.sleeping():
            return bench.pairs({"ours": lambda _: bench.run(*words), "podman": lambda _: podman.run(*bridge, *words)})

    def beside_docker() -> dict[str, Times]:
        docker = rivals.Docker(bench.place / "docker")
        with docker.daemon(), bench.sleeping():
            docker.take(bench.rootfs_archive)
            return bench.pairs({"ours": lambda _: bench.run(*words), "dockerd": lambda _: docker.run(*words)})

    yield compared("`labkit run --rm -p … busybox true` against podman with crun", 0.4, 0.25, "podman", beside_podman)
    yield compared("the same against docker", 0.35, 0.25, "dockerd", beside_docker)


def engine_exec(bench: Bench) -> Iterator[Row]:
    """A second program in a running container."""

    def times() -> dict[str, Times]:
        podman = podman_of(bench)
        none = ("--network", "none")
        with podman.sleeping(*none), bench.sleeping(*none):
            ours, theirs = [bench.labkit, "exec", SLEEPER, "true"], [*podman.base, "exec", SLEEPER, "true"]
            return bench.pairs({"ours": lambda _: ours, "podman": lambda _: theirs})

    yield compared("`labkit exec` against `podman exec`", 0.5, 0.3, "podman", times)


def redis_rate(bench: Bench) -> Iterator[Row]:
    """Requests a second through a published port, as a share of the rate at the container's own address."""
    what = "redis-benchmark through `-p` on 127.0.0.1 against direct"
    missing = rivals.missing("redis-benchmark")
    if missing:
        yield Row(what, "", "", None, 0.93, 0.97, LARGER, missing=missing)
        return
    bench.call("run", "-d", "-p", "16379:6379", "--name", "redis", "redis")
    try:
        address = json.loads(bench.call("inspect", "redis"))
        container = address[0] if isinstance(address, list) else address
        places = {"port": ("127.0.0.1", "16379"), "direct": (container["address"].partition("/")[0], "6379")}
        rates: dict[str, list[float]] = {name: [] for name in places}
        for number in range(bench.runs + 1):  # where the scheduler puts client and server matters more than all else
            say(f"{number} of {bench.runs}")
            for name, (host, port) in places.items():
                rate = requests_a_second(host, port)
                if number:
                    rates[name].append(rate)
    finally:
        bench.call("rm", "-f", "redis")
    through, direct = statistics.median(rates["port"]), statistics.median(rates["direct"])
    yield Row(what, f"{through:.0f}/s", f"{direct:.0f}/s", through / direct, 0.93, 0.97, LARGER)


def requests_a_second(host: str, port: str) -> float:
    """GET, by redis-benchmark's own count. It waits for redis to listen, ten seconds at most."""
    for _ in range(100):
        asked = subprocess.run(["redis-cli", "-h", host, "-p", port, "ping"], capture_output=True, text=True)
        if "PONG" in asked.stdout:
            break
        time.sleep(0.1)
    command = ["redis-benchmark", "-h", host, "-p", port, "-n", str(_REQUESTS), "-t", "get", "--csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    line = next(line for line in done.stdout.splitlines() if line.startswith('"GET"'))
    return float(line.split(",")[1].strip('"'))


def crowd(bench: Bench) -> Iterator[Row]:
    """What 200 running containers cost the next one, and the list of them.

    Runs with and without them cannot take turns: those without are made before and after.
    """
    command = bench.run("--rm", "--network", "none")
    alone = bench.pairs({"ours": lambda _: command})["ours"].seconds
    names = [f"crowd{number}" for number in range(CROWD)]
    try:
        for name in names:
            say(f"{name} of {CROWD}")
            bench.call("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "3600")
        among = bench.pairs({"ours": lambda _: command, "ps": lambda _: [bench.labkit, "ps"]})
    finally:
        bench.call("rm", "-f", *names)
    alone += bench.pairs({"ours": lambda _: command})["ours"].seconds
    ours, quiet, listed = among["ours"].median, statistics.median(alone), among["ps"].median
    yield Row(f"start with {CROWD} running containers against none", ms(ours), ms(quiet), ours / quiet, 1.2, 1.0)
    yield Row(f"`labkit ps` with {CROWD}", ms(listed), "", listed * 1000, 100, 50, unit="ms")


def memory(bench: Bench) -> Iterator[Row]:
    """Resident memory at its largest: the command that starts a container, and the shim that stays."""
    command = max(peak(bench.run("--rm")) for _ in range(_FEW))
    with bench.sleeping("--network", "none"):
        time.sleep(1)  # what stays: it lets go of code when nothing happens
        shim = max(resident(pid) for pid in processes_called("labkit-shim"))
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


def processes_called(name: str) -> list[str]:
    """The pids whose short or long name begins with ``name``."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            texts = Path("/proc", pid, "comm").read_text(), Path("/proc", pid, "cmdline").read_text(errors="replace")
        except OSError:
            continue
        if any(text.startswith(name) for text in texts):
            found.append(pid)
    return found


def resident(pid: str) -> int:
    """VmRSS in KiB (proc(5))."""
    for line in Path("/proc", pid, "status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


CASES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "oci": oci_run,
    "run": engine_run,
    "port": published_port,
    "exec": engine_exec,
    "redis": redis_rate,
    "crowd": crowd,
    "memory": memory,
}


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
        except subprocess.CalledProcessError as error:
            said = error.stderr or b""
            text = said.decode(errors="replace") if isinstance(said, bytes) else said
            missing = f"{error}: {(text.strip().splitlines() or ['it said nothing'])[-1]}"
        except (CommandFailedError, OSError) as error:
            missing = str(error)
    return Row(what, "", "", None, to_reach, reach_for, missing=missing[:300])


def ms(seconds: float) -> str:
    """Milliseconds in three digits."""
    return f"{seconds * 1000:.3g} ms"


def say(text: str) -> None:
    """To whoever shows how far it is."""
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    """Measure, print the report."""
    runs, images, *names = sys.argv[1:]
    rivals.unmount_empty_unified_tree()
    with tempfile.TemporaryDirectory(prefix="labkit-bench-") as directory:
        # In memory, as /var/lib/labkit is in a test host: disks are not what is compared.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "labkit-bench", directory], check=True)
        bench = Bench(Path(directory), Path(images), int(runs))
        say("== preparing")
        bench.prepare()
        rows = []
        for name in names or CASES:
            say(f"== {name}")
            rows += list(CASES[name](bench))
        programs = ("runc", "crun", "podman", "dockerd", "redis-server")
        versions = {name: rivals.version(name) for name in programs if shutil.which(name)}
        kernel, python = platform.release(), ".".join(map(str, sys.version_info[:3]))
        report = Report(
            time.strftime("%Y-%m-%d"),
            {"labkit": __version__, "Linux": kernel, "Python": python, **versions},
            int(runs),
            rows,
        )
        print(json.dumps(report.as_dict()))
        subprocess.run(["umount", "--lazy", directory], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
