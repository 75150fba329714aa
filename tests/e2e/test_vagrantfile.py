"""The Vagrantfile, as Vagrant itself understands it: every provider's block, and the same machines as Python reads."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from vagrantuser import why_no_vagrant

from labkit.host import config, paths
from labkit.host.machines import qemuprogram

SETTINGS = Path(__file__).with_name("vagrant_settings.rb")

LAB_RB = """
require "json"
require ARGV[0]
puts JSON.generate(Lab.machines.to_h { |m|
  [m.name, [m["cgroup"], m["iptables"], m.memory_mib, m["cpus"], m.own_box, m.stock_box, m.command_line]]
})
"""


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    reason = why_no_vagrant()
    if reason:
        pytest.skip(reason)


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


def test_vagrant_finds_it_valid(environment: dict[str, str]) -> None:
    command = ["vagrant", "validate", "--ignore-provider"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_block_has_only_settings_that_its_provider_knows(understood: dict[str, Any]) -> None:
    found = understood
    assert set(found) == set(config.load().machines)
    for machine in config.load().machines.values():
        providers = found[machine.name]["providers"]
        assert {name: one["unknown"] for name, one in providers.items()} == {name: [] for name in providers}
        for name in ("libvirt", "virtualbox", "hyperv"):  # the other two's plugins are not to be had here
            assert providers[name]["checked"], f"Vagrant has no class for {name}"
        assert providers["libvirt"]["memory"] == machine.memory_mib
        assert providers["hyperv"]["memory"] == machine.memory_mib


def test_a_setting_that_there_is_not_is_found(environment: dict[str, str], tmp_path: Path) -> None:
    """Else the test above could not fail."""
    for name in ("Vagrantfile", "vagrant", "lab.yaml", "labkit"):
        (tmp_path / name).symlink_to(paths.checkout() / name)
    (tmp_path / "Vagrantfile").unlink()
    text = (paths.checkout() / "Vagrantfile").read_text(encoding="utf-8")
    (tmp_path / "Vagrantfile").write_text(text.replace("virtualbox.gui =", "virtualbox.gooey ="), encoding="utf-8")
    found = settings({**environment, "VAGRANT_CWD": str(tmp_path)})
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
            qemuprogram.kernel_command_line(one),
        ]
        for one in lab.machines.values()
    }
    assert json.loads(done.stdout) == expected
