"""labkit-oci for a user who is not root: his own number alone, or a range by newuidmap(1), and no cgroups."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from bundles import Bundle
from conftest import wait_for
from programs import LABKIT_OCI

from labkit.runtime.cgroups.detect import here
from labkit.runtime.cli.oci import spec

pytestmark = [pytest.mark.root, pytest.mark.machine]

USER = 4711
RANGE = 200000
#: As bind mounts over the system's own: who is who, and who may map which numbers (subuid(5)).
FILES = {
    "/etc/passwd": f"root:x:0:0::/root:/bin/sh\ntester:x:{USER}:{USER}::/:/bin/sh\n",
    "/etc/group": f"root:x:0:\ntester:x:{USER}:\n",
    "/etc/subuid": f"tester:{RANGE}:1000\n",
    "/etc/subgid": f"tester:{RANGE}:1000\n",
}
#: One that everybody may execute; a test environment's own may lie in root's home.


class User:
    """A user's bundle, and his commands."""

    def __init__(self, place: Path) -> None:
        self.bundle = Bundle(place / "bundle")
        self.config: dict[str, Any] = json.loads(json.dumps(spec.document(rootless=True)))
        own = self.config["linux"]["uidMappings"][0]
        assert own["hostID"] == os.geteuid()
        for kind in ("uidMappings", "gidMappings"):
            self.config["linux"][kind] = [{"containerID": 0, "hostID": USER, "size": 1}]
        self.config["process"]["terminal"] = False
        self.config["root"]["readonly"] = False
        self.environment = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(place)}
        for where, directories, files in os.walk(place):
            for name in (".", *directories, *files):
                os.chown(os.path.join(where, name), USER, USER, follow_symlinks=False)

    def __call__(self, *words: str, args: list[str] | None = None) -> subprocess.CompletedProcess[str]:
        """labkit-oci as the user calls it; ``args`` are the program of the container."""
        if args:
            self.config["process"]["args"] = args
            (self.bundle.directory / "config.json").write_text(json.dumps(self.config))
        command = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
        command += [*LABKIT_OCI, *words]
        where = self.bundle.directory
        # Files, and no pipes, which a container would keep open as long as it lives.
        with open(where / "stdout", "w+") as output, open(where / "stderr", "w+") as errors:
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": errors}
            done = subprocess.run(command, cwd=where, env=self.environment, timeout=60, check=False, **streams)
            for stream in (output, errors):
                stream.seek(0)
            return subprocess.CompletedProcess(command, done.returncode, output.read(), errors.read())

    def does(self, *words: str, args: list[str] | None = None) -> str:
        """One that must succeed; what it printed."""
        done = self(*words, args=args)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def maps_a_range(self) -> None:
        """The container has 1001 users."""
        for kind in ("uidMappings", "gidMappings"):
            self.config["linux"][kind].append({"containerID": 1, "hostID": RANGE, "size": 1000})


@pytest.fixture
def user() -> Iterator[User]:
    """He who is not root. Everything of his is removed."""
    tried = subprocess.run(
        ["setpriv", f"--reuid={USER}", "--clear-groups", "unshare", "--user", "true"], capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"this kernel gives users no user namespaces: {tried.stderr.decode().strip()}")
    place = Path(tempfile.mkdtemp(prefix="labkit-rootless-"))
    mounted = []
    try:
        for path, text in FILES.items():
            file = place / Path(path).name
            file.write_text(text)
            if not os.path.exists(path):
                continue
            subprocess.run(["mount", "--bind", str(file), path], check=True)
            mounted.append(path)
        yield User(place)
    finally:
        for path in mounted:
            subprocess.run(["umount", path], check=True)
        shutil.rmtree(place)


