"""JSON on standard output, as runc spells it: the names' order is that of runc's own types, and so are the blanks."""

from __future__ import annotations

import sys

from labkit.runtime.oci.state import BundleContainer
from labkit.runtime.std.typing import Any
from labkit.runtime.text import gojson


def show(value: Any, indent: str = "", end: str = "\n") -> None:
    """Print it as UTF-8, whatever the locale: that is what JSON is (RFC 8259, 8.1)."""
    sys.stdout.flush()
    sys.stdout.buffer.write(gojson.dumps(value, indent).encode() + end.encode())
    sys.stdout.buffer.flush()


def described(container: BundleContainer, owner: str) -> dict[str, Any]:
    """A container as ``state`` and ``list`` show it: more than a hook gets, and the pid first."""
    state = container.oci_state()
    found = {name: state[name] for name in ("ociVersion", "id")}
    found |= {"pid": state.get("pid", 0), "status": state["status"], "bundle": container.bundle}
    found |= {"rootfs": container.rootfs, "created": container.created}
    if container.annotations:
        found["annotations"] = container.annotations
    return {**found, "owner": owner}
