"""Rules of iptables(8), added by one iptables-restore(8) so that a set of them is there or is not.

Both back ends (nf_tables and legacy) have the same commands; the one that the machine's ``iptables`` stands for is
used.
"""

from __future__ import annotations

import subprocess

from labkit.errors import KernelError, MissingToolError
from labkit.kernel import process
from labkit.operations import Operation


class AddRules(Operation):
    """Chains of our own, then rules, each a string ``TABLE CHAIN SPECIFICATION``; ``chains`` are ``TABLE CHAIN``."""

    rules: tuple[str, ...]
    chains: tuple[str, ...] = ()

    def describe(self) -> str:
        """One iptables(8) command a line."""
        made = [f"iptables -t {table} -N {chain}" for table, chain in map(str.split, self.chains)]
        added = [f"iptables -t {table} -A {rule}" for table, rule in map(_table_and_rule, self.rules)]
        return "\n".join(made + added)

    def describe_undo(self) -> str:
        """The same in reverse."""
        deleted = [f"iptables -t {table} -D {rule}" for table, rule in map(_table_and_rule, reversed(self.rules))]
        emptied = [f"iptables -t {table} -F {chain}" for table, chain in map(str.split, self.chains)]
        removed = [f"iptables -t {table} -X {chain}" for table, chain in map(str.split, self.chains)]
        return "\n".join(deleted + emptied + removed)

    def do(self) -> None:
        """All tables in one call. The kernel takes each table as a whole."""
        lines: dict[str, list[str]] = {}
        for table, chain in map(str.split, self.chains):
            lines.setdefault(table, []).append(f":{chain} - [0:0]")
        for table, rule in map(_table_and_rule, self.rules):
            lines.setdefault(table, []).append(f"-A {rule}")
        _restore(lines)

    def undo(self) -> None:
        """All in one call; if a part of it is gone already, what is left one by one."""
        lines: dict[str, list[str]] = {}
        for table, rule in map(_table_and_rule, reversed(self.rules)):
            lines.setdefault(table, []).append(f"-D {rule}")
        for table, chain in map(str.split, self.chains):
            lines.setdefault(table, []).extend([f"-F {chain}", f"-X {chain}"])
        try:
            _restore(lines)
        except KernelError:
            for table, commands in lines.items():
                for command in commands:
                    _run(["iptables", "--wait", "-t", table, *command.split()])


def _table_and_rule(rule: str) -> tuple[str, str]:
    table, _, rest = rule.partition(" ")
    return table, rest


def _restore(lines: dict[str, list[str]]) -> None:
    text = "".join(
        f"*{table}\n" + "".join(f"{line}\n" for line in content) + "COMMIT\n" for table, content in lines.items()
    )
    result = _run(["iptables-restore", "--noflush", "--wait"], text)
    if result.returncode:
        words = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise KernelError(f"iptables-restore failed: {words}", "does this kernel have nf_tables or ip_tables with NAT?")


def _run(command: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        # Were we killed now, it would go on and add what nobody knows of any more.
        return subprocess.run(
            command,
            input=text,
            text=True,
            capture_output=True,
            check=False,
            preexec_fn=process.die_with_parent,  # (we have one thread)
        )
    except FileNotFoundError:
        raise MissingToolError(f"there is no {command[0]} on this machine", "install the package iptables") from None
