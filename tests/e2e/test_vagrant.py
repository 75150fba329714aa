"""Our own box and a machine of it, by Vagrant and libvirt, as an ordinary user; and that nothing is left of it.

The tests follow one another: each finds the machine as the one before has left it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vagrantuser import User, ordinary_user, why_no_vagrant

from labkit.host.image import guestimage
from labkit.host.image.building.guestfiles import VAGRANT_INSECURE_KEY
from labkit.host.lab import paths

pytestmark = pytest.mark.thorough

LESSONS = sorted(readme.parent.name for readme in (paths.checkout() / "scenarios").glob("*/README.md"))

UP_LIMIT = 90.0
"""Seconds of `invoke up --provider libvirt` from the box, where nothing else runs: measured 45."""
BUSY = 4


@pytest.fixture(scope="module")
def user() -> Iterator[User]:
    """Who has labkit, and an image."""
    reason = why_no_vagrant(with_libvirt=True)
    if not reason and os.geteuid() != 0:
        reason = "only root can make an ordinary user for it"
    if reason:
        pytest.skip(reason)
    with ordinary_user() as one:
        one.take_labkit()
        one.take_image()
        yield one


def ok(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def state(user: User) -> dict[str, str]:
    (machine,) = json.loads(ok(user.invoke("status", "--machine", "default", "--json")))["machines"]
    return dict(machine)


def domains(user: User) -> list[str]:
    return ok(user.run("virsh", "--quiet", "--connect", "qemu:///session", "list", "--all", "--name")).split()


def test_our_box_is_made_with_its_checksum(user: User) -> None:
    path = Path(ok(user.invoke("box", "--provider", "libvirt")).strip())
    assert path.is_relative_to(user.cache)
    ok(user.run("sh", "-c", f"cd {path.parent} && sha256sum --check {path.name}.sha256"))


def test_a_damaged_box_is_refused(user: User) -> None:
    (path,) = (user.cache / "boxes").glob("*.box")
    with path.open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    done = user.invoke("up", "--provider", "libvirt")
    assert done.returncode == 7
    assert "is damaged: its SHA-256 is not the one in" in done.stderr
    assert state(user)["state"] == "absent"
    assert domains(user) == []
    ok(user.invoke("box"))


def test_a_session_that_does_not_start_is_said(user: User) -> None:
    done = user.invoke("up", "--provider", "libvirt", XDG_RUNTIME_DIR="/nonexistent")
    assert done.returncode == 7
    assert "error: libvirt's session does not start: " in done.stderr
    assert "hint: XDG_RUNTIME_DIR names /nonexistent" in done.stderr
    assert state(user)["state"] == "absent"


def test_ctrl_c_leaves_no_machine(user: User) -> None:
    command = user.command([user.python, "-m", "invoke", "up", "--provider", "libvirt"])
    process = subprocess.Popen(
        command, cwd=user.checkout, env=user.environment(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    until = time.monotonic() + 120
    while "qemu-system-x86" not in user.processes().values():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until, "no QEMU was started"
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert domains(user) == []
    until = time.monotonic() + 20  # libvirt forgets a domain a moment before its process has ended
    while "qemu-system-x86" in user.processes().values():
        assert time.monotonic() < until, "QEMU goes on"
        time.sleep(0.1)
    assert state(user)["state"] == "absent"


@pytest.fixture(scope="module")
def lab(user: User) -> User:
    """Whose machine is up. Where that fails it is said once, and the tests that need it are not begun."""
    started = time.monotonic()
    ok(user.invoke("up", "--provider", "libvirt", limit=UP_LIMIT * BUSY))
    print(f"invoke up --provider libvirt: {time.monotonic() - started:.0f} s")
    return user


def test_up_makes_the_machine(lab: User) -> None:
    found = state(lab)
    assert (found["provider"], found["state"]) == ("libvirt", "running")
    started = time.monotonic()
    ok(lab.invoke("up"))
    assert time.monotonic() - started < 10, "a machine that runs is left alone"


def test_it_listens_on_the_loopback_device_only(lab: User) -> None:
    assert lab.listening() == {"0100007F"}, "127.0.0.1, as proc_net(5) writes it"


def test_the_keys_are_the_machines_own(lab: User) -> None:
    """A box is anybody's: what is in it opens no machine."""
    script = "cat /home/vagrant/.ssh/authorized_keys /root/.ssh/authorized_keys /etc/ssh/ssh_host_ed25519_key.pub"
    found = ok(lab.invoke("ssh", "-c", script))
    assert VAGRANT_INSECURE_KEY.split()[1] not in found
    image = guestimage.ensure()
    assert image.host_key.split()[1] not in found
    public = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(image.client_key)], capture_output=True, text=True, check=True
    ).stdout
    assert public.split()[1] not in found
    assert found.count("ssh-") >= 3


