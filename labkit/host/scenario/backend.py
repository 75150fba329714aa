"""testinfra over the lab's one SSH connection.

testinfra brings SSH back ends of its own, which log in once more (nearly a second in an emulated guest) and start a
session for each command (0.2 s there). This one keeps a shell open and gives it one command after the other.
Arguments are quoted by construction, as testinfra does: ``host.run("redis-cli -h %s ping", address)``.
"""

from __future__ import annotations

import secrets
import shlex
from typing import Any

import fabric
from testinfra.backend.base import BaseBackend, CommandResult
from testinfra.host import Host

from labkit.host.scenario.shell import Shell, ShellLostError

TIMEOUT = 60.0
"""Seconds that a check's command may take."""

# A process costs 50 ms in an emulated guest, so that all around a check's command is done by the shell itself.
# `pids_of 'redis-server*'` is for checks, too: the processes whose command line (proc_pid_cmdline(5)) is like
# that, the smallest first. pgrep reads six files of each process and takes eight times as long.
# Descriptor 9 is a file without a name that takes the command's standard error; opening it by /proc/$$/fd/9 empties it.
_SET_UP = """
f=$(mktemp) && exec 9<>"$f" && rm "$f"
errors=/proc/$$/fd/9
pids_of() {
    local place words
    for place in /proc/[0-9] /proc/[0-9][0-9] /proc/[0-9][0-9][0-9] /proc/[0-9][0-9][0-9][0-9]*; do
        mapfile -d '' -t words 2>/dev/null <"$place/cmdline" || continue
        [[ "${words[*]}" == $1 ]] && echo "${place#/proc/}"
    done
    true
}
labkit_end() { printf %s "$2"; if [ -s $errors ]; then cat $errors; fi; return $1; }
"""


class LabBackend(BaseBackend):  # type: ignore[misc]  # testinfra has no types
    """Runs testinfra's commands in the machine, each in a subshell: none changes the next one's world."""

    NAME = "labkit"

    def __init__(self, name: str, connection: fabric.Connection) -> None:
        super().__init__(name)
        self._connection = connection
        self._shell: Shell | None = None

    @property
    def encoding(self) -> str:
        """testinfra would start a Python in the machine to ask for it."""
        return "utf-8"

    def run(self, command: str, *args: str, **_unused: Any) -> CommandResult:
        """Run ``command`` with ``args`` quoted into its ``%s``.

        AssertionError where it hangs; InfrastructureError where the machine is gone, which is no failed check.
        """
        line = self.get_command(command, *args)
        between = f"\n{secrets.token_hex(16)}\n"
        try:
            result = self._open().run(
                f"( eval {shlex.quote(line)} ) 2>$errors 9>&-\nlabkit_end $? {shlex.quote(between)}",
                TIMEOUT,
            )
        except ShellLostError as error:
            self.close()
            raise AssertionError(f"`{line}` did not come to an end: {error}") from None
        stdout, _, stderr = result.output.partition(between)
        return self.result(result.exit_status, self.encode(line), stdout, stderr)

    def close(self) -> None:
        """End the shell. The next command gets a new one."""
        if self._shell is not None:
            self._shell.close()
            self._shell = None

    def _open(self) -> Shell:
        if self._shell is None:
            shell = Shell(self._connection)
            made = shell.run(_SET_UP.strip())
            if made.exit_status != 0:
                raise AssertionError(f"no temporary file can be made in the machine: {made.output.strip()}")
            self._shell = shell
        return self._shell


class LabHost(Host):  # type: ignore[misc]  # testinfra has no types
    """testinfra's Host, with a sentence where it would show a data structure."""

    def check_output(self, command: str, *args: str, **_unused: Any) -> str:
        """The command's standard output without the last newlines; AssertionError where its status is not 0."""
        result = self.backend.run(command, *args)
        words = (result.stderr or result.stdout).strip()
        line = result.command.decode("utf-8")
        assert result.rc == 0, f"`{line}` ended with status {result.rc}{f': {words}' if words else ''}"
        return str(result.stdout).rstrip("\r\n")


def host(name: str, connection: fabric.Connection) -> LabHost:
    """What the checks' ``host`` fixture is."""
    return LabHost(LabBackend(name, connection))
