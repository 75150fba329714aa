"""Back ends that give us a Linux machine: one module each, one dictionary names them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from labkit.errors import ConflictError, UsageError
from labkit.host.lab import paths
from labkit.host.lab.config import VAGRANT_PROVIDERS, MachineConfig
from labkit.host.lab.names import not_found
from labkit.host.machines.base import Machine, Status, task
from labkit.host.machines.qemu import QemuMachine
from labkit.host.machines.vagrant import VagrantMachine

__all__ = ["BACKENDS", "Machine", "Status", "check_running", "open_machine", "provider_of"]

BACKENDS: dict[str, Callable[[MachineConfig], Machine]] = {
    "qemu": QemuMachine,
    **dict.fromkeys(VAGRANT_PROVIDERS, VagrantMachine),
}
"""What ``provider:`` in lab.yaml, and ``--provider``, may say."""


def open_machine(config: MachineConfig, provider: str | None = None) -> Machine:
    """The machine that ``config`` describes. Nothing is started.

    A machine that exists keeps its provider until it is destroyed, whatever lab.yaml says meanwhile. ``provider`` is
    what ``--provider`` asks for: NotFoundError where there is none of that name, ConflictError where the machine exists
    under another one, UsageError where the machine cannot have it.
    """
    existing = provider_of(config.name)
    chosen = provider or existing or config.provider
    if chosen not in BACKENDS:
        raise not_found("provider", chosen, BACKENDS)
    if existing and existing != chosen:
        raise ConflictError(
            f"The machine “{config.name}” exists under the provider {existing}.",
            f"{task('destroy', config.name)} removes it; then {chosen} can make another one.",
        )
    if config.box and chosen not in VAGRANT_PROVIDERS:
        raise UsageError(
            f"The machine “{config.name}” starts from the box {config.box}, which the provider {chosen} cannot.",
            f"Its provider can be: {', '.join(VAGRANT_PROVIDERS)}.",
        )
    if chosen != config.provider:
        # Options are the provider's own: those of another would only be refused.
        config = dataclasses.replace(config, provider=chosen, options={})
    return BACKENDS[chosen](config)


def check_running(machine: Machine) -> Machine:
    """The machine itself. ConflictError where it does not run."""
    status = machine.status()
    if status.state != "running":
        why = f" ({status.detail})" if status.detail else ""
        raise ConflictError(
            f"The machine “{machine.name}” is {status.state}{why}.", f"{task('up', machine.name)} starts it."
        )
    return machine


def provider_of(name: str) -> str | None:
    """Which provider made the machine of this name; None where there is no such machine."""
    directory = paths.machine_dir(name)
    try:
        return (directory / "provider").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return "qemu" if directory.is_dir() else None  # QEMU's directory has none
