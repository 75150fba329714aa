"""Change the limits of a container that runs. What is not named stays as it is."""

from __future__ import annotations

import json
import sys

from labkit.cli.options import Command, Option
from labkit.document import Reader
from labkit.errors import KernelError, UsageError
from labkit.oci import limits, state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from labkit.cli.oci.main import Call

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
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

COMMAND = Command(
    "CONTAINER",
    (
        Option(("resources", "r"), "take them from this file (- for standard input) as in config.json", "FILE", ""),
        *(
            Option((name,), f"{section}.{what} of linux.resources", "NUMBER" if number else "LIST", "")
            for name, (section, what, number) in _PROPERTIES.items()
        ),
        Option(("l3-cache-schema",), "refused: labkit knows no Intel RDT", "SCHEMA", ""),
        Option(("mem-bw-schema",), "refused: labkit knows no Intel RDT", "SCHEMA", ""),
    ),
    examples=("update --memory 64m --pids-limit 100 redis", "update --resources limits.json redis"),
)


def main(call: Call) -> int:
    """Change them."""
    container = state.load(call.root, call.arguments[0])
    if call.options.l3_cache_schema or call.options.mem_bw_schema:
        raise UsageError("labkit-oci does not support Intel RDT", "leave --l3-cache-schema and --mem-bw-schema out")
    limits.update(container, _read(call.options.resources) if call.options.resources else _typed(call))
    return 0


def _read(path: str) -> dict[str, Any]:
    try:
        if path == "-":
            text = sys.stdin.buffer.read()
        else:
            with open(path, "rb") as file:
                text = file.read()
    except OSError as error:
        raise KernelError(f"{path} cannot be read: {error.strerror}", errno=error.errno or 0) from None
    return Reader.parse(text, "resources").object


def _typed(call: Call) -> dict[str, Any]:
    wanted: dict[str, Any] = {}
    for name, (section, what, is_number) in _PROPERTIES.items():
        text = getattr(call.options, name.replace("-", "_"))
        if text:
            wanted.setdefault(section, {})[what] = _number(name, text) if is_number else text
    return wanted


def _number(name: str, text: str) -> int:
    """``64m`` is 67108864, for what counts bytes. UsageError where it is no number."""
    digits, unit = (text[:-1], _UNITS.get(text[-1:].lower(), 0)) if text[-1:].isalpha() else (text, 1)
    if name.startswith("memory") and digits[-1:].lower() in _UNITS and text[-1:].lower() == "b":
        digits, unit = digits[:-1], _UNITS[digits[-1].lower()]  # as 64mb
    plain = digits[1:] if digits[:1] == "-" else digits
    if not plain.isascii() or not plain.isdigit() or not unit or (unit > 1 and not name.startswith("memory")):
        raise UsageError(f"invalid value for {name}: {json.dumps(text)}", "a whole number, as 67108864 or 64m")
    return int(digits) * unit
