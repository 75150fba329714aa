"""The Vagrantfile, as Vagrant itself understands it: every provider's block, and the same machines as Python reads.

Each provider has to do with its own plugin alone, and all of them with none. VirtualBox's and Hyper-V's are parts of
Vagrant; VMware's and Parallels' were not to be had here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from vagrantuser import why_no_vagrant

from labkit.errors import MissingToolError
from labkit.host.image import kernels
from labkit.host.lab import config, paths
from labkit.host.machines import vagrantproviders
from labkit.host.machines.vagrantcommand import Vagrant

pytestmark = pytest.mark.thorough

SETTINGS = Path(__file__).with_name("vagrant_settings.rb")

LAB_RB = """
require "json"
require ARGV[0]
puts JSON.generate(Lab.machines.to_h { |m|
  [m.name, [m["cgroup"], m["iptables"], m.memory_mib, m["cpus"], m.own_box, m.stock_box, m.command_line]]
})
"""


@pytest.fixture(scope="module", autouse=True)
def why_no_libvirt() -> str:
    """Vagrant is here. Why libvirt is not, which is installed now or never; empty where it is."""
    reason = why_no_vagrant(with_libvirt=False)
    if reason:
        pytest.skip(reason)
    return why_no_vagrant(with_libvirt=True)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Vagrant's own places, all in a directory that goes away."""
    tmp_path = tmp_path_factory.mktemp("vagrant")
    return {
        **os.environ,
        "VAGRANT_CWD": str(paths.checkout()),
        "VAGRANT_HOME": str(tmp_path / "home"),
        "VAGRANT_DOTFILE_PATH": str(tmp_path / "dot"),
        "VAGRANT_CHECKPOINT_DISABLE": "1",
    }


