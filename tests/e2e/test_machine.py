"""The qemu machine, for real: up, reset, down, destroy, two at once, killed, interrupted; and nothing is left behind.

The image is the one in the user's cache (built if it is not there); the machines have a state directory of their own.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labkit import log
from labkit.errors import ConfigError, InfrastructureError
from labkit.host.image import guestimage, kernels
from labkit.host.lab import config
from labkit.host.machines import open_machine, qemurun, qmp
from labkit.host.machines.base import Machine
from labkit.host.wire.ssh import Endpoint, connect

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for left processes in /proc")

CHECKOUT = Path(__file__).parents[2]
DO = """
import sys
from labkit import log
from labkit.host import machines
from labkit.host.lab import config
log.listen_as_environment_says()
for machine in [machines.open_machine(config.load().machine(sys.argv[1]))]:
    for verb in sys.argv[2:]:
        getattr(machine, verb)()
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A state directory of this module's own."""
    directory = tmp_path_factory.mktemp("state")
    before = os.environ.get("LABKIT_STATE")
    os.environ["LABKIT_STATE"] = str(directory)
    try:
        yield directory
    finally:
        for name in ("default", "second"):
            new_machine(name).destroy()
        if before is None:
            del os.environ["LABKIT_STATE"]
        else:
            os.environ["LABKIT_STATE"] = before


def new_machine(name: str = "default") -> Machine:
    """As a new command sees it: with nothing remembered."""
    return open_machine(config.load().machine(name))


@pytest.fixture
def machine(state: Path) -> Iterator[Machine]:
    """The default machine, up."""
    it = new_machine()
    it.up()
    yield it
    with contextlib.suppress(InfrastructureError):
        it.connection().close()


def run(machine: Machine, command: str) -> str:
    return str(machine.connection().run(command, hide=True, in_stream=False).stdout)


def qemus(state: Path) -> list[int]:
    """Processes of QEMU that work in a machine's directory below ``state``."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").resolve().is_relative_to(state) and "qemu" in (entry / "comm").read_text():
                found.append(int(entry.name))
    return found


def start_verb(*verbs: str, name: str = "default") -> subprocess.Popen[bytes]:
    """A command of its own, as `invoke` would start it."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.Popen([sys.executable, "-c", DO, name, *verbs], env=environment, stderr=subprocess.PIPE)


def wait_for(condition: object, seconds: float, what: str) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.05)


def test_up_gives_a_deployed_machine(machine: Machine, state: Path) -> None:
    status = machine.status()
    assert status.state == "running"
    assert qemus(state) == [status.facts["pid"]]
    assert status.facts["snapshot"] == "yes"
    assert run(machine, "labkit --version").startswith("labkit ")
    assert re.search(r"busybox .*\n?redis|redis .*\n?busybox", run(machine, "labkit images").replace("\n", " "))
    assert run(machine, "uname -r").strip() == status.facts["kernel"]


def test_the_guest_is_what_lab_yaml_says(machine: Machine) -> None:
    assert "cgroup2fs" in run(machine, "stat -f -c %T /sys/fs/cgroup")
    assert "(nf_tables)" in run(machine, "iptables -V")
    assert run(machine, "systemctl list-units --failed --no-legend").strip() == ""
    program = (
        r"#include <stdio.h>\n#include <unistd.h>\nint main(void) { puts(fork() < 0 ? \"no\" : \"forked\"); return 0; }"
    )
    assert "forked" in run(machine, f"cd /tmp && printf '{program}' > f.c && cc -Wall f.c -o f && ./f")
    for module in ("overlay", "veth", "bridge", "nf_tables", "ip_tables", "dm_thin_pool"):
        run(machine, f"modprobe {module}")
    assert run(machine, "systemctl is-enabled redis-server || true").strip() == "disabled"


def test_up_again_is_a_no_op(machine: Machine, state: Path) -> None:
    before, boot = qemus(state), run(machine, "cat /proc/sys/kernel/random/boot_id")
    again = new_machine()
    again.up()
    assert qemus(state) == before
    assert run(again, "cat /proc/sys/kernel/random/boot_id") == boot
    again.connection().close()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What the user is told of clocks."""
    texts: list[str] = []
    stop = log.listen(lambda event: texts.append(event["text"]) if event["event"] == "notice" else None)
    yield texts
    stop()


def seconds_behind(machine: Machine) -> float:
    """At least; a busy machine takes long to answer."""
    before = time.time()
    clock = float(run(machine, "echo $EPOCHREALTIME"))
    return before - clock


def test_a_machine_that_slept_has_the_time_again(machine: Machine, state: Path, told: list[str]) -> None:
    """Stopped by QEMU, as by libvirt's suspend. After SIGSTOP a guest may catch up: with hpet it does, with tsc not."""
    known = qemurun.read(state / "machines" / "default")
    assert known is not None
    qmp.execute(known.monitor_address, "stop")
    time.sleep(4)
    qmp.execute(known.monitor_address, "cont")
    next_task = new_machine()
    assert seconds_behind(next_task) < 1
    (text,) = told
    assert re.fullmatch(r"The clock of the machine default was \d+ s behind: it is set\.", text)
    next_task.connection().close()


