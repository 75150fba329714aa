"""What the guest's tests share: labkit as a user calls it, and a picture of the machine to compare with.

They run as root where nothing else uses labkit: in a test host (namespaces of its own) or in the lab's machine.
"""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import LABKIT, PROGRAMS
from pyroute2 import IPRoute
from runtime import Runtime

pytestmark = pytest.mark.root

DIRECTORIES = ("/run/labkit", "/var/lib/labkit")


def labkit(*words: str, text: str | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Call labkit as a user does; a failure shows what it said."""
    result = subprocess.run([*LABKIT, *words], input=text, text=True, capture_output=True, timeout=120, check=False)
    if check:
        assert result.returncode == 0, (
            f"labkit {' '.join(words)}: {result.returncode}\n{result.stdout}\n{result.stderr}"
        )
    return result


def output(*command: str) -> str:
    """What a program of the system says."""
    return subprocess.run(command, text=True, capture_output=True, check=True, timeout=60).stdout


def on_a_terminal(command: list[str]) -> str:
    """What a command shows on a terminal."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvp(command[0], command)
    said = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        said += part
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, said
    os.close(master)
    return said.decode()


def _rules() -> list[str]:
    # Counters and times vary. A table that was never used and an empty one are the same to us.
    lines = [line.partition(" [")[0] for line in output("iptables-save").splitlines()]
    return [line for line in lines if line[:1] in ("-", ":") and not (line[0] == ":" and line.endswith("ACCEPT"))]


def _links_addresses_and_routes() -> dict[str, list[str]]:
    """By pyroute2, which asks the kernel itself: no program is started for it, and labkit makes nothing by it."""
    with IPRoute() as kernel:
        names = {link["index"]: link.get("ifname") for link in kernel.get_links()}
        addresses = [(names.get(each["index"]), each.get("address"), each["prefixlen"]) for each in kernel.get_addr()]
        routes = [
            (names.get(each.get("oif")), each.get("dst"), each["dst_len"], each.get("gateway"))
            for each in kernel.get_routes(family=socket.AF_INET)
        ]
    parts = {"links": names.values(), "addresses": addresses, "routes": routes}
    return {kind: sorted(map(str, part)) for kind, part in parts.items()}


def picture() -> dict[str, list[str]]:
    """All that a container may leave behind."""
    mounts = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return {
        "mounts": sorted(mounts),
        **_links_addresses_and_routes(),
        "rules": _rules(),
        "cgroups": sorted(place for place, _, _ in os.walk("/sys/fs/cgroup") if "/labkit" in place),
        "namespaces": sorted(os.listdir("/run/netns")) if os.path.isdir("/run/netns") else [],
        "processes": sorted(processes()),
        "forwarding": [Path("/proc/sys/net/ipv4/ip_forward").read_text()],
        "files": sorted(_files()),
    }


def processes() -> list[str]:
    """Shims, commands of labkit, and what runs in its containers; zombies do not count."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                group = (entry / "cgroup").read_text()
                if "labkit-shim" in line or f"{PROGRAMS}/" in line or "/labkit/" in group:
                    found.append(line)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _files() -> Iterator[str]:
    for directory in DIRECTORIES:
        for place, _, names in os.walk(directory):
            if "/layers/" not in place and not place.endswith("/events"):
                yield from (os.path.join(place, name) for name in names if not name.endswith(".lock"))


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> bool:
    """Until ``condition()`` holds; whether it does."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def _base_images(directory: Path) -> list[str]:
    """The two archives: those of the machine, or made from this system's own busybox and redis."""
    for place in (os.environ.get("LABKIT_BASE_IMAGES", ""), "/usr/share/labkit/images"):
        if place and Path(place, "redis.tar").exists():
            return [f"{place}/busybox.tar", f"{place}/redis.tar"]
    maker = Path(__file__).parents[2] / "labkit/host/image/resources/make_base_images.py"
    subprocess.run([sys.executable, str(maker), str(directory)], check=True, capture_output=True, timeout=120)
    return [f"{directory}/busybox.tar", f"{directory}/redis.tar"]


@pytest.fixture(scope="session", autouse=True)
def images(tmp_path_factory: pytest.TempPathFactory) -> None:
    """busybox and redis are loaded."""
    archives = _base_images(tmp_path_factory.mktemp("base-images"))
    labkit("load", "-q", *[word for archive in archives for word in ("-i", archive)])


@pytest.fixture(scope="session", autouse=True)
def _namespaces_directory() -> None:
    """ip-netns(8) makes /run/netns a mount at its first use, which stays: not a thing that one test leaves behind."""
    output("ip", "netns", "add", "labkit-first")
    output("ip", "netns", "delete", "labkit-first")


@pytest.fixture(autouse=True)
def _as_it_was(images: None, _namespaces_directory: None) -> Iterator[None]:
    """Every test leaves the machine as it found it."""
    before = picture()
    yield
    # Not by "ps": it would clean up what a test has left behind.
    containers = os.listdir("/var/lib/labkit/containers") if os.path.isdir("/var/lib/labkit/containers") else []
    if containers:
        labkit("rm", "-f", "-v", *containers)
    wait_for(lambda: picture() == before, 10)
    after = picture()
    # By kind, or a report would be cut to "omitting identical items".
    assert [(kind, before[kind], now) for kind, now in after.items() if now != before[kind]] == []


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that everybody can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="labkit-bundle-") as place:
        os.chmod(place, 0o755)
        yield Path(place)


@pytest.fixture
def oci(tmp_path: Path) -> Iterator[Runtime]:
    """labkit-oci with a root and a bundle of its own; containers that a test leaves are deleted."""
    runtime = Runtime(tmp_path)
    yield runtime
    runtime.clean_up()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``invoke test --all`` gives it."""
    parser.addoption("--every-moment", action="store_true", help="kill at every moment, and not at some of them")


@pytest.fixture(scope="session")
def stride(request: pytest.FixtureRequest, in_emulation: bool) -> int:
    """From one moment at which something is killed to the next, in operations. The first is always among them."""
    if in_emulation:
        return 7
    return 1 if request.config.getoption("every_moment") else 5


@pytest.fixture(scope="session")
def in_emulation() -> bool:
    """Whether this machine is emulated in software, where everything takes ten times as long."""
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return "TCG" in model


def ask_redis(address: str, port: int, question: str) -> str:
    """What redis answers, or nothing where nobody does. Its protocol takes a line of words as they are (RESP, "Inline
    commands"), so that no redis-cli is needed here.
    """
    try:
        with socket.create_connection((address, port), 5) as wire:
            wire.sendall(f"{question}\r\n".encode())
            return wire.recv(65536).decode()
    except OSError:
        return ""
