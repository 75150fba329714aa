"""The qemu machine as far as it goes without a boot: what is asked of QEMU, what is recorded, what is noticed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import pytest
from standins import POSIX_ONLY, make_program

from labkit import log
from labkit.errors import ConfigError, InfrastructureError, MissingToolError, NotFoundError
from labkit.host.image import kernels
from labkit.host.image.guestimage import GuestImage
from labkit.host.image.kernels import Kernel
from labkit.host.lab import paths
from labkit.host.lab.config import MachineConfig
from labkit.host.machines import BACKENDS, open_machine, processes, qemucommand, qemurun
from labkit.host.machines.qemu import QemuMachine, _Wanted
from labkit.host.machines.qemucommand import Qemu
from labkit.host.machines.qemurun import Run

CONFIG = MachineConfig("default")
PLACE = Path("/a, b")
KERNEL = Kernel(PLACE, PLACE / "vmlinuz", PLACE / "initrd", PLACE / "modules.qcow2", "6.1", "e" * 64)
SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory that may be lost: these tests delete things."""
    directory = tmp_path_factory.mktemp("elsewhere")
    (directory / "precious").write_text("x", encoding="utf-8")
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def image(tmp_path: Path) -> GuestImage:
    names = ("disk.qcow2", "busybox", "client_key")
    return GuestImage(tmp_path, *[tmp_path / name for name in names], "ssh-ed25519 AAAA", "key", "d" * 64)


@pytest.fixture
def directory() -> Path:
    """The machine's directory, there and empty."""
    path = paths.machine_dir("default")
    path.mkdir(parents=True)
    return path


@pytest.fixture
def sleeper(directory: Path) -> Iterator[tuple[int, str]]:
    """Pid and identity of a process that stands in for QEMU."""
    pid = processes.start(SLEEPER, directory, directory / "out")
    identity = processes.identity(pid)
    assert identity
    yield pid, identity
    processes.end(pid, identity)


def a_run(directory: Path, pid: int = 0, identity: str = "", monitor: str = "") -> Run:
    return Run(
        pid=pid,
        identity=identity,
        ssh_port=1,
        monitor=monitor or str(directory / "monitor"),
        fingerprint="f",
        accelerator="tcg",
        kernel_release="6.1",
        image_key="k",
        client_key="c",
        host_key="h",
    )


def wanted(
    config: MachineConfig,
    image: GuestImage,
    kernel: Kernel = KERNEL,
    version: str = "7.2.22",
    accelerator: str = "tcg",
) -> _Wanted:
    qemu = Qemu("/usr/bin/qemu-system-x86_64", "/usr/bin/qemu-img", version)
    return _Wanted(config, image, kernel, qemu, accelerator)


# What is asked of QEMU.


@pytest.mark.parametrize(
    ("cgroup", "words"),
    [
        ("v2", "systemd.unified_cgroup_hierarchy=1"),
        ("v1", "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"),
        ("hybrid", "systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=0"),
    ],
)
def test_cgroup_and_iptables_are_chosen_at_boot(cgroup: str, words: str) -> None:
    line = kernels.command_line(replace(CONFIG, cgroup=cgroup, iptables="legacy"))
    assert words in line
    assert "labkit.iptables=legacy" in line.split()


def test_parameters_of_lab_yaml_are_the_kernels_last() -> None:
    plain = kernels.command_line(CONFIG)
    line = kernels.command_line(replace(CONFIG, options={"kernel-parameters": "cgroup_disable=memory quiet"}))
    assert line == f"{plain} cgroup_disable=memory quiet"


def test_the_network_is_on_loopback_and_closed() -> None:
    (argument,) = qemucommand.user_network(CONFIG, 2222)[1:]
    assert "hostfwd=tcp:127.0.0.1:2222-:22" in argument
    assert "restrict=on" in argument
    (argument,) = qemucommand.user_network(replace(CONFIG, options={"network": "open"}), 2222)[1:]
    assert "restrict=off" in argument


