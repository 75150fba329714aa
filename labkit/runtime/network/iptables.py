"""Rules of iptables(8), added by one iptables-restore(8) so that a set of them is there or is not.

There are two back ends, with the same commands, that do not see one another: ``iptables-nft`` keeps its rules in
nf_tables, ``iptables-legacy`` in the older ip_tables. A packet passes both, so that rules spread over the two are hard
to follow, and one's ACCEPT does not help against the other's DROP (https://wiki.debian.org/iptables). So ours join
those that are there; on a machine without any, or with both kinds, the one that ``iptables`` stands for is used. The
choice is made when a network comes up, and noted with its rules, so that they are taken back by the same program.
"""

from __future__ import annotations

import os

from labkit.errors import KernelError, MissingToolError
from labkit.runtime.kernel import process
from labkit.runtime.operations import Operation
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass, replace
from labkit.runtime.std.typing import NoReturn
from labkit.runtime.text import textfile

#: Tables of ip_tables that were touched in this network namespace (net/ipv4/netfilter/ip_tables.c).
_LEGACY_TABLES = "/proc/net/ip_tables_names"


def choose() -> str:
    """``iptables``, ``iptables-nft`` or ``iptables-legacy``."""
    if not _find("iptables-nft") or not _find("iptables-legacy"):
        return "iptables"
    # Not even a table: no rules. It saves starting a program, which would load the tables, too.
    legacy = False
    with suppress(OSError):
        legacy = bool(textfile.read(_LEGACY_TABLES).strip()) and _has_rules("iptables-legacy")
    if not legacy and "legacy" not in os.path.realpath(_find("iptables")):
        return "iptables"
    if legacy == _has_rules("iptables-nft"):
        return "iptables"
    return "iptables-legacy" if legacy else "iptables-nft"


def _has_rules(program: str) -> bool:
    """Whether it has a rule, or a chain that drops what no rule matched."""
    lines = saved(program).split("\n")
    return any(line.startswith("-A") or (line.startswith(":") and line.split()[1:2] == ["DROP"]) for line in lines)


@dataclass(frozen=True)
class AddRules(Operation):
    """Chains of our own, then rules, each a string ``TABLE CHAIN SPECIFICATION``; ``chains`` are ``TABLE CHAIN``.

    They are written as iptables-save(8) prints them (``-s -d -i -o -p``, the rest), to be compared.
    Rules in ``first`` go before all others of their chain: a firewall may have ended it with a DROP.
    """

    rules: tuple[str, ...]
    chains: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    program: str = "iptables"
    is_new: bool = False
    """None of it can be there: it names an address and ports that were just reserved."""

    is_apart = True  # the kernel lets a commit of nf_tables wait until nobody reads the old rules (RCU): 10 to 30 ms

    def describe(self) -> str:
        """One iptables(8) command a line."""
        made = [f"{self.program} -t {table} -N {chain}" for table, chain in map(str.split, self.chains)]
        inserted = [f"{self.program} -t {table} -I {rule}" for table, rule in map(_table_and_rule, self.first)]
        added = [f"{self.program} -t {table} -A {rule}" for table, rule in map(_table_and_rule, self.rules)]
        return "\n".join(made + inserted + added)

    def describe_undo(self) -> str:
        """The same in reverse."""
        return "\n".join(f"{self.program} -t {table} {command}" for table, command in self._deletions())

    def do(self) -> None:
        """Add what is not there, all tables in one call. The kernel takes each table as a whole."""
        self.begin()()

    def begin(self) -> Callable[[], None]:
        """See ``do``."""
        return (self if self.is_new else self.missing(saved(self.program)))._begin_restore()  # a look costs 8 ms

    def missing(self, present: str) -> AddRules:
        """The part of it that ``present``, the output of iptables-save(8), does not have."""
        lines = set(canonical(present))
        return replace(
            self,
            chains=tuple(chain for chain in self.chains if f"{chain} exists" not in lines),
            rules=tuple(rule for rule in self.rules if _with_masks(rule) not in lines),
            first=tuple(rule for rule in self.first if _with_masks(rule) not in lines),
        )

    def _begin_restore(self) -> Callable[[], None]:
        """Add all of it, there or not. A declared chain that exists would be emptied: leave out those that do."""
        lines: dict[str, list[str]] = {}
        for table, chain in map(str.split, self.chains):
            lines.setdefault(table, []).append(f":{chain} - [0:0]")
        for letter, rules in (("I", self.first), ("A", self.rules)):
            for table, rule in map(_table_and_rule, rules):
                lines.setdefault(table, []).append(f"-{letter} {rule}")
        return _begin_restore(self.program, lines)

    def undo(self) -> None:
        """All in one call; if a part of it is gone already, what is left one by one."""
        self.begin_undo()()

    def begin_undo(self) -> Callable[[], None]:
        """See ``undo``."""
        lines: dict[str, list[str]] = {}
        for table, command in self._deletions():
            lines.setdefault(table, []).append(command)
        wait_for_all = _begin_restore(self.program, lines)

        def wait() -> None:
            try:
                wait_for_all()
            except KernelError:
                for table, command in self._deletions():
                    _run([self.program, "--wait", "-t", table, *command.split()])

        return wait

    def _deletions(self) -> list[tuple[str, str]]:
        deleted = [(table, f"-D {rule}") for table, rule in map(_table_and_rule, reversed(self.first + self.rules))]
        chains = [(table, chain) for table, chain in map(str.split, self.chains)]
        return deleted + [(table, f"-{letter} {chain}") for letter in "FX" for table, chain in chains]