def needs_newuidmap() -> None:
    for program in ("newuidmap", "newgidmap"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed (uidmap)")


def test_his_own_number_is_root_inside(user: User) -> None:
    script = "id; cat /proc/self/uid_map /proc/self/setgroups; hostname; echo $$; touch /made"
    said = user.does("run", "one", args=["sh", "-c", script])
    assert said.splitlines()[0].startswith("uid=0")
    assert said.split("\n")[1].split() == ["0", str(USER), "1"]
    assert said.split("\n")[2:5] == ["deny", "labkit", "1"]
    assert (user.bundle.rootfs / "made").stat().st_uid == USER
    assert user.does("list", "-q") == ""


def test_he_sees_no_cgroups_but_his(user: User) -> None:
    """On v2 the root of what he sees is the group that he called it in, and he can change nothing there."""
    script = "cat /proc/self/cgroup; ls -d /sys/fs/cgroup; mkdir /sys/fs/cgroup/x || cat /sys/fs/cgroup/cgroup.procs"
    done = user("run", "one", args=["sh", "-c", script])
    assert done.returncode == 0 or here().mode != "v2", done.stderr
    assert "/sys/fs/cgroup\n" in done.stdout
    assert "can't create directory" in done.stderr
    if here().mode == "v2":
        assert done.stdout.splitlines()[0] == "0::/"
        assert {"1"} < set(done.stdout.splitlines()), "the processes of that group, and the container's among them"


def test_a_range_is_mapped_by_newuidmap(user: User) -> None:
    needs_newuidmap()
    user.maps_a_range()
    for names in user.config["process"]["capabilities"].values():
        names.append("CAP_CHOWN")
    said = user.does("run", "two", args=["sh", "-c", "cat /proc/self/uid_map; touch /made; chown 5:7 /made"])
    assert [line.split() for line in said.splitlines()] == [["0", str(USER), "1"], ["1", str(RANGE), "1000"]]
    made = (user.bundle.rootfs / "made").stat()
    assert (made.st_uid, made.st_gid) == (RANGE + 4, RANGE + 6)


def test_a_range_that_is_not_his_is_refused(user: User) -> None:
    needs_newuidmap()
    user.config["linux"]["uidMappings"].append({"containerID": 1, "hostID": 1, "size": 10})
    done = user("run", "three", args=["true"])
    assert done.returncode == 1
    assert "newuidmap" in done.stderr
    assert "subuid(5)" in done.stderr
    assert user.does("list", "-q") == ""


def test_the_life_of_a_container_without_a_cgroup(user: User) -> None:
    user.does("create", "box", args=["sleep", "3600"])
    assert json.loads(user.does("state", "box"))["status"] == "created"
    assert (user.bundle.directory.parent / "labkit-oci/box").is_dir()
    user.does("start", "box")
    assert user.does("exec", "box", "id", "-u") == "0\n"
    assert "sleep 3600" in user.does("ps", "box")
    (pid,) = json.loads(user.does("ps", "--format", "json", "box"))
    assert pid == json.loads(user.does("state", "box"))["pid"]
    for words in (("pause", "box"), ("update", "--memory", "10000000", "box"), ("events", "--stats", "box")):
        refused = user(*words)
        assert refused.returncode == 1
        assert "has no cgroup" in refused.stderr
    user.does("kill", "--all", "box", "KILL")
    user.does("delete", "--force", "box")
    assert not Path(f"/proc/{pid}").exists()
    assert user.does("list", "-q") == ""


def test_a_limit_that_cannot_be_set_is_refused(user: User) -> None:
    user.config["linux"]["resources"] = {"memory": {"limit": 10000000}}
    done = user("run", "four", args=["true"])
    assert done.returncode == 1
    assert "the limit of memory cannot be set without root" in done.stderr
    assert user.does("list", "-q") == ""


def test_what_he_may_not_do_stays_so(user: User) -> None:
    """Root in there is nobody out here."""
    script = "mknod /null c 1 3; echo made=$?; cat /etc-of-host/shadow; echo read=$?; echo x > /proc/sysrq-trigger"
    user.config["mounts"].append(
        {"destination": "/etc-of-host", "type": "bind", "source": "/etc", "options": ["rbind"]}
    )
    done = user("run", "five", args=["sh", "-c", script])
    assert "made=1" in done.stdout
    assert "read=1" in done.stdout
    assert done.returncode != 0, "a write to sysrq-trigger must fail"


@pytest.mark.thorough  # half a minute in emulation
def test_podman_without_root(user: User) -> None:
    """The runtime is root then, in podman's user namespace, and no further."""
    needs_newuidmap()
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    place = user.bundle.directory.parent
    subprocess.run(
        ["tar", "--owner=0", "--group=0", "-C", str(user.bundle.rootfs), "-cf", str(place / "box.tar"), "."], check=True
    )
    podman = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "podman", "--root", f"{place}/storage"]
    podman += ["--runroot", f"{place}/run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]
    podman += ["--events-backend", "none", "--runtime", *LABKIT_OCI]
    environment = {"PATH": os.environ["PATH"], "HOME": str(place), "XDG_RUNTIME_DIR": str(place)}

    def does(*words: str) -> str:
        done = subprocess.run(
            [*podman, *words], cwd=place, env=environment, text=True, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    try:
        does("import", f"{place}/box.tar", "box")
        said = does("run", "--rm", "--network", "none", "box", "sh", "-c", "id -u; cat /proc/self/uid_map")
        assert [line.split() for line in said.splitlines()] == [["0"], ["0", str(USER), "1"], ["1", str(RANGE), "1000"]]
        does("run", "-d", "--name", "sleeper", "--network", "none", "box", "sleep", "3600")
        assert does("exec", "sleeper", "id", "-u") == "0\n"
        does("rm", "-f", "-t", "0", "sleeper")
    finally:
        pause = place / "libpod/tmp/pause.pid"  # the process that keeps its user namespace alive
        if pause.exists():
            os.kill(int(pause.read_text()), signal.SIGKILL)


def test_he_hears_that_his_service_is_ready(user: User) -> None:
    place = Path(user.environment["XDG_RUNTIME_DIR"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, ThreadPoolExecutor(1) as pool:
        manager.bind(str(place / "manager"))
        manager.settimeout(20)
        os.chmod(place / "manager", 0o777)
        user.environment["NOTIFY_SOCKET"] = str(place / "manager")
        running = pool.submit(user.does, "run", "--detach", "one", args=["sleep", "1000"])
        assert wait_for(lambda: list(place.glob("**/notify.sock")))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service:
            service.connect(str(next(place.glob("**/notify.sock"))))
            service.send(b"READY=1")
        said = [manager.recv(4096).decode().partition("=")[0] for _ in range(3)]
        running.result(30)
    assert said == ["READY", "MAINPID", "BARRIER"]
    user.does("delete", "--force", "one")