def test_vagrants_own_user_may_become_root(lab: User) -> None:
    assert "(ALL) NOPASSWD: ALL" in ok(lab.invoke("ssh", "-c", "sudo -l -U vagrant"))


def test_another_provider_is_refused(lab: User) -> None:
    done = lab.invoke("up", "--provider", "qemu")
    assert done.returncode == 5
    assert "The machine “default” exists under the provider libvirt." in done.stderr


def test_redis_nat_by_its_provider(lab: User) -> None:
    assert "checks passed" in ok(lab.invoke("scenario", "redis-nat", "--provider", "libvirt"))


@pytest.mark.parametrize("lesson", [name for name in LESSONS if name not in ("redis-nat", "pid-1")])
def test_every_other_lesson_finds_the_provider_itself(lab: User, lesson: str) -> None:
    ok(lab.invoke("scenario", lesson))


def test_so_does_plain_pytest(lab: User) -> None:
    command = ["-m", "pytest", "-p", "no:cacheprovider", "-c", "scenarios/pytest.ini", "scenarios/pid-1"]
    output = ok(lab.run(lab.python, *command, "--machine", "default"))
    assert re.search(r"\d+ passed", output)


def test_reset_gives_back_a_fresh_machine(lab: User) -> None:
    ok(lab.invoke("ssh", "-c", "touch /root/mine; systemctl stop ssh.socket; rm -rf /opt/labkit/bin"))
    ok(lab.invoke("reset"))
    assert ok(lab.invoke("ssh", "-c", "ls /root/mine 2>/dev/null; labkit --version; date +%s")).startswith("labkit ")
    clock = int(ok(lab.invoke("ssh", "-c", "date +%s")))
    assert abs(clock - time.time()) < 30


def test_one_that_was_suspended_has_the_time_again(lab: User) -> None:
    (domain,) = domains(lab)
    virsh = ("virsh", "--quiet", "--connect", "qemu:///session")
    ok(lab.run(*virsh, "suspend", domain))
    time.sleep(3)
    ok(lab.run(*virsh, "resume", domain))
    done = lab.invoke("ssh", "-c", "date +%s")
    assert re.search(r"^The clock of the machine default was \d+ s behind: it is set\.$", done.stderr, re.MULTILINE)
    assert ok(done).strip().isdecimal(), "the notice is for a person"
    assert "The clock" not in lab.invoke("ssh", "-c", "true").stderr


def test_halt_and_up_again(lab: User) -> None:
    ok(lab.invoke("down"))
    assert state(lab)["state"] == "stopped"
    assert "qemu-system-x86" not in lab.processes().values()
    assert lab.invoke("ssh", "-c", "true").returncode == 5
    ok(lab.invoke("up"))
    assert "labkit " in ok(lab.invoke("ssh", "-c", "labkit --version"))


def test_a_machine_that_is_destroyed_behind_our_back(lab: User) -> None:
    (domain,) = domains(lab)
    virsh = ("virsh", "--quiet", "--connect", "qemu:///session")
    ok(lab.run(*virsh, "destroy", domain))
    ok(lab.run(*virsh, "undefine", domain, "--snapshots-metadata"))
    assert state(lab)["state"] == "broken"
    done = lab.invoke("ssh", "-c", "true")
    assert done.returncode == 5
    assert "something else than labkit destroyed it" in done.stderr
    assert "Traceback" not in done.stderr


def test_destroy_leaves_nothing(lab: User) -> None:
    ok(lab.invoke("destroy"))
    assert domains(lab) == []
    virsh = ("virsh", "--quiet", "--connect", "qemu:///session")
    assert ok(lab.run(*virsh, "pool-list", "--all", "--name")).split() == []
    assert list(lab.state.rglob("*.img")) == []
    assert list((lab.state / "machines").iterdir()) == []
    assert not (lab.state / "vagrant").exists()
    assert lab.listening() == set()
    assert set(lab.processes().values()) <= {"libvirtd", "virtlogd", "rpc-libvirtd"}, "daemons that end by themselves"
    assert state(lab)["state"] == "absent"
