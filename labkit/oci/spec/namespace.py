"""Namespaces (config-linux.md, "Namespaces")."""

from __future__ import annotations

from labkit.document import Reader
from labkit.errors import ConfigError
from labkit.kernel import namespaces


def read(reader: Reader) -> tuple[str, str]:
    """One entry of ``linux.namespaces``: the kernel's name of its kind, and a path or nothing."""
    kind = reader.value("type", str)
    path = reader.value("path", str, "")
    reader.refuse_others()
    if kind not in namespaces.OCI_NAMES:
        raise ConfigError(f"config.json: {reader.where('type')} is '{kind}', which is no kind of namespace")
    if kind in ("user", "time"):
        raise ConfigError(
            f"config.json: labkit does not support {kind} namespaces yet", "take it out, or use another runtime"
        )
    return namespaces.OCI_NAMES[kind], path