def test_so_it_has_after_up_where_it_runs(machine: Machine, told: list[str]) -> None:
    run(machine, "date --set='-1 hour'")
    next_task = new_machine()
    next_task.up()
    assert told == ["The clock of the machine default was 60 minutes behind: it is set."]
    assert seconds_behind(machine) < 1
    next_task.connection().close()


def test_reset_brings_back_files_processes_and_the_time(machine: Machine, state: Path) -> None:
    run(
        machine,
        "touch /root/spoiled; rm -rf /usr/share/labkit; nohup sleep 1000 >/dev/null 2>&1 & date --set=2001-01-01",
    )
    before = qemus(state)
    started = time.monotonic()
    machine.reset()
    seconds = time.monotonic() - started
    assert "spoiled" not in run(machine, "ls /root; ls /usr/share/labkit/images")
    assert run(machine, "pgrep -x sleep || true") == ""
    assert abs(float(run(machine, "date +%s.%N")) - time.time()) < 3
    assert qemus(state) == before, "a reset needs no new QEMU"
    assert seconds < 10, "3 s is the aim on an idle computer, this one may be busy"


@pytest.mark.thorough
def test_reset_of_a_guest_that_hangs(machine: Machine, state: Path) -> None:
    """The kernel panics and stands still."""
    transport = machine.connection().transport
    assert transport is not None
    transport.open_session().exec_command("echo 1 > /proc/sys/kernel/sysrq; echo c > /proc/sysrq-trigger")
    time.sleep(2)
    with pytest.raises(InfrastructureError, match="does not answer"):
        new_machine().up()
    fresh = new_machine()
    fresh.reset()
    assert run(fresh, "echo alive").strip() == "alive"
    fresh.connection().close()


@pytest.mark.thorough
def test_a_guest_that_is_cut_off_and_boots_again_has_its_containers_back(machine: Machine, state: Path) -> None:
    """The kernel restarts at once, without a word to anybody: what was written 5 seconds ago is on the disk (ext4)."""
    run(machine, "labkit run -d --restart always -p 8099:80 --name back busybox httpd -f -p 80 -h /etc")
    run(machine, "labkit run -d --name gone redis && labkit create --name asleep busybox true && sync")
    boot = run(machine, "cat /proc/sys/kernel/random/boot_id")
    transport = machine.connection().transport
    assert transport is not None
    transport.open_session().exec_command("echo 1 > /proc/sys/kernel/sysrq; echo b > /proc/sysrq-trigger")
    machine.connection().close()

    def is_back() -> bool:
        with contextlib.suppress(InfrastructureError, OSError, EOFError):
            return run(new_machine(), "cat /proc/sys/kernel/random/boot_id") != boot
        return False

    wait_for(is_back, 300, "the second boot")
    fresh = new_machine()
    try:
        run(fresh, "labkit gc")
        listed = run(fresh, "labkit ps -a")
        assert re.search(r"Up .* back$", listed, re.MULTILINE), listed
        assert re.search(r"Exited \(137\).* gone$", listed, re.MULTILINE), listed
        assert re.search(r"Created .* asleep$", listed, re.MULTILINE), listed
        assert "localhost" in run(fresh, "busybox wget -qO- http://127.0.0.1:8099/hosts")
        run(fresh, "labkit rm -f back gone asleep")
        assert run(
            fresh, "ip netns list; ls /run/labkit/leases /run/labkit/journals; ip -br link show type veth"
        ).split() == [
            "/run/labkit/journals:",
            "/run/labkit/leases:",
        ]
    finally:
        fresh.connection().close()
        fresh.reset()


def test_down_and_up_from_the_snapshot(machine: Machine, state: Path) -> None:
    run(machine, "touch /root/spoiled")
    machine.down()
    assert qemus(state) == []
    assert machine.status().state == "stopped"
    with pytest.raises(InfrastructureError, match="not running"):
        machine.connection()
    started = time.monotonic()
    machine.up()
    assert time.monotonic() - started < 12, "3 s is the aim on an idle computer, this one may be busy"
    assert "spoiled" not in run(machine, "ls /root")


def test_killed_qemu_is_noticed(machine: Machine, state: Path) -> None:
    (pid,) = qemus(state)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not qemus(state), 5, "the end of QEMU")
    with pytest.raises(InfrastructureError):
        run(new_machine(), "true")
    status = new_machine().status()
    assert status.state == "stopped"
    assert "ended by itself" in status.detail
    fresh = new_machine()
    fresh.up()
    assert run(fresh, "echo alive").strip() == "alive"
    assert len(qemus(state)) == 1
    fresh.connection().close()


def test_host_key_is_pinned(machine: Machine, state: Path) -> None:
    known = qemurun.read(state / "machines" / "default")
    assert known is not None
    other_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBKlIYwBJ9wkPkHSvgGMUbMrxdjgMHFyLHFLDbM0ZAnT"
    wrong = Endpoint("127.0.0.1", known.ssh_port, Path(known.client_key), other_key)
    with pytest.raises(InfrastructureError, match="does not match"):
        connect(wrong)