@pytest.mark.parametrize(("options", "message"), [({"netwrok": "open"}, "netwrok"), ({"network": "wide"}, "is “wide”")])
def test_options_are_checked_before_anything_is_done(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_machine(replace(CONFIG, options=options))
    assert not paths.state_dir().exists()


def test_the_modules_are_a_disk_that_nobody_writes() -> None:
    hardware = qemucommand.hardware(CONFIG, KERNEL, [])
    (drive,) = [word for word in hardware if "modules" in word and word.startswith("file=")]
    assert (
        drive == f"file={str(PLACE / 'modules.qcow2').replace(',', ',,')},if=none,id=modules,format=qcow2,readonly=on"
    )


def test_the_fingerprint_is_that_of_what_a_snapshot_depends_on(image: GuestImage) -> None:
    same = wanted(CONFIG, image).fingerprint
    assert wanted(replace(CONFIG), image).fingerprint == same
    others = [
        wanted(replace(CONFIG, memory_mib=512), image),
        wanted(replace(CONFIG, cpus=1), image),
        wanted(replace(CONFIG, cgroup="v1"), image),
        wanted(replace(CONFIG, iptables="legacy"), image),
        wanted(replace(CONFIG, options={"network": "open"}), image),
        wanted(CONFIG, replace(image, disk_digest="e" * 64)),
        wanted(CONFIG, image, replace(KERNEL, digest="f" * 64)),
        wanted(CONFIG, image, version="9.0.0"),
        wanted(CONFIG, image, accelerator="kvm"),
    ]
    assert len({same, *[other.fingerprint for other in others]}) == len(others) + 1


def test_an_unknown_provider() -> None:
    with pytest.raises(NotFoundError, match="provider"):
        open_machine(replace(CONFIG, provider="qmeu"))
    assert "qemu" in BACKENDS


@POSIX_ONLY
def test_qemu_is_found_and_asked_for_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(tmp_path, "qemu-system-x86_64", "echo 'QEMU emulator version 8.2.1 (somebody 1:8.2)'")
    make_program(tmp_path, "qemu-img", "exit 0")
    monkeypatch.setenv("LABKIT_QEMU", str(tmp_path))
    qemucommand.find.cache_clear()
    try:
        assert qemucommand.find() == Qemu(str(tmp_path / "qemu-system-x86_64"), str(tmp_path / "qemu-img"), "8.2.1")
    finally:
        qemucommand.find.cache_clear()


def test_no_qemu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PROGRAMFILES", str(tmp_path))
    monkeypatch.delenv("LABKIT_QEMU", raising=False)
    qemucommand.find.cache_clear()
    try:
        with pytest.raises(MissingToolError, match="is not installed") as caught:
            qemucommand.find()
    finally:
        qemucommand.find.cache_clear()
    assert "bootstrap.py" in caught.value.hint


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../other", "/"])
def test_a_name_that_is_no_directory_of_its_own(name: str) -> None:
    """`destroy` would delete it."""
    with pytest.raises(ConfigError, match="machine's name"):
        open_machine(replace(CONFIG, name=name))


# What is recorded.


def test_a_run_is_read_as_it_was_written(directory: Path) -> None:
    run = a_run(directory, pid=4711, identity="x")
    run.write(directory)
    assert qemurun.read(directory) == run
    assert run.mark_ready(directory).ready
    assert qemurun.read(directory) == replace(run, ready=True)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1, "unknown": 2}'])
def test_a_record_that_cannot_be_read_is_none(directory: Path, text: str) -> None:
    (directory / qemurun.RECORD).write_text(text, encoding="utf-8")
    assert qemurun.read(directory) is None
    assert QemuMachine(CONFIG).status().state == "stopped"