@pytest.fixture(scope="module")
def no_plugin(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The same, and no plugin. Debian's Ruby would find vagrant-libvirt's files also where Vagrant does not."""
    shown = subprocess.run(["ruby", "-e", "puts Gem.path"], capture_output=True, text=True, check=True, timeout=60)
    path = []
    for place in map(Path, shown.stdout.split()):
        copy = tmp_path_factory.mktemp("gems")
        for one in place.glob("*/*"):
            if not one.name.startswith("vagrant-libvirt"):
                (copy / one.parent.name).mkdir(exist_ok=True)
                (copy / one.parent.name / one.name).symlink_to(one)
        path.append(str(copy))
    hidden = {"GEM_PATH": ":".join(path), "VAGRANT_NO_PLUGINS": "1", "VAGRANT_DISABLE_PLUGIN_INIT": "1"}
    return {**environment, **hidden}


def vagrant(environment: dict[str, str], *words: str) -> tuple[int, str]:
    """Its exit status, and all that it said."""
    done = subprocess.run(
        ["vagrant", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout


def settings(environment: dict[str, str]) -> dict[str, Any]:
    """What vagrant_settings.rb prints."""
    done = subprocess.run(
        ["ruby", str(SETTINGS)], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def understood(environment: dict[str, str]) -> dict[str, Any]:
    """Of the checkout's own Vagrantfile. Vagrant takes seconds to start."""
    return settings(environment)


def test_virtualbox_needs_nothing_of_libvirts(no_plugin: dict[str, str], tmp_path: Path) -> None:
    """A program in VirtualBox's place knows its version, which is all that Vagrant wants of it before `up`."""
    program = tmp_path / "VBoxManage"
    program.write_text("#!/bin/sh\necho 7.0.10r158379\n")
    program.chmod(0o755)
    status, said = vagrant({**no_plugin, "PATH": f"{tmp_path}:{no_plugin['PATH']}"}, "validate")
    assert (status, said.strip()) == (0, "Vagrantfile validated successfully.")


def test_without_any_provider_it_says_what_helps(no_plugin: dict[str, str]) -> None:
    if shutil.which("VBoxManage"):
        pytest.skip("VirtualBox is here")
    status, said = vagrant(no_plugin, "status")
    assert status == 1
    assert said.startswith("Vagrant finds no provider on this computer"), said
    assert "`python3 bootstrap.py --yes up`" in said


def test_a_provider_without_its_plugin_is_named(
    no_plugin: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vagrant says it in the words of vagrant/words.yml, which labkit recognises."""
    monkeypatch.setenv("LABKIT_STATE", str(tmp_path))
    for name in no_plugin.keys() - os.environ.keys():
        monkeypatch.setenv(name, no_plugin[name])
    with pytest.raises(MissingToolError, match="cannot be used here: Vagrant has no plugin for libvirt") as raised:
        Vagrant("default", "libvirt", tmp_path / "log").ask("up", "default", "--provider", "libvirt")
    assert vagrantproviders.HOW_TO_GET["libvirt"] in raised.value.hint


def test_every_block_has_only_settings_that_its_provider_knows(understood: dict[str, Any]) -> None:
    found = understood
    assert set(found) == set(config.load().machines)
    for machine in config.load().machines.values():
        blocks = found[machine.name]["providers"]
        assert {name: one["unknown"] for name, one in blocks.items()} == {name: [] for name in blocks}
        for name in ("virtualbox", "hyperv"):
            assert blocks[name]["checked"], f"Vagrant has no class for {name}"
        assert blocks["hyperv"]["memory"] == machine.memory_mib


def test_libvirts_block_does_where_its_plugin_is_there(why_no_libvirt: str, understood: dict[str, Any]) -> None:
    if why_no_libvirt:
        pytest.skip(why_no_libvirt)
    assert understood["default"]["providers"]["libvirt"] == {
        "checked": True,
        "unknown": [],
        "memory": config.load().machine("default").memory_mib,
    }


def test_a_setting_that_there_is_not_is_found(no_plugin: dict[str, str], tmp_path: Path) -> None:
    """Else the test above could not fail."""
    for name in ("Vagrantfile", "vagrant", "lab.yaml", "labkit"):
        (tmp_path / name).symlink_to(paths.checkout() / name)
    (tmp_path / "Vagrantfile").unlink()
    text = (paths.checkout() / "Vagrantfile").read_text(encoding="utf-8")
    (tmp_path / "Vagrantfile").write_text(text.replace("virtualbox.gui =", "virtualbox.gooey ="), encoding="utf-8")
    found = settings({**no_plugin, "VAGRANT_CWD": str(tmp_path)})
    assert "gooey" in str(found["default"]["providers"]["virtualbox"]["unknown"])


def test_nothing_is_open_to_others(understood: dict[str, Any]) -> None:
    for machine in understood.values():
        assert [port["host_ip"] for port in machine["ports"]] == ["127.0.0.1"] * len(machine["ports"])
        assert machine["folders"] == []


def test_the_script_comes_before_the_deploy(understood: dict[str, Any]) -> None:
    assert understood["aufs"]["provisioners"] == ["base-images", "packages", "code", "labkit"]
    assert understood["aufs"]["box"] == config.load().boxes["ubuntu-20.04"]


def test_ruby_and_python_read_the_same_of_lab_yaml() -> None:
    ruby = shutil.which("ruby")
    assert ruby, "Vagrant is here and Ruby is not"
    library = str(paths.checkout() / "vagrant" / "lab.rb")
    done = subprocess.run([ruby, "-e", LAB_RB, library], capture_output=True, text=True, check=True, timeout=60)
    lab = config.load()
    expected = {
        one.name: [
            one.cgroup,
            one.iptables,
            one.memory_mib,
            one.cpus,
            f"labkit-{one.kernel}",
            lab.boxes[one.box or "debian-12"],
            kernels.command_line(one),
        ]
        for one in lab.machines.values()
    }
    assert json.loads(done.stdout) == expected
