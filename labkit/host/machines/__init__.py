"""Back ends that give us a Linux machine: one module each, one dictionary names them."""

from __future__ import annotations

from collections.abc import Callable

from labkit.host.config import MachineConfig
from labkit.host.machines.base import Machine, Status
from labkit.host.machines.qemu import QemuMachine
from labkit.host.names import not_found

__all__ = ["BACKENDS", "Machine", "Status", "open_machine"]

BACKENDS: dict[str, Callable[[MachineConfig], Machine]] = {
    "qemu": QemuMachine,
}
"""What ``provider:`` in lab.yaml may say."""


def open_machine(config: MachineConfig) -> Machine:
    """The machine that ``config`` describes. Nothing is started. NotFoundError for a provider that there is not."""
    if config.provider not in BACKENDS:
        raise not_found("provider", config.provider, BACKENDS)
    return BACKENDS[config.provider](config)
