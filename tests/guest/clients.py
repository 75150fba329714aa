"""Managers that call labkit-oci as their runtime: what podman and docker have in common here."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Client:
    """A program with its global options, called as a user does."""

    command: list[str]

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that may fail."""
        return subprocess.run([*self.command, *words], capture_output=True, text=True, timeout=120, check=False)

    def __call__(self, *words: str) -> str:
        """A command that must succeed; what it printed."""
        done = self.attempt(*words)
        assert done.returncode == 0, f"{' '.join(words)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def takes(self, rootfs: Path, name: str, *options: str) -> None:
        """An image of that root file system."""
        tar = subprocess.run(["tar", "-C", str(rootfs), "-c", "."], stdout=subprocess.PIPE, check=True).stdout
        words = [*self.command, "import", *options, "-", name]
        imported = subprocess.run(words, input=tar, capture_output=True, check=False)
        assert imported.returncode == 0, imported.stderr.decode()
