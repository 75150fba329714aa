"""``lab.yaml``: which machines there are and what they are made of.

Each section is a table of keys, below; a key's default is its dataclass's. What the file does not say right is a
``ConfigError`` with file, line, what was expected and the nearest key, before anything was started or changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from labkit.host.lab import matrixsection, yamlmarks
from labkit.host.lab.matrixsection import CGROUPS, IPTABLES, Matrix
from labkit.host.lab.names import not_found, suggestion
from labkit.host.lab.paths import checkout, chosen
from labkit.host.lab.yamlmarks import Value

VAGRANT_PROVIDERS = ("libvirt", "virtualbox", "vmware_desktop", "parallels", "hyperv")
"""Those that Vagrant drives, by its names."""

PROVIDERS = ("qemu", *VAGRANT_PROVIDERS)
"""What ``provider:`` may say; the same names as ``labkit.host.machines.BACKENDS``, which is slow to import."""

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]|[a-z]")
"""A machine's name becomes a directory, part of a socket's path and a host name: what all three allow."""

_SIZE = re.compile(r"(?P<number>[0-9]{1,9})\s*(?P<unit>|MiB|GiB)")


@dataclass(frozen=True)
class MachineConfig:
    """One entry of ``machines:``."""

    name: str
    provider: str = "qemu"
    kernel: str = "6.1"
    """A name under ``kernels:``."""
    cgroup: str = "v2"
    """``v2``, ``v1`` or ``hybrid`` (v1 controllers, and an empty v2 tree beside them)."""
    iptables: str = "nft"
    """The back end behind the ``iptables`` command: ``nft`` or ``legacy``."""
    memory_mib: int = 1024
    cpus: int = 2
    options: dict[str, str] = field(default_factory=dict)
    """The provider's own settings, which only it understands."""
    box: str = ""
    """A name under ``boxes:``, for one of Vagrant's providers. The kernel is the box's own then."""


@dataclass(frozen=True)
class KernelConfig:
    """One entry of ``kernels:``: a package of one of Debian's suites."""

    name: str
    suite: str
    package: str


@dataclass(frozen=True)
class Lab:
    """All of ``lab.yaml``."""

    path: Path
    machines: dict[str, MachineConfig]
    kernels: dict[str, KernelConfig]
    default_machine: str
    matrix: Matrix = field(default_factory=Matrix)
    cell_settings: dict[str, Any] = field(default_factory=dict)
    """Fields of MachineConfig that every cell of the matrix has: ``matrix.machine`` in the file."""
    boxes: dict[str, str] = field(default_factory=dict)
    """A name that machines use -> the box's name in Vagrant's registry."""

    def machine(self, name: str | None = None) -> MachineConfig:
        """The machine called ``name``, or the default one; a cell of the matrix is one, too (``cell-6.1-v2-nft``).

        NotFoundError with the nearest names.
        """
        wanted = name or self.default_machine
        if wanted in self.machines:
            return self.machines[wanted]
        for cell in self.matrix.cells:
            if cell.machine == wanted:
                choices = {"kernel": cell.kernel, "cgroup": cell.cgroup, "iptables": cell.iptables}
                return MachineConfig(name=wanted, **{**self.cell_settings, **choices})
        if wanted.startswith(matrixsection.MACHINE_PREFIX) and self.matrix.cells:
            raise self.matrix.no_such_machine(wanted)
        raise not_found("machine", wanted, self.machines)

    def kernel(self, name: str) -> KernelConfig:
        """The kernel called ``name``. NotFoundError with the nearest names."""
        if name not in self.kernels:
            raise not_found("kernel", name, self.kernels)
        return self.kernels[name]


_SECTIONS = ("default-machine", "machines", "kernels", "matrix", "boxes")


def default_path() -> Path:
    """``$LABKIT_LAB``, or ``lab.yaml`` in the checkout."""
    return chosen("LABKIT_LAB") or checkout() / "lab.yaml"


def load(path: Path | None = None) -> Lab:
    """Read ``path`` (default: ``default_path()``). ConfigError where it does not say what it must."""
    file = path or default_path()
    document = yamlmarks.read(file)
    top = document.mapping("a mapping with machines and kernels", _SECTIONS, required=("machines", "kernels"))
    kernels = {
        name: KernelConfig(name=name, **_section(value, _KERNEL_KEYS, required=("suite", "package")))
        for name, value in top["kernels"].mapping("a mapping of kernels").items()
    }
    boxes = top["boxes"].mapping("a mapping of boxes") if "boxes" in top else {}
    entries = top["machines"].mapping("a mapping of machines")
    if not entries:
        raise top["machines"].error("there is no machine.", "Add an entry: `default: {}` is enough.")
    machines = {name: _machine(name, value, kernels, boxes) for name, value in entries.items()}
    matrix, cell_settings = _matrix(top["matrix"], kernels) if "matrix" in top else (Matrix(), {})
    known_boxes = {name: box.text() for name, box in boxes.items()}
    return Lab(file, machines, kernels, _default_machine(top, machines), matrix, cell_settings, known_boxes)