def saved(program: str = "iptables", counters: bool = False) -> str:
    """What iptables-save(8) prints; empty where there is no such program or nothing is loaded."""
    result = _run([f"{program}-save", *(["-c"] if counters else [])])
    return result.output if result.status == 0 else ""


def canonical(text: str) -> list[str]:
    """iptables-save's output as our rules are written: ``TABLE CHAIN SPECIFICATION``, and ``TABLE CHAIN exists``."""
    table, found = "", []
    for line in text.split("\n"):
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            found.append(f"{table} {line[1:].split()[0]} exists")
        elif line.startswith("-A "):
            found.append(f"{table} {line[3:]}")
    return found


def _with_masks(rule: str) -> str:
    """A single address as iptables-save prints it."""
    words = rule.split(" ")
    for place, word in enumerate(words[:-1]):
        if word in ("-s", "-d") and "/" not in words[place + 1]:
            words[place + 1] += "/32"
    return " ".join(words)


def _table_and_rule(rule: str) -> tuple[str, str]:
    table, _, rest = rule.partition(" ")
    return table, rest


def _begin_restore(program: str, lines: dict[str, list[str]]) -> Callable[[], None]:
    """iptables-restore(8) with the lines of each table; what is returned waits, and raises KernelError."""
    if not lines:
        return lambda: None
    text = "".join(
        f"*{table}\n" + "".join(f"{line}\n" for line in content) + "COMMIT\n" for table, content in lines.items()
    )
    at_work = _Program([f"{program}-restore", "--noflush", "--wait"], text)

    def wait() -> None:
        done = at_work.wait()
        if done.status:
            words = (done.errors.strip().splitlines() or ["no message"])[-1]
            hint = "does this kernel have nf_tables or ip_tables with NAT?"
            raise KernelError(f"iptables-restore failed: {words}", hint)

    return wait


@dataclass(frozen=True)
class _Done:
    status: int
    output: str
    errors: str


def _run(command: list[str]) -> _Done:
    return _Program(command).wait()


class _Program:
    """A program at work, with ``text`` as its standard input.

    What it reads and writes are files in memory (memfd_create(2)), so that nobody has to read and write in turns;
    ``subprocess`` takes 5 ms to import. MissingToolError where there is no such program.
    """

    def __init__(self, command: list[str], text: str = "") -> None:
        path = _find(command[0])
        if not path:
            raise MissingToolError(f"there is no {command[0]} on this machine", "install the package iptables")
        self.files = [os.memfd_create(name) for name in ("given", "output", "errors")]
        os.write(self.files[0], text.encode())
        os.lseek(self.files[0], 0, os.SEEK_SET)
        self.pid = os.fork()
        if self.pid == 0:
            _become(path, command, self.files)

    def wait(self) -> _Done:
        """Until it has ended."""
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
            return _Done(status, *map(_text, self.files[1:]))
        finally:
            for file in self.files:
                os.close(file)


def _text(file: int) -> str:
    return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")


def _find(program: str) -> str:
    """Its path in PATH, or where root's programs are; empty where there is none."""
    paths = [f"{directory}/{program}" for directory in (*os.get_exec_path(), "/usr/sbin", "/sbin")]
    return next((path for path in paths if os.access(path, os.X_OK)), "")


def _become(path: str, command: list[str], standard: list[int]) -> NoReturn:
    try:
        process.die_with_parent()  # were we killed now, it would go on and add what nobody knows of any more
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
        os.execv(path, command)  # noqa: S606 - no shell is meant
    finally:
        os._exit(126)
