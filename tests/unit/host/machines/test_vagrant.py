"""The Vagrant back end as far as it goes without a machine: programs of our own in place of vagrant and virsh."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from sshserver import ShellServer
from standins import POSIX_ONLY, make_program

from labkit import log
from labkit.errors import ConfigError, ConflictError, InfrastructureError, MissingToolError, NotFoundError, UsageError
from labkit.host.checks.virtualisation import PLUGINS
from labkit.host.image.building import keys
from labkit.host.lab import config, paths, programs
from labkit.host.lab.config import MachineConfig
from labkit.host.machines import BACKENDS, open_machine, provider_of, vagrantaccess, vagrantcommand, vagrantproviders
from labkit.host.machines.qemu import QemuMachine
from labkit.host.machines.qemurun import free_port
from labkit.host.machines.vagrant import VagrantMachine
from labkit.host.machines.vagrantcommand import Vagrant
from labkit.host.machines.vagranthypervisor import hypervisor
from labkit.host.wire.ssh import Endpoint

LIBVIRT = MachineConfig("default", provider="libvirt")


@pytest.fixture
def only_bin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one directory in which programs are found, beside the shell's own."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setattr(programs, "find", lambda name: _in(directory, name))
    return directory


def _in(directory: Path, name: str) -> str | None:
    return str(directory / name) if (directory / name).exists() else None


@pytest.fixture
def vagrant(tmp_path: Path, only_bin: Path) -> Vagrant:
    return Vagrant("default", "libvirt", tmp_path / "vagrant.log", {"ssh_port": 2222})


def made(name: str = "default", provider: str = "libvirt", record: bool = True) -> Path:
    """The directory of a machine that is complete, or not quite."""
    directory = paths.machine_dir(name)
    directory.mkdir(parents=True)
    (directory / "provider").write_text(f"{provider}\n")
    if record:
        known = {"host": "127.0.0.1", "port": 1, "host_key": "k", "fingerprint": "f", "box": "labkit-6.1 1", "told": {}}
        (directory / "vagrant.json").write_text(json.dumps(known))
    return directory


# Which back end


def test_every_provider_of_lab_yaml_has_a_back_end() -> None:
    assert set(BACKENDS) == set(config.PROVIDERS)


def test_the_provider_is_lab_yamls_or_the_one_that_is_asked_for() -> None:
    assert isinstance(open_machine(MachineConfig("default")), QemuMachine)
    asked = open_machine(MachineConfig("default"), "virtualbox")
    assert isinstance(asked, VagrantMachine)
    assert asked.provider == "virtualbox"
    assert provider_of("default") is None, "to open is not to make"


def test_a_machine_keeps_its_provider_until_it_is_destroyed() -> None:
    made()
    assert open_machine(MachineConfig("default")).provider == "libvirt"
    assert open_machine(MachineConfig("default"), "libvirt").provider == "libvirt"
    with pytest.raises(ConflictError, match="exists under the provider libvirt") as raised:
        open_machine(MachineConfig("default"), "qemu")
    assert "`invoke destroy`" in raised.value.hint


def test_a_qemu_machine_is_known_by_its_directory() -> None:
    paths.machine_dir("second").mkdir(parents=True)
    with pytest.raises(ConflictError, match="“second” exists under the provider qemu"):
        open_machine(MachineConfig("second"), "libvirt")


def test_a_provider_that_there_is_not() -> None:
    with pytest.raises(NotFoundError, match="no provider called “libvrt”") as raised:
        open_machine(MachineConfig("default"), "libvrt")
    assert "Did you mean libvirt?" in raised.value.hint


def test_a_box_is_nothing_for_qemu() -> None:
    aufs = config.load().machine("aufs")
    assert isinstance(open_machine(aufs), VagrantMachine)
    with pytest.raises(UsageError, match=r"starts from the box ubuntu-20\.04, which the provider qemu cannot"):
        open_machine(aufs, "qemu")


def test_another_providers_options_do_not_count() -> None:
    open_machine(MachineConfig("default", options={"network": "open"}), "libvirt")
    with pytest.raises(ConfigError, match="has the option “bridge”, which the provider libvirt does not know"):
        open_machine(MachineConfig("default", provider="libvirt", options={"bridge": "x"}))
    with pytest.raises(ConfigError, match="The option insert_key of the machine default is “maybe”"):
        open_machine(MachineConfig("default", provider="libvirt", options={"insert_key": "maybe"}))


# What this computer has


@POSIX_ONLY
def test_a_provider_that_is_missing_is_said_with_those_that_are_not(only_bin: Path) -> None:
    with pytest.raises(MissingToolError, match="virtualbox cannot be used here: Vagrant is not installed") as raised:
        vagrantproviders.require("virtualbox")
    assert "developer.hashicorp.com" in raised.value.hint
    make_program(only_bin, "vagrant", "")
    make_program(only_bin, "virsh", "")
    with pytest.raises(MissingToolError, match="virtualbox cannot be used here: VBoxManage is not installed") as raised:
        vagrantproviders.require("virtualbox")
    assert "libvirt" in raised.value.hint.split("What can be used here: ")[1]
    vagrantproviders.require("libvirt")


@POSIX_ONLY
def test_up_without_vagrant_makes_nothing(only_bin: Path) -> None:
    with pytest.raises(MissingToolError, match="Vagrant is not installed"):
        open_machine(LIBVIRT).up()
    assert not paths.machine_dir("default").exists()


# vagrant, the program


@POSIX_ONLY
def test_vagrant_is_told_what_it_cannot_know(vagrant: Vagrant, only_bin: Path) -> None:
    make_program(only_bin, "vagrant", 'echo "$VAGRANT_CWD|$VAGRANT_DOTFILE_PATH|$LABKIT_VAGRANT|$*"')
    checkout, dotfile, told, words = vagrant.ask("status", "default").strip().split("|")
    assert Path(checkout) == paths.checkout()
    assert Path(dotfile).parent.parent == paths.state_dir()
    assert json.loads(told) == {"machine": "default", "ssh_port": 2222}
    assert words == "status default"


@POSIX_ONLY
def test_progress_is_what_vagrant_announces(vagrant: Vagrant, only_bin: Path) -> None:
    script = "printf '==> default: Starting domain.\\n    default: SSH\\r  1%%\\r==> default: Booted\\n'"
    make_program(only_bin, "vagrant", script)
    notes: list[str] = []
    stop = log.listen(lambda event: notes.append(event["text"]) if event["event"] == "step-note" else None)
    try:
        vagrant.do("Making it", "up")
    finally:
        stop()
    assert notes == ["Starting domain.", "Booted"]
    assert "$ vagrant up\n==> default: Starting domain." in vagrant.log_file.read_text()


@POSIX_ONLY
def test_a_failure_has_vagrants_last_words(vagrant: Vagrant, only_bin: Path) -> None:
    make_program(only_bin, "vagrant", "for i in 1 2 3; do echo line $i; done; echo it broke >&2; exit 1")
    with pytest.raises(InfrastructureError, match="`vagrant up default` failed for the machine default") as raised:
        vagrant.do("Making it", "up", "default")
    assert "line 3\nit broke" in raised.value.hint
    assert str(vagrant.log_file) in raised.value.hint


@POSIX_ONLY
@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        (
            "Vagrant has no plugin for the provider 'libvirt', which the machine 'default' is to have.",
            MissingToolError,
            "Vagrant has no plugin for libvirt",
        ),
        ("The checksum of the downloaded box did not match the expected value.", InfrastructureError, "checksum"),
    ],
)
def test_failures_that_have_a_sentence_of_their_own(
    vagrant: Vagrant, only_bin: Path, said: str, kind: type[Exception], message: str
) -> None:
    make_program(only_bin, "vagrant", f'echo "{said}" >&2; exit 1')
    with pytest.raises(kind, match=message):
        vagrant.do("Making it", "up", "default")


def test_vagrants_words_name_every_provider_and_its_plugin() -> None:
    """vagrant/words.yml, which Vagrant says in place of its own; the recognised sentence above is among them."""
    text = (paths.checkout() / "vagrant" / "words.yml").read_text(encoding="utf-8")
    words = yaml.safe_load(text)["en"]["vagrant"]["errors"]
    for provider in config.VAGRANT_PROVIDERS:
        assert re.search(rf"^  {provider} ", words["no_default_provider"], re.MULTILINE)
    for plugin in PLUGINS.values():
        assert f"`vagrant plugin install {plugin}`" in words["no_default_provider"]
        assert plugin in words["provider_not_found"]
    for key in ("provider_not_found", "provider_not_found_suggestion"):
        assert words[key].startswith("Vagrant has no plugin for the provider '%{provider}', which")


@POSIX_ONLY
def test_ctrl_c_reaches_vagrant_once_and_is_waited_for(vagrant: Vagrant, only_bin: Path, tmp_path: Path) -> None:
    """A second one would make it drop everything."""
    heard = tmp_path / "heard"
    make_program(
        only_bin,
        "vagrant",
        f"trap 'echo int >> {heard}; sleep 0.3; exit 1' INT; echo '==> d: on'; while :; do sleep 0.1; done",
    )

    def interrupt() -> None:
        while not vagrant.log_file.exists() or "on" not in vagrant.log_file.read_text():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        vagrant.do("Making it", "up")
    assert heard.read_text() == "int\n"


# virsh


@POSIX_ONLY
@pytest.mark.parametrize(
    ("script", "state"),
    [
        ("echo running", "running"),
        ("echo 'shut off'", "stopped"),
        ("echo paused", "paused"),
        ("echo \"error: failed to get domain 'x'\" >&2; exit 1", "absent"),
    ],
)
def test_states_of_libvirt(only_bin: Path, script: str, state: str) -> None:
    make_program(only_bin, "virsh", script)
    assert hypervisor(Vagrant("x", "libvirt", Path("log"))).state() == state


@POSIX_ONLY
def test_a_session_that_does_not_start(only_bin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_program(
        only_bin,
        "virsh",
        "echo 'error: failed to connect to the hypervisor\nerror: Cannot create user runtime directory' >&2; exit 1",
    )
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
    with pytest.raises(InfrastructureError, match="session does not start: Cannot create user runtime") as raised:
        hypervisor(Vagrant("x", "libvirt", Path("log"))).check()
    assert "XDG_RUNTIME_DIR names /nonexistent" in raised.value.hint
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with pytest.raises(InfrastructureError) as raised:
        hypervisor(Vagrant("x", "libvirt", Path("log"))).check()
    assert "virsh --connect qemu:///session uri" in raised.value.hint


# The machine


@POSIX_ONLY
def test_status_says_what_happened(only_bin: Path) -> None:
    make_program(only_bin, "virsh", "echo running")
    machine = open_machine(LIBVIRT)
    assert machine.status().state == "absent"
    made(record=False)
    assert machine.status().state == "broken"
    assert "was interrupted" in machine.status().detail
    (paths.machine_dir("default") / "provider").unlink()
    paths.machine_dir("default").rmdir()
    made()
    assert machine.status().state == "running"
    assert machine.status().facts["box"] == "labkit-6.1 1"


@POSIX_ONLY
def test_a_machine_that_was_destroyed_behind_our_back(only_bin: Path) -> None:
    make_program(only_bin, "virsh", "echo \"error: failed to get domain 'x'\" >&2; exit 1")
    made()
    status = open_machine(LIBVIRT).status()
    assert status.state == "broken"
    assert status.detail == "something else than labkit destroyed it: `invoke up` makes it anew"
    with pytest.raises(InfrastructureError, match="is not running: something else than labkit destroyed it"):
        open_machine(LIBVIRT).connection()


@POSIX_ONLY
def test_destroy_of_one_of_two_leaves_the_others_disks(only_bin: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    make_program(
        only_bin,
        "virsh",
        f'echo "$*" >> {calls}\ncase "$*" in *domstate*) echo "failed to get domain" >&2; exit 1;; esac',
    )
    made("default")
    made("second")
    (vagrantcommand.directory() / "pool").mkdir(parents=True)
    open_machine(MachineConfig("default")).destroy()
    assert (vagrantcommand.directory() / "pool").exists()
    assert "pool-list --all" not in calls.read_text()
    open_machine(MachineConfig("second")).destroy()
    assert not vagrantcommand.directory().exists()
    assert "pool-list --all" in calls.read_text()
    assert list(paths.machine_dir("x").parent.iterdir()) == []


def test_a_machines_name_stays_in_its_place() -> None:
    with pytest.raises(ConfigError, match="cannot be a machine's name"):
        VagrantMachine(MachineConfig("..", provider="libvirt"))


# The way in


SSH_CONFIG = """\
Host default
  HostName 127.0.0.1
  User vagrant
  Port 2222
  UserKnownHostsFile /dev/null
  StrictHostKeyChecking no
  IdentityFile "/home/an user/.vagrant.d/insecure_private_key"
  IdentityFile /tmp/other
  IdentitiesOnly yes

