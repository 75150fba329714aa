"""Print what labkit-oci can do, as the specification's features document (features.md)."""

from __future__ import annotations

from labkit import __version__
from labkit.runtime.cli.flags import Command
from labkit.runtime.cli.oci import answer
from labkit.runtime.cli.oci.report import Invocation
from labkit.runtime.kernel import capabilities, mountoptions, namespaces
from labkit.runtime.oci.spec import hooks, seccomp
from labkit.runtime.oci.state import OCI_VERSION
from labkit.runtime.std.typing import Any

COMMAND = Command("", least=0, most=0, examples=("features",))


def main(call: Invocation) -> int:
    """Print it."""
    answer.show(document(), "    ")
    return 0


def document() -> dict[str, Any]:
    """What this program knows, whatever the kernel can do."""
    return {
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": list(hooks.KINDS),
        "mountOptions": sorted(mountoptions.WORDS),
        "linux": {
            "namespaces": sorted(namespaces.OCI_NAMES),
            "capabilities": [f"CAP_{name}" for name in capabilities.NAMES],
            "cgroup": {"v1": True, "v2": True, "systemd": False, "systemdUser": False, "rdma": True},
            "seccomp": {
                "enabled": True,
                "actions": sorted(seccomp.ACTIONS),
                "operators": sorted(seccomp.OPERATORS),
                "archs": sorted(seccomp.ARCHITECTURES),
                "knownFlags": list(seccomp.FLAGS),
                "supportedFlags": list(seccomp.FLAGS),
            },
            "apparmor": {"enabled": False},
            "selinux": {"enabled": False},
            "intelRdt": {"enabled": False},
            "mountExtensions": {"idmap": {"enabled": True}},
        },
        "annotations": {"labkit.version": __version__},
        "potentiallyUnsafeConfigAnnotations": [],
    }
