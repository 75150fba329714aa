"""What the low-level runtime uses of the room is written there.

Elsewhere a name that is missing is the original's, at the price of its import. A container's first process cannot
import anything (oci/become.py, take_no_modules).
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import labkit.runtime
from labkit.runtime import std

ROOT = Path(labkit.runtime.__file__).parent
ROOM = std.__name__


def used(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Module of the room, and the name in it, for every use."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == ROOM:
            modules.update({alias.asname or alias.name: alias.name for alias in node.names})
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(f"{ROOM}."):
            yield from ((node.module.removeprefix(f"{ROOM}."), alias.name) for alias in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


@pytest.mark.parametrize("package", ["oci", "kernel", "cgroups", "operations", "text", "engine/shim"])
def test_it_is_written_there(package: str) -> None:
    looked_at = 0
    for path in (ROOT / package).rglob("*.py"):
        for module, name in used(ast.parse(path.read_text(encoding="utf-8"))):
            looked_at += 1
            assert name in vars(importlib.import_module(f"{ROOM}.{module}")), f"{path}: {module}.{name}"
    assert looked_at > 3