"""


def test_vagrants_ssh_config_is_read() -> None:
    login = vagrantaccess.parse(SSH_CONFIG)
    assert (login.host, login.port, login.user) == ("127.0.0.1", 2222, "vagrant")
    keys = ["/home/an user/.vagrant.d/insecure_private_key", "/tmp/other"]
    assert login.connect_kwargs["key_filename"] == keys


@pytest.mark.parametrize("text", ["", "Host x\n", "HostName a\nPort many\nUser u\n", "'"])
def test_what_is_no_ssh_config(text: str) -> None:
    with pytest.raises(InfrastructureError, match="something else than how to log in"):
        vagrantaccess.parse(text)


@POSIX_ONLY
def test_vagrants_own_login_makes_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    make_program(tmp_path, "sudo", 'echo "$1 $2 $3" >&2; test ! -e "$0.refuses" && echo ssh-ed25519 AAAA root@x')
    keys.write_private(tmp_path / "vagrants", keys.generate().private)
    with ShellServer() as server:
        host, port = server._socket.getsockname()
        config = f"Host default\nHostName {host}\nPort {port}\nUser vagrant\nIdentityFile {tmp_path}/vagrants\n"
        login = vagrantaccess.parse(config)
        endpoint = vagrantaccess.let_root_in(login, tmp_path)
        assert endpoint == Endpoint(host, port, tmp_path / "client_key", "ssh-ed25519 AAAA")
        assert "authorized_keys" in server.commands[0]
        (tmp_path / "sudo.refuses").touch()
        with pytest.raises(InfrastructureError, match="vagrant of the machine cannot become root by sudo: -n sh -c"):
            vagrantaccess.let_root_in(login, tmp_path)
    with pytest.raises(InfrastructureError, match=r"Vagrant's own login \(vagrant\) does not work"):
        vagrantaccess.let_root_in(vagrantaccess.parse(config.replace(f"{port}", f"{free_port()}")), tmp_path)


def test_root_is_let_in_once(tmp_path: Path) -> None:
    """The script that is run by sudo, run here as nobody special on a home of its own."""
    if sys.platform == "win32":
        pytest.skip("a shell script of the machine")
    (tmp_path / "host.pub").write_text("ssh-ed25519 AAAA root@x\n")
    script = vagrantaccess._LET_ROOT_IN.format(key="'ssh-ed25519 BBBB labkit'")
    script = script.replace("/root/", f"{tmp_path}/").replace(
        "/etc/ssh/ssh_host_ed25519_key.pub", f"{tmp_path}/host.pub"
    )
    for _ in range(2):
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "ssh-ed25519 AAAA root@x\n"
    keys = tmp_path / ".ssh" / "authorized_keys"
    assert keys.read_text() == "ssh-ed25519 BBBB labkit\n"
    assert keys.stat().st_mode & 0o777 == 0o600
