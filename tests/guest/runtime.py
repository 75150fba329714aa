"""labkit-oci as a container manager calls it: one root, one bundle, commands by their words."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from bundles import Bundle
from programs import LABKIT_OCI


class Runtime:
    """Commands of labkit-oci on containers of one bundle, below a root of its own."""

    def __init__(self, directory: Path) -> None:
        self.bundle = Bundle(directory / "bundle")
        self.root = directory / "root"
        self.id = f"c-{os.getpid()}"
        self.process = self.bundle.config["process"]
        self.command = [*LABKIT_OCI, "--root", str(self.root)]

    def runs(self, script: str) -> None:
        """The container's program is a shell with this script. Written to the bundle at the next ``make``."""
        self.process["args"] = ["sh", "-c", script]

    def write(self) -> None:
        """Write config.json as it is now."""
        (self.bundle.directory / "config.json").write_text(json.dumps(self.bundle.config))

    def __call__(self, *words: str, **options: Any) -> str:
        """A command that must succeed; what it printed."""
        done = self.attempt(*words, **options)
        assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def attempt(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """A command that may fail."""
        command = [*self.command, *words]
        return subprocess.run(command, text=True, capture_output=True, timeout=60, check=False, **options)

    def make(self, *options: str, command: str = "create", **more: Any) -> None:
        """Create (or run) the container. Its output goes to the file ``output`` of the bundle: a pipe would stay open
        as long as it lives.
        """
        self.write()
        words = [*self.command, command, "--bundle", str(self.bundle.directory), *options, self.id]
        with open(self.bundle.directory / "output", "w", encoding="utf-8") as output:
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            done = subprocess.run(words, timeout=60, check=False, **{**streams, **more})
        assert done.returncode == 0, self.output()

    def output(self) -> str:
        """What the container (or its making) wrote."""
        return (self.bundle.directory / "output").read_text()

    def refusal(self, *words: str) -> str:
        """A command that must fail with status 1; its message."""
        done = self.attempt("--log-format", "json", *words)
        assert done.returncode == 1, done
        return str(json.loads(done.stderr.splitlines()[0])["msg"])

    def state(self) -> dict[str, Any]:
        """What ``state`` says."""
        found: dict[str, Any] = json.loads(self("state", self.id))
        return found

    def status(self) -> str:
        """Its status."""
        return str(self.state()["status"])

    def clean_up(self) -> None:
        """Nothing of the test's containers is left."""
        for name in os.listdir(self.root) if self.root.exists() else []:
            self("delete", "--force", name)
