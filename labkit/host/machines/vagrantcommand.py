"""Runs ``vagrant`` for one machine: with our Vagrantfile, our place for its state, and what we know of the machine.

Its state is in ``state_dir()/vagrant`` and not in ``.vagrant`` of the checkout: the checkout may be read-only or used
by several people, and a machine of the tests is not the one that somebody made by typing ``vagrant up``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit import log
from labkit.errors import InfrastructureError, LabkitError
from labkit.host.lab import paths, programs
from labkit.host.lab.config import default_path
from labkit.host.machines import vagrantproviders

SHORT = 120.0
"""Seconds that a command which only asks may take. Starting Vagrant takes one to five."""

_LAST_LINES = 12

_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def directory() -> Path:
    """Where Vagrant keeps what it knows of the lab's machines, and libvirt their disks."""
    return paths.state_dir() / "vagrant"


@dataclass
class Vagrant:
    """The commands for one machine."""

    machine: str
    provider: str
    log_file: Path
    """All that it said."""
    told: dict[str, Any] = field(default_factory=dict)
    """What the Vagrantfile is told beyond lab.yaml; see ``told_by_invoke`` in vagrant/lab.rb."""

    def do(self, title: str, *words: str) -> None:
        """Run a command that takes long: its progress is shown, and its words are kept in the log.

        InfrastructureError with its last lines where it fails. Ctrl-C lets it clean up first.
        """
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        with log.step(title) as step, open(self.log_file, "ab") as logged:
            logged.write(f"$ vagrant {' '.join(words)}\n".encode())
            logged.flush()
            begin = logged.tell()
            # At a second Ctrl-C Vagrant drops everything: it gets one, from us, and its children none.
            status = programs.follow(
                [self._program(), *words], logged, step, _announced, cwd=paths.checkout(), env=self.environment()
            )
        if status != 0:
            with open(self.log_file, "rb") as file:
                file.seek(begin)
                raise self._failure(words, file.read().decode(errors="replace"))

    def ask(self, *words: str) -> str:
        """Run a command that only says something; its standard output. InfrastructureError where it fails."""
        command = [self._program(), *words]
        try:
            done = subprocess.run(
                command,
                cwd=paths.checkout(),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SHORT,
                **programs.apart(),
            )
        except subprocess.TimeoutExpired:
            raise InfrastructureError(f"`vagrant {' '.join(words)}` did not end within {SHORT:.0f} s.") from None
        if done.returncode != 0:
            raise self._failure(words, (done.stdout + done.stderr).decode(errors="replace"))
        return str(done.stdout.decode(errors="replace"))

    def _program(self) -> str:
        path = programs.find("vagrant")
        if path is None:
            raise vagrantproviders.unusable(self.provider, "Vagrant is not installed")
        return path

    def environment(self) -> dict[str, str]:
        """Ours, and what makes Vagrant use our files."""
        told = {"machine": self.machine, **self.told}
        return {
            **os.environ,
            "VAGRANT_CWD": str(paths.checkout()),
            "VAGRANT_DOTFILE_PATH": str(directory() / "dot"),
            "VAGRANT_CHECKPOINT_DISABLE": "1",  # it would ask the web for a newer version of itself
            "VAGRANT_NO_COLOR": "1",
            "LABKIT_LAB": str(default_path()),
            "LABKIT_VAGRANT": json.dumps(told),
        }

    def _failure(self, words: tuple[str, ...], output: str) -> LabkitError:
        """What it said, as the user's error."""
        lines = [line for line in readable(output) if line]
        text = "\n".join(lines)
        if re.search(r"no plugin for the provider '\S+'", text):  # vagrant/words.yml
            return vagrantproviders.unusable(self.provider, f"Vagrant has no plugin for {self.provider}")
        if "checksum of the downloaded box did not match" in text:
            return InfrastructureError(
                "The box that Vagrant was given is not the one that its checksum is of.",
                f"`invoke box --provider {self.provider}` makes it again.",
            )
        # Of a Ruby traceback the first line says what is wrong, and the dozens below it where.
        last = "\n".join([line for line in lines if not re.match(r"\s+(from|\d+: from) /", line)][-_LAST_LINES:])
        return InfrastructureError(
            f"`vagrant {' '.join(words)}` failed for the machine {self.machine}.",
            f"It ended with\n{last}\nAll that it said: {self.log_file}",
        )


def readable(output: str) -> list[str]:
    """Vagrant's lines without colours, and without the lines that it drew over."""
    return [_CONTROL.sub("", line).split("\r")[-1].rstrip() for line in output.split("\n")]


def _announced(line: str) -> str | None:
    """What a line announces (``==> default: Starting domain.``)."""
    announced = re.match(r"==> [^:]+: (?! )(.*)", readable(line)[-1])
    return announced[1] if announced else None
