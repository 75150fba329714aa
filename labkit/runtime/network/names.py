"""Names between the containers of a network: /etc/hosts of every member is kept up to date.

No resolver process has to be kept alive for it, no port 53 to be found, and what a container knows is a file that one
can read. The price: a name that a container has looked up and remembered is not told that it changed. docker's default
bridge has no names, so labkit0 has none.

The file is bound into the container (mount(2)), which holds its inode: it is written in place, not replaced.
"""

from __future__ import annotations

import os

from labkit.runtime.network.reservations import RUN_DIRECTORY, locked
from labkit.runtime.operations import Operation
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.shlex import quote
from labkit.runtime.text import textfile

_MARK = "# names in its networks, kept by labkit\n"


@dataclass(frozen=True)
class AddName(Operation):
    """A member's line in the hosts files of all members of a network, its own included."""

    network: str
    owner: str
    line: str
    """``ADDRESS NAME …``."""
    hosts: str
    """The member's own hosts file."""

    @property
    def _path(self) -> str:
        return f"{RUN_DIRECTORY}/{self.network}/names/{self.owner}"

    def describe(self) -> str:
        """As a shell does it."""
        note = f"printf '%s\\n%s\\n' {quote(self.hosts)} {quote(self.line)} > {quote(self._path)}"
        members = f"$(head -qn1 {quote(os.path.dirname(self._path))}/*)"
        return (
            f"mkdir -p {quote(os.path.dirname(self._path))} && {note}\n"
            f"tail -qn1 {quote(os.path.dirname(self._path))}/* | tee -a {members} > /dev/null"
        )

    def describe_undo(self) -> str:
        """As rm(1)."""
        return f"rm -f {quote(self._path)}"

    def do(self) -> None:
        """Note it with the network, then write everybody's file anew."""
        with locked(".names"):
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            textfile.write(self._path, f"{self.hosts}\n{self.line}\n")
            _write_all(self.network)

    def undo(self) -> None:
        """Forget it, and write everybody's file anew."""
        with locked(".names"):
            textfile.remove(self._path)
            _write_all(self.network)
            _write(self.owner, self.hosts)


def _members(network: str) -> dict[str, tuple[str, str]]:
    """Container id -> its hosts file, and its line."""
    directory, found = f"{RUN_DIRECTORY}/{network}/names", {}
    with suppress(FileNotFoundError, NotADirectoryError):
        for owner in os.listdir(directory):
            hosts, _, line = textfile.read(f"{directory}/{owner}").partition("\n")
            found[owner] = (hosts, line)
    return found


def _write_all(network: str) -> None:
    for owner, (hosts, _) in _members(network).items():
        _write(owner, hosts)


def _write(owner: str, hosts: str) -> None:
    """A container's own lines stay; those below the mark are the members of all its networks."""
    everything = [_members(network) for network in os.listdir(RUN_DIRECTORY) if network[0] != "."]
    lines = sorted({line for members in everything if owner in members for _, line in members.values()})
    with suppress(FileNotFoundError):  # its directory may go at this moment
        own = textfile.read(hosts).partition(_MARK)[0]
        with open(hosts, "r+", encoding="utf-8") as file:
            file.write(own + (_MARK + "".join(lines) if lines else ""))
            file.truncate()