def _matrix(value: Value, kernels: dict[str, KernelConfig]) -> tuple[Matrix, dict[str, Any]]:
    """The cells, and what their machines are like beyond that."""
    matrix = matrixsection.read(value, kernels)
    members = value.mapping("a mapping")
    return matrix, _section(members["machine"], _CELL_KEYS) if "machine" in members else {}


def _machine(name: str, value: Value, kernels: dict[str, KernelConfig], boxes: dict[str, Value]) -> MachineConfig:
    """One machine; the kernel and the box it names must exist."""
    if not _NAME.fullmatch(name):
        raise value.error(
            f"“{name}” cannot be a machine's name.",
            "A name has at most 32 lower-case letters, digits and hyphens, begins with a letter "
            "and does not end with a hyphen.",
        )
    config = MachineConfig(name=name, **_section(value, _MACHINE_KEYS))
    members = value.mapping("a mapping")
    if config.box and config.box not in boxes:
        raise members["box"].error(
            f"{name} wants the box “{config.box}”, which is not under boxes:.", suggestion(config.box, boxes)
        )
    if config.box and config.provider not in VAGRANT_PROVIDERS:
        raise members["box"].error(
            f"{name} has a box, and the provider {config.provider} starts from the guest image.",
            f"Boxes are for: {', '.join(VAGRANT_PROVIDERS)}.",
        )
    if config.kernel not in kernels:
        raise members.get("kernel", value).error(
            f"{name} wants the kernel “{config.kernel}”, which is not under kernels:.",
            suggestion(config.kernel, kernels),
        )
    return config


def _default_machine(top: dict[str, Value], machines: dict[str, MachineConfig]) -> str:
    """The one that the file names; else the one called ``default``; else the first."""
    if "default-machine" not in top:
        return "default" if "default" in machines else next(iter(machines))
    name = top["default-machine"].text()
    if name not in machines:
        raise top["default-machine"].error(f"there is no machine called “{name}”.", suggestion(name, machines))
    return name


def _memory_mib(value: Value) -> int:
    """``1024``, ``1024 MiB`` or ``1 GiB``, in MiB."""
    match = _SIZE.fullmatch(value.text())
    if not match:
        raise value.wrong("a size such as 1024 MiB or 1 GiB")
    mib = int(match["number"]) * (1024 if match["unit"] == "GiB" else 1)
    if not 256 <= mib <= 1024 * 1024:
        raise value.wrong("between 256 MiB (below that the guest does not boot) and 1024 GiB")
    return mib


def _options(value: Value) -> dict[str, str]:
    """Settings whose names only the provider knows."""
    return {name: option.text() for name, option in value.mapping("a mapping of settings").items()}


_Reader = Callable[[Value], Any]

_MACHINE_KEYS: dict[str, tuple[str, _Reader]] = {
    "provider": ("provider", lambda value: value.choice(PROVIDERS)),
    "kernel": ("kernel", Value.text),
    "cgroup": ("cgroup", lambda value: value.choice(CGROUPS)),
    "iptables": ("iptables", lambda value: value.choice(IPTABLES)),
    "memory": ("memory_mib", _memory_mib),
    "cpus": ("cpus", lambda value: value.integer(1, 64)),
    "box": ("box", Value.text),
    "options": ("options", _options),
}
"""A key of ``machines.NAME`` -> the field that it sets, and how it is read."""

_CELL_KEYS = {key: reader for key, reader in _MACHINE_KEYS.items() if key not in ("kernel", "cgroup", "iptables")}
"""A key of ``matrix.machine``: all but what makes a cell."""

_KERNEL_KEYS: dict[str, tuple[str, _Reader]] = {
    "suite": ("suite", Value.text),
    "package": ("package", Value.text),
}

assert {target for target, _ in _MACHINE_KEYS.values()} | {"name"} == {f.name for f in fields(MachineConfig)}


def _section(value: Value, keys: dict[str, tuple[str, _Reader]], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields that a mapping sets."""
    members = value.mapping("a mapping", keys, required)
    return {keys[key][0]: keys[key][1](member) for key, member in members.items()}
