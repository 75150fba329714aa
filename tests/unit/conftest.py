"""Unit tests touch nothing of the user's: no state, no cache, no network beyond the loopback device."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# No deadline: these machines are slow and shared, and a slow example is not a wrong one. No database: it would be
# written into the checkout.
# `invoke test --all` asks for the other one; a test that has a number of its own takes the share of 100 that this says.
hypothesis.settings.register_profile("daily", deadline=None, database=None, max_examples=20)
hypothesis.settings.register_profile("thorough", deadline=None, database=None, max_examples=100)
hypothesis.settings.load_profile("daily")


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory that holds this test's ``state`` and ``cache``, outside its ``tmp_path``, which starts empty."""
    directory = tmp_path_factory.mktemp("labkit")
    monkeypatch.setenv("LABKIT_STATE", str(directory / "state"))
    monkeypatch.setenv("LABKIT_CACHE", str(directory / "cache"))
    monkeypatch.setenv("VAGRANT_HOME", str(directory / "vagrant.d"))
    for variable in ("LABKIT_LAB", "LABKIT_LOG", "LABKIT_ACCEL", "LABKIT_MIRROR", "LABKIT_IMAGE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    return directory


@pytest.fixture(autouse=True)
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that connects to anything but this computer itself fails, and says where it wanted to go."""
    really_connect = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
            raise AssertionError(f"a unit test wants to connect to {address}")
        really_connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
