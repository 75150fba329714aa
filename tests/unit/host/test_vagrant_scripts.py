"""Lists that vagrant/provision.sh and deploy.sh have in common with Python, which they cannot ask."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from labkit.host.image.building import inputs
from labkit.host.lab import paths
from labkit.host.payload import deployed

SCRIPTS = paths.checkout() / "vagrant"

ESSENTIAL = {"systemd-sysv", "udev", "mount", "bash"}
"""Of the guest image's packages: those that every Debian and Ubuntu has installed."""


def test_a_stock_box_gets_the_guest_images_packages() -> None:
    text = (SCRIPTS / "provision.sh").read_text(encoding="utf-8")
    match = re.search(r'^packages="\n(.*?)^"', text, re.MULTILINE | re.DOTALL)
    assert match
    assert set(match[1].split()) == set(inputs.PACKAGES) - ESSENTIAL


def test_a_stock_box_gets_the_same_pyroute2() -> None:
    project = tomllib.loads((paths.checkout() / "pyproject.toml").read_text(encoding="utf-8"))
    (wanted,) = project["project"]["optional-dependencies"]["guest"]
    assert f"'{wanted}'" in (SCRIPTS / "deploy.sh").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["provision.sh", "deploy.sh"])
def test_the_scripts_are_posix_shell(name: str) -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    if not shell:
        pytest.skip("there is no POSIX shell here")
    subprocess.run([shell, "-n", str(SCRIPTS / name)], check=True)
    assert b"\r" not in (SCRIPTS / name).read_bytes()


def test_an_older_python_hands_over_to_a_newer_one(tmp_path: Path) -> None:
    """Ubuntu 20.04's launcher: the older Python finds the newer one, and gives it everything."""
    launcher = deployed.LAUNCHER.format(module="labkit.runtime.cli")
    handed = launcher.replace("sys.version_info < (3, 9)", "True").replace(
        "/usr/local/bin/python3", str(tmp_path / "new")
    )
    (tmp_path / "labkit").write_text(handed)
    (tmp_path / "new").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "new").chmod(0o755)
    if not shutil.which("python3") or not shutil.which("sh"):
        pytest.skip("the launcher is for Linux")
    command = ["python3", "-IS", str(tmp_path / "labkit"), "run", "a b"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == f"-IS {tmp_path / 'labkit'} run a b\n"
