"""Bundles for the low-level runtime: a copy of the busybox image's root file system, and a config.json to change."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from programs import LABKIT_OCI

from labkit.runtime.oci import defaults


class Bundle:
    """A directory with ``rootfs`` and a configuration that ``run`` writes before it runs it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.rootfs = directory / "rootfs"
        (self.rootfs / "bin").mkdir(parents=True)
        for name in ("proc", "sys", "dev", "etc", "tmp"):
            (self.rootfs / name).mkdir()
        shutil.copy("/bin/busybox", self.rootfs / "bin/busybox")
        names = subprocess.run(["/bin/busybox", "--list"], capture_output=True, text=True, check=True).stdout
        for name in names.split():
            if name != "busybox":
                (self.rootfs / "bin" / name).symlink_to("busybox")
        capabilities = dict.fromkeys(("bounding", "effective", "permitted"), defaults.CAPABILITIES)
        self.config: dict[str, Any] = {
            "ociVersion": "1.2.0",
            "process": {
                "args": ["true"],
                "env": ["PATH=/bin"],
                "cwd": "/",
                "user": {"uid": 0, "gid": 0},
                "capabilities": capabilities,
            },
            "root": {"path": "rootfs"},
            "mounts": defaults.mounts(),
            "linux": {
                "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup", "network")],
                "cgroupsPath": f"/labkit/bundle-{os.getpid()}",
                "resources": {"devices": [{"allow": False, "access": "rwm"}]},
                "maskedPaths": defaults.MASKED_PATHS,
                "readonlyPaths": defaults.READONLY_PATHS,
            },
        }

    def mount(self, destination: str, kind: str = "", source: str = "", *options: str) -> None:
        """One more in the configuration."""
        self.config["mounts"].append(
            {"destination": destination, "type": kind, "source": source, "options": list(options)}
        )

    def without(self, kind: str) -> None:
        """No namespace of that kind: the container has the runtime's."""
        spaces = self.config["linux"]["namespaces"]
        self.config["linux"]["namespaces"] = [space for space in spaces if space["type"] != kind]

    def in_user_namespace(self) -> None:
        """Root of the container is user 100000 here and owns the root file system; nothing may keep it from that."""
        ids = [{"containerID": 0, "hostID": 100000, "size": 65536}]
        linux = self.config["linux"]
        linux["namespaces"].append({"type": "user"})
        linux.update(uidMappings=ids, gidMappings=ids)
        for place, directories, files in os.walk(self.rootfs):
            for name in (".", *directories, *files):
                os.chown(os.path.join(place, name), 100000, 100000, follow_symlinks=False)

    def try_to_run(self, script: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a shell's script in the container, to its end."""
        return self.execute(["sh", "-c", script], *words)

    def execute(self, args: list[str], *words: str) -> subprocess.CompletedProcess[str]:
        """Run the program itself; ``words`` are options of the runtime's."""
        self.config["process"]["args"] = args
        (self.directory / "config.json").write_text(json.dumps(self.config))
        command = [*LABKIT_OCI, "--root", str(self.directory / "state"), "run", "--bundle", str(self.directory), *words]
        command.append(f"bundle-{os.getpid()}")
        return subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)

    def run(self, script: str, *words: str) -> str:
        """The same; what it printed, and a failure shows what was said."""
        done = self.try_to_run(script, *words)
        assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def refusal(self, script: str = "true", *words: str) -> str:
        """What the runtime says when it will not run it; the program was not reached."""
        done = self.try_to_run(f"echo reached; {script}", *words)
        assert "reached" not in done.stdout
        assert done.returncode != 0
        sentence, *hints = done.stderr.strip().splitlines()
        assert len(hints) <= 1, done.stderr
        assert "this is a bug" not in done.stderr
        return sentence


def mount_line(table: str, point: str) -> tuple[list[str], str, list[str]]:
    """From a table like /proc/self/mountinfo: a mount's own flags, its type and its file system's options."""
    for line in reversed(table.splitlines()):
        fields, _, rest = line.partition(" - ")
        if fields.split(" ")[4] == point:
            return fields.split(" ")[5].split(","), rest.split(" ")[0], rest.split(" ")[2].split(",")
    raise AssertionError(f"{point} is no mount point in\n{table}")
