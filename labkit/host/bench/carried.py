"""Bytes that pass through an engine: what a container prints, files that are copied, and a published port.

Each case takes turns with podman, and with docker where dockerd runs.
"""

from __future__ import annotations

import functools
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence

from labkit.host.bench import engines
from labkit.host.bench.engines import Bench, Engine
from labkit.host.bench.result import LARGER, Row

_FEW = 7
"""Runs of what takes seconds."""

_LINES = 1_000_000
_FILE = 300_000_000
_REQUESTS = 50_000
"""Of redis-benchmark."""

_PRINTED = {
    "a million lines": f"yes | head -n {_LINES}",
    # In large pieces, so that the engine's work is measured and not the program's.
    "200 MB without a line's end": "dd if=/dev/zero bs=1000000 count=200 2> /dev/null",
}


def _against(bench: Bench, other: str, what: str, command: Callable[[Engine, int], Sequence[str]]) -> Row:
    return bench.against(other, f"{what} against {other}", 1.0, 0.7, command, min(bench.runs, _FEW))


def output(bench: Bench) -> Iterator[Row]:
    """What a container prints, to the command that waits for it and to the log alone."""
    for what, script in _PRINTED.items():
        attached = functools.partial(_attached, script=script)
        detached = functools.partial(_detached, script=script)
        for other in ("podman", "dockerd"):
            yield _against(bench, other, f"`run --rm` that prints {what}", attached)
            yield _against(bench, other, f"`run -d`, `wait` and `rm` that print {what}", detached)


def _attached(engine: Engine, _: int, script: str) -> Sequence[str]:
    return engine.run("--network", "none", "--rm", words=("sh", "-c", script))


def _detached(engine: Engine, number: int, script: str) -> Sequence[str]:
    return engine.in_background(f"printer{number}", "--network", "none", words=("sh", "-c", script))


def copied(bench: Bench) -> Iterator[Row]:
    """A large file, out of a container that has ended and into it."""
    here = bench.place / "copied"
    here.mkdir(exist_ok=True)
    with open(here / "in", "wb") as file:
        for _ in range(_FILE // 1_000_000):
            file.write(b"labkit\n".ljust(1000) * 1000)
    for other in ("podman", "dockerd"):
        yield _copied(bench, other, "out of", "giver", "giver:/big", f"{here}/out")
        yield _copied(bench, other, "into", "taker", f"{here}/in", "taker:/in")


def _copied(bench: Bench, other: str, what: str, name: str, *places: str) -> Row:
    made: set[str] = set()

    def command(engine: Engine, _: int) -> Sequence[str]:
        if engine.base[0] not in made:  # by the round that does not count
            made.add(engine.base[0])
            script = f"head -c {_FILE} /dev/zero > /big"
            run = engine.run("--network", "none", "--name", name, words=("sh", "-c", script))
            subprocess.run(run, check=True, capture_output=True)
        return [*engine.base, "cp", *places]

    try:
        return _against(bench, other, f"`cp` of 300 MB {what} a container", command)
    finally:
        for engine in (bench, engines.Podman(bench.place / "podman")):
            if engine.base[0] in made:
                subprocess.run([*engine.base, "rm", "-f", name], check=False, capture_output=True)


def redis_rate(bench: Bench) -> Iterator[Row]:
    """Requests a second through a published port, beside podman's and beside the container's own address."""
    what = "redis-benchmark through `-p` on 127.0.0.1 against podman's `-p`"
    missing = engines.missing("redis-benchmark", "podman")
    if missing:
        yield Row(what, "", "", None, 1.0, 1.05, LARGER, missing=missing)
        return
    image = bench.inspect("redis")
    rootfs, archive = bench.place / "redis", bench.place / "redis.tar"
    for layer in reversed(image["layer_directories"]):  # the upper one last
        subprocess.run(["cp", "-a", f"{layer}/.", str(rootfs)], check=True)
    subprocess.run(["tar", "-C", str(rootfs), "-cf", str(archive), "."], check=True)
    podman = bench.podman()
    podman.take(archive, "localhost/lab-redis")
    bench.call("run", "-d", "-p", "16379:6379", "--name", "redis", "redis")
    try:
        words = ("--network", "podman", "-p", "16380:6379", "-w", "/data", "--name", "redis", "localhost/lab-redis")
        podman.call("run", "-d", *engines.ULIMITS, *words, *image["config"]["Cmd"])
        direct = bench.inspect("redis")["address"].partition("/")[0]
        places = {"ours": ("127.0.0.1", "16379"), "podman": ("127.0.0.1", "16380"), "direct": (direct, "6379")}
        rates: dict[str, list[float]] = {name: [] for name in places}
        for number in range(bench.runs + 1):  # where the scheduler puts client and server matters more than all else
            engines.say(f"{number} of {bench.runs}")
            for name, (host, port) in places.items():
                rate = requests_a_second(host, port)
                if number:
                    rates[name].append(rate)
    finally:
        bench.call("rm", "-f", "redis")
        podman.call(*podman.removal, "redis")
    ours, theirs, alone = (statistics.median(rates[name]) for name in ("ours", "podman", "direct"))
    yield Row(what, f"{ours:.0f}/s", f"podman {theirs:.0f}/s, direct {alone:.0f}/s", ours / theirs, 1.0, 1.05, LARGER)


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