def test_nothing_of_the_host_listens_beyond_loopback(machine: Machine, state: Path) -> None:
    """/proc/net/tcp: the local address in hexadecimal, and the inode of the socket."""
    (pid,) = qemus(state)
    descriptors = Path(f"/proc/{pid}/fd").iterdir()
    inodes = {match.group(1) for fd in descriptors if (match := re.match(r"socket:\[(\d+)\]", os.readlink(fd)))}
    lines = Path("/proc/net/tcp").read_text().splitlines() + Path("/proc/net/tcp6").read_text().splitlines()
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A" and line.split()[9] in inodes]
    assert listening, "the forwarded port is missing"
    assert all(address.startswith("0100007F:") for address in listening)


@pytest.mark.thorough
def test_two_ups_at_once(machine: Machine, state: Path) -> None:
    machine.destroy()
    commands = [start_verb("up"), start_verb("up")]
    assert [command.wait(200) for command in commands] == [0, 0], [c.stderr.read() for c in commands if c.stderr]
    assert len(qemus(state)) == 1
    assert run(new_machine(), "echo alive").strip() == "alive"


@pytest.mark.thorough
def test_two_machines_at_once(machine: Machine, state: Path) -> None:
    second = new_machine("second")
    second.up()
    assert len(qemus(state)) == 2
    assert "(legacy)" in run(second, "iptables -V")
    assert "tmpfs" in run(second, "stat -f -c %T /sys/fs/cgroup"), "this is cgroup v1's"
    assert "unified" not in run(second, "ls /sys/fs/cgroup")
    assert run(machine, "iptables -V") != run(second, "iptables -V")
    second.connection().close()
    second.destroy()
    assert len(qemus(state)) == 1
    assert not (state / "machines" / "second").exists()


@pytest.mark.thorough
def test_a_mode_that_the_kernel_cannot_give_is_said(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd takes the last word on the command line, and here that is another one than lab.yaml's cgroup."""
    lab = tmp_path / "lab.yaml"
    text = (CHECKOUT / "lab.yaml").read_text(encoding="utf-8")
    option = "  second:\n    options: {kernel-parameters: systemd.unified_cgroup_hierarchy=1}\n"
    lab.write_text(text.replace("  second:\n", option), encoding="utf-8")
    monkeypatch.setenv("LABKIT_LAB", str(lab))
    with pytest.raises(
        ConfigError, match=r"The machine second shall have cgroup v1, and with the kernel .* it gets v2"
    ):
        new_machine("second").up()
    assert len(qemus(state)) <= 1
    assert new_machine("second").status().state == "stopped"
    new_machine("second").destroy()


@pytest.mark.thorough
def test_interrupted_up(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C leaves no process; a killed ``up`` may, and the next one ends it. Any can be repeated."""
    new_machine().destroy()
    for step, number in (
        ("Booting the machine", signal.SIGINT),
        ("Deploying labkit", signal.SIGKILL),
        ("Booting the machine", signal.SIGTERM),
        ("Saving the snapshot", signal.SIGINT),
    ):
        events = tmp_path / f"{step}-{number}.jsonl"
        monkeypatch.setenv("LABKIT_LOG", str(events))
        command = start_verb("up")
        announced = f'"title": "{step}'
        wait_for(lambda: events.exists() and announced in events.read_text(), 120, step)  # noqa: B023 - called here only
        wait_for(lambda: qemus(state), 30, "QEMU")
        command.send_signal(number)
        command.wait(30)
        if number == signal.SIGINT:
            assert qemus(state) == []
            assert new_machine().status().state in ("stopped", "absent")
        else:
            assert new_machine().status().state == "broken"
    machine = new_machine()
    machine.up()
    assert len(qemus(state)) == 1
    assert run(machine, "echo alive").strip() == "alive"
    machine.connection().close()


@pytest.mark.thorough
def test_corrupt_snapshot_means_a_boot(machine: Machine, state: Path) -> None:
    """The record says that there is a snapshot, the disk has none."""
    machine.down()
    disk = state / "machines" / "default" / "disk.qcow2"
    subprocess.run(["qemu-img", "snapshot", "-d", "labkit", str(disk)], check=True)
    machine.up()
    assert run(machine, "echo alive").strip() == "alive"
    machine.reset()
    assert run(machine, "echo alive").strip() == "alive"


def test_size_of_image_and_machine(machine: Machine) -> None:
    image = guestimage.ensure()
    kernel = kernels.ensure(config.load().kernel("6.1"), image)
    on_disk = sum(path.stat().st_blocks * 512 for path in [*image.directory.iterdir(), *kernel.directory.iterdir()])
    of_machine = machine.status().facts["disk_bytes"]
    assert isinstance(of_machine, int)
    assert on_disk + of_machine < 900_000_000


def test_destroy_leaves_nothing(machine: Machine, state: Path) -> None:
    machine.destroy()
    assert qemus(state) == []
    assert list((state / "machines").iterdir()) == []
    assert machine.status().state == "absent"
    machine.destroy()  # again: nothing to do
