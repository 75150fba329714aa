"""Show what this machine has for containers: kernel, control groups, storage drivers, runtimes, and what labkit keeps.

Examples:
  labkit info
  labkit info --json
"""

from __future__ import annotations

from labkit.runtime.cli import table
from labkit.runtime.cli.options import Call, Command, Option
from labkit.runtime.engine.show import information
from labkit.runtime.std import json
from labkit.runtime.std.typing import Any

COMMAND = Command("", (Option(("json",), "a JSON object"),), least=0, most=0)


def main(call: Call) -> int:
    """Print it."""
    found = information.information()
    if call.options.json:
        print(json.dumps(found, indent=1))
        return 0
    rows = [(name.replace("_", " "), _words(name, value)) for name, value in found.items()]
    width = max(len(name) for name, _ in rows)
    print("\n".join(f"{name:<{width}}  {words}" for name, words in rows))
    return 0


def _words(name: str, value: Any) -> str:
    if name == "memory_bytes":
        return table.size(value)
    if name == "cgroups":
        return f"{value['version']}: {' '.join(value['controllers'])}"
    if name == "containers":
        return ", ".join(f"{count} {kind}" for kind, count in value.items() if count) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{key} ({words})" for key, words in value.items() if words)
    if isinstance(value, list):
        return " ".join(value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) or "none"