@pytest.fixture
def nothing_recursive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure of the tests below must not delete anything either."""
    monkeypatch.setattr(shutil, "rmtree", lambda path, **options: pytest.fail(f"would delete all of {path}"))


@pytest.mark.usefixtures("nothing_recursive")
@pytest.mark.parametrize("monitor", ["monitor", "./monitor", "monitor/monitor", "4444", "", "."])
def test_no_recorded_path_leads_to_the_deletion_of_anything_else(
    directory: Path, elsewhere: Path, monitor: str
) -> None:
    """A relative path in the record once made the whole working directory disappear."""
    (elsewhere / "monitor").mkdir()
    (elsewhere / "monitor" / "monitor").write_text("x", encoding="utf-8")
    qemurun.stop(replace(a_run(directory), monitor=monitor), directory)
    assert (elsewhere / "precious").exists()
    assert (elsewhere / "monitor" / "monitor").exists()


@pytest.mark.usefixtures("nothing_recursive")
def test_no_absolute_path_does_either(directory: Path, elsewhere: Path) -> None:
    (elsewhere / "labkit-monitor-x").mkdir()
    for place in (elsewhere, elsewhere / "labkit-monitor-x"):
        (place / "monitor").write_text("somebody else's", encoding="utf-8")
        qemurun.stop(a_run(directory, monitor=str(place / "monitor")), directory)
        assert (place / "monitor").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows' monitor listens on a port")
def test_a_deep_directory_gets_its_socket_elsewhere(tmp_path: Path) -> None:
    assert qemurun.monitor_place(Path("/short")) == "/short/monitor"
    deep = tmp_path / ("d" * 60) / ("d" * 60)
    deep.mkdir(parents=True)
    place = Path(qemurun.monitor_place(deep))
    try:
        assert len(os.fsencode(place)) <= qemurun.LONGEST_SOCKET_PATH
        assert place.parent.stat().st_mode & 0o077 == 0, "the monitor can do anything; nobody else may enter"
        place.touch()
        qemurun.stop(a_run(deep, monitor=str(place)), deep)
        assert not place.parent.exists()
    finally:
        if place.parent.exists():
            place.unlink(missing_ok=True)
            place.parent.rmdir()


def test_a_free_port_is_free() -> None:
    with socket.create_server(("127.0.0.1", qemurun.free_port())):
        pass


@pytest.mark.parametrize(
    ("console", "complaint"),
    [
        ("[    1.0] Run /init\n[    2.0] Kernel panic - not syncing: Attempted\n", "Kernel panic"),
        ("labkit initrd: cannot mount the root filesystem\n", "cannot mount the root"),
        ("[  OK  ] Started ssh.service\n", ""),
        ("", ""),
    ],
)
def test_the_console_may_say_that_waiting_is_in_vain(directory: Path, console: str, complaint: str) -> None:
    (directory / qemucommand.CONSOLE).write_text(console, encoding="utf-8")
    found = qemurun.console_complaint(directory)
    assert complaint in found
    assert bool(found) == bool(complaint)


# What is noticed.


def test_a_machine_that_never_was() -> None:
    machine = QemuMachine(CONFIG)
    assert machine.status().state == "absent"
    assert machine.console_log() is None
    machine.down()
    machine.destroy()
    with pytest.raises(InfrastructureError, match="not running") as caught:
        machine.connection()
    assert "invoke up" in caught.value.hint
    assert not paths.state_dir().exists(), "asking made a directory"


def test_a_qemu_that_is_gone(directory: Path) -> None:
    run = a_run(directory, pid=os.getpid(), identity="of a process of long ago")
    replace(run, ready=True).write(directory)
    status = QemuMachine(CONFIG).status()
    assert status.state == "stopped"
    assert "ended by itself" in status.detail
    QemuMachine(CONFIG).down()  # must not kill this very process, which has that pid now
    assert qemurun.read(directory) is None


def test_an_up_that_was_killed(directory: Path, sleeper: tuple[int, str]) -> None:
    a_run(directory, *sleeper).write(directory)
    machine = QemuMachine(CONFIG)
    assert machine.status().state == "broken"
    machine.destroy()
    assert not processes.is_alive(*sleeper)
    assert not directory.exists()


def test_a_machine_that_does_not_answer(directory: Path, sleeper: tuple[int, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    replace(a_run(directory, *sleeper), ssh_port=port, ready=True).write(directory)
    with pytest.raises(InfrastructureError, match="does not answer") as caught:
        QemuMachine(CONFIG).up()
    assert "invoke reset" in caught.value.hint
    assert processes.is_alive(*sleeper), "a participant may want to look at it"


@POSIX_ONLY
def test_qemus_own_words_when_it_does_not_start(
    tmp_path: Path, directory: Path, image: GuestImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(tmp_path, "qemu", "echo 'qemu: cannot allocate memory' >&2; exit 1")
    creates = make_program(tmp_path, "qemu-img", "exit 0")
    there = _Wanted(CONFIG, image, KERNEL, Qemu(str(program), str(creates), "7.2"), "tcg")
    monkeypatch.setattr(QemuMachine, "_wanted", lambda self: there)
    with pytest.raises(InfrastructureError, match="QEMU does not start: qemu: cannot allocate memory"):
        QemuMachine(CONFIG).up()
    assert qemurun.read(directory) is None
    assert QemuMachine(CONFIG).status().state == "stopped"


@POSIX_ONLY
def test_a_port_that_is_taken_meanwhile_is_tried_again(
    tmp_path: Path, directory: Path, image: GuestImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = tmp_path / "tried"
    complain = f'echo "$*" >> {tried}; echo "Could not set up host forwarding rule" >&2; exit 1'
    program = make_program(tmp_path, "qemu", complain)
    creates = make_program(tmp_path, "qemu-img", "exit 0")
    there = _Wanted(CONFIG, image, KERNEL, Qemu(str(program), str(creates), "7.2"), "tcg")
    monkeypatch.setattr(QemuMachine, "_wanted", lambda self: there)
    with pytest.raises(InfrastructureError, match="host forwarding rule"):
        QemuMachine(CONFIG).up()
    assert len(tried.read_text().splitlines()) == 3


def test_no_space_for_a_machine(directory: Path, image: GuestImage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.host.machines.qemu.SPACE_NEEDED", shutil.disk_usage("/").total * 1000)
    monkeypatch.setattr(QemuMachine, "_wanted", lambda self: wanted(CONFIG, image))
    with pytest.raises(InfrastructureError, match="MB are free"):
        QemuMachine(CONFIG).up()


def test_who_has_to_wait_says_so(directory: Path) -> None:
    (paths.state_dir() / "locks").mkdir()
    lock = filelock.FileLock(paths.state_dir() / "locks" / "default.lock")
    titles: list[Any] = []
    stop_listening = log.listen(lambda event: titles.append(event.get("title", "")))
    with lock:
        thread = threading.Thread(target=QemuMachine(CONFIG).destroy)
        thread.start()
        deadline = time.monotonic() + 10
        while not titles and time.monotonic() < deadline:
            time.sleep(0.02)
        assert directory.exists(), "it waits"
    thread.join(10)
    stop_listening()
    assert "Waiting for another labkit" in titles[0]
    assert not directory.exists()


def test_status_says_what_there_is(directory: Path) -> None:
    (directory / qemucommand.DISK).write_bytes(b"x" * 100_000)
    (directory / "snapshot.json").write_text(json.dumps({"fingerprint": "f", "made": 0}), encoding="utf-8")
    status = QemuMachine(replace(CONFIG, memory_mib=512)).status()
    assert status.state == "stopped"
    assert status.facts["snapshot"] == "yes"
    assert status.facts["memory_mib"] == 512
    size = status.facts["disk_bytes"]
    assert isinstance(size, int)
    assert size >= 100_000
