"""NOTIFY_SOCKET: a service in a container tells the manager outside that it is ready."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bundles import mount_line
from conftest import wait_for
from runtime import Runtime

from labkit.runtime.oci.root.rootfs import by_number, kept_open


class Manager:
    """Who started the runtime, and hears of readiness."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(20)
        self.name = path.replace("\0", "@")

    def hears(self) -> tuple[str, int]:
        """The next message, and the pid that sent it."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        said, others, _, _ = self.socket.recvmsg(4096, 4096)
        [sender] = [data for _, kind, data in others if kind == socket.SCM_CREDENTIALS]
        descriptors = [data for _, kind, data in others if kind == socket.SCM_RIGHTS]
        for data in descriptors:
            os.close(int.from_bytes(data[:4], "little"))
        return said.decode(), int.from_bytes(sender[:4], "little")


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    """A manager, and its address in our environment."""
    there = Manager(str(tmp_path / "manager") if request.param == "a path" else f"\0labkit-{os.getpid()}")
    there.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTIFY_SOCKET", there.name)
        yield there
    there.socket.close()


def says(pid: int, words: bytes) -> None:
    """The container's process says it, to its own socket, as its own user."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
        wire.connect(f"/proc/{pid}/root/run/notify/notify.sock")
        wire.send(words)


SERVICE = "echo $NOTIFY_SOCKET; cat /proc/self/mountinfo; exec sleep 1000"


@pytest.mark.parametrize("way", ["run --detach", "start", "run"])
def test_ready_is_passed_on_with_the_process_to_watch(oci: Runtime, manager: Manager, way: str) -> None:
    oci.runs(SERVICE)
    oci.write()
    words = [*oci.command, *way.split(), *(["--bundle", str(oci.bundle.directory)] if "run" in way else []), oci.id]
    if way == "start":
        oci.make()
    with open(oci.bundle.directory / "output", "w") as output:
        command = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    assert wait_for(lambda: "mqueue" in oci.output())
    pid = oci.state()["pid"]
    says(pid, b"STATUS=nearly")
    assert command.poll() is None
    says(pid, b"STATUS=done\nREADY=1\nSTATUS=now")
    watched = command.pid if way == "run" else pid
    assert [manager.hears(), manager.hears()] == [
        ("READY=1\n", command.pid),
        (f"MAINPID={watched}\n", command.pid),
    ]
    if way == "run":
        oci("kill", oci.id, "KILL")
    else:
        assert manager.hears()[0] == "BARRIER=1"
    assert command.wait(20) == (137 if way == "run" else 0)
    assert oci.output().startswith("/run/notify/notify.sock\n")
    flags, _, _ = mount_line(oci.output(), "/run/notify")
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(flags)
    oci("delete", "--force", oci.id)
    assert os.listdir(oci.root) == []


def test_every_user_of_the_container_may_say_it(open_place: Path, manager: Manager) -> None:
    """Also in a user namespace, whose root has no way to the runtime's own directory."""
    oci = Runtime(open_place)
    oci.bundle.in_user_namespace()
    oci.process["user"] = {"uid": 1000, "gid": 1000}
    oci.runs("test -w $NOTIFY_SOCKET && echo mine")
    oci.make("--detach", command="run")
    assert wait_for(lambda: oci.output() == "mine\n")
    oci.clean_up()


def test_who_ends_without_a_word_is_not_waited_for(oci: Runtime, manager: Manager) -> None:
    oci.runs("exit 3")
    oci.make("--detach", command="run")
    assert oci.status() == "stopped"
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.hears()


def test_a_manager_that_is_gone_is_no_error(oci: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    oci.runs("exec sleep 1000")
    oci.make()
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    oci("start", oci.id)  # it was created without: there is nothing to listen at
    assert oci.status() == "running"
    oci("delete", "--force", oci.id)
    oci.write()
    words = [*oci.command, "run", "--detach", "--bundle", str(oci.bundle.directory), oci.id]
    command = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    notify = oci.root / oci.id / "notify/notify.sock"
    assert wait_for(lambda: notify.exists() and oci.status() == "running")
    says(oci.state()["pid"], b"READY=1")
    assert command.wait(20) == 0
    assert oci.status() == "running"


def test_a_start_can_be_said_again_where_it_was_killed(oci: Runtime, manager: Manager) -> None:
    """It has left its socket. Once the container runs, a start is refused as ever, and takes nobody's socket away."""
    oci.runs("exec sleep 1000")
    oci.make()
    left = oci.root / oci.id / "notify/notify.sock"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as killed,
        kept_open(os.open(left.parent, os.O_PATH)) as place,
    ):
        killed.bind(f"{by_number(place)}/{left.name}")
    command = subprocess.Popen([*oci.command, "start", oci.id], stdin=subprocess.DEVNULL)
    assert wait_for(lambda: oci.status() == "running")
    assert oci.refusal("start", oci.id) == "cannot start an already running container"
    says(oci.state()["pid"], b"READY=1")
    assert [manager.hears()[0] for _ in range(3)][::2] == ["READY=1\n", "BARRIER=1"]
    assert command.wait(20) == 0
    assert oci.refusal("start", oci.id) == "cannot start an already running container"
