"""Hooks (config.md, "POSIX-platform Hooks"): programs of the runtime's caller at six points of a container's life."""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.text.document import Reader

#: In the order in which they come in a container's life (runtime.md, "Lifecycle").
KINDS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")


@dataclass(frozen=True)
class Hook:
    """One program."""

    path: str
    args: list[str]
    """With the program's own name first, as execve(2) has it; empty for the path alone."""
    env: list[str]
    timeout: int
    """Seconds; 0 for none."""


def read(reader: Reader) -> dict[str, list[Hook]]:
    """The object ``hooks``: only kinds that have any."""
    found = {kind: [_hook(item) for item in reader.children(kind)] for kind in KINDS}
    return {kind: hooks for kind, hooks in found.items() if hooks}


def _hook(reader: Reader) -> Hook:
    hook = Hook(
        path=reader.value("path", str),
        args=reader.strings("args"),
        env=reader.strings("env"),
        timeout=reader.value("timeout", int, 0),
    )
    if not hook.path.startswith("/") or "\0" in hook.path:
        raise ConfigError(f"config.json: {reader.where('path')} must be an absolute path")
    if reader.get("timeout") is not None and hook.timeout <= 0:
        raise ConfigError(f"config.json: {reader.where('timeout')} must be greater than zero")
    return hook
