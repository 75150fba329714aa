"""Limits of a container that runs, as the command line or a file has them."""

from __future__ import annotations

import re

from labkit.errors import KernelError, UsageError
from labkit.runtime.cli.flags import Option, verb
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.oci import limits, state
from labkit.runtime.std import json
from labkit.runtime.std.typing import Any
from labkit.runtime.text.document import Reader

#: Option -> (section, property, whether it is a number).
_PROPERTIES = {
    "blkio-weight": ("blockIO", "weight", True),
    "cpu-period": ("cpu", "period", True),
    "cpu-quota": ("cpu", "quota", True),
    "cpu-burst": ("cpu", "burst", True),
    "cpu-share": ("cpu", "shares", True),
    "cpu-rt-period": ("cpu", "realtimePeriod", True),
    "cpu-rt-runtime": ("cpu", "realtimeRuntime", True),
    "cpu-idle": ("cpu", "idle", True),
    "cpuset-cpus": ("cpu", "cpus", False),
    "cpuset-mems": ("cpu", "mems", False),
    "memory": ("memory", "limit", True),
    "memory-reservation": ("memory", "reservation", True),
    "memory-swap": ("memory", "swap", True),
    "pids-limit": ("pids", "limit", True),
}
#: Of these runc knows no number below 0.
_UNSIGNED = ("cpu-period", "cpu-share", "cpu-rt-period")
#: runc ignores them, too, and says so: the kernel counts this memory with all other.
_IGNORED = ("kernel-memory", "kernel-memory-tcp")


@verb(
    "CONTAINER",
    Option(("resources", "r"), "take them from this file (- for standard input) as in config.json", "FILE", ""),
    *(
        Option((name,), f"{section}.{what} of linux.resources", "NUMBER" if number else "LIST", "")
        for name, (section, what, number) in _PROPERTIES.items()
    ),
    *(Option((name,), "", "NUMBER", "", hidden=True) for name in _IGNORED),
    Option(("l3-cache-schema",), "refused: labkit knows no Intel RDT", "SCHEMA", ""),
    Option(("mem-bw-schema",), "refused: labkit knows no Intel RDT", "SCHEMA", ""),
    examples=("update --memory 64m --pids-limit 100 redis", "update --resources limits.json redis"),
)
def update(call: Invocation) -> int:
    """Change the limits of a container that runs. What is not named stays as it is."""
    container = state.load(call.root, call.arguments[0])
    if call.options.l3_cache_schema or call.options.mem_bw_schema:
        raise UsageError("labkit-oci does not support Intel RDT", "leave --l3-cache-schema and --mem-bw-schema out")
    if any(getattr(call.options, name.replace("-", "_")) for name in _IGNORED):
        call.report.warning("Kernel memory settings are ignored and will be removed")
    limits.update(container, _read(call.options.resources) if call.options.resources else _typed(call))
    return 0


def _read(path: str) -> dict[str, Any]:
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            return Reader.parse(file.read(), "resources").object
    except OSError as error:
        raise KernelError(
            f"open {path}: {(error.strerror or '').lower()}", "see --resources", error.errno or 0
        ) from None


def _typed(call: Invocation) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for name, (section, what, is_number) in _PROPERTIES.items():
        text = getattr(call.options, name.replace("-", "_"))
        if text:
            wanted.setdefault(section, {})[what] = _number(name, text) if is_number else text
    return wanted


def _number(name: str, text: str) -> int:
    """``64m``, ``64 MB``, ``64MiB`` and ``0.0625g`` are 67108864, for what counts bytes. UsageError for no number."""
    if name.startswith("memory"):
        match = re.fullmatch(r"(-1|[0-9]+(?:\.[0-9]+)?) ?(?:([kmgtp])i?)?b?", text.lower())
        if match:
            unit = 1 << 10 * ("kmgtp".index(match[2]) + 1) if match[2] else 1
            return int(match[1]) * unit if match[1].lstrip("-").isdigit() else int(float(match[1]) * unit)
    elif re.fullmatch(r"[0-9]+" if name in _UNSIGNED else r"-?[0-9]+", text):
        return int(text)
    raise UsageError(f"invalid value for {name}: {json.dumps(text)}", "a whole number, as 67108864 or 64m")
