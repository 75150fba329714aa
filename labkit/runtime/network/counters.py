"""Which rules a packet has passed: the counters of iptables-save(8) -c, before and after it. Pure."""

from __future__ import annotations

from labkit.runtime.std.dataclasses import dataclass
from labkit.runtime.std.typing import TYPE_CHECKING

if TYPE_CHECKING:
    #: (table, chain, rule, how many times the same stood before it) -> packets. In the order of the rules.
    Counters = dict[tuple[str, str, str, int], int]


@dataclass(frozen=True)
class Passed:
    """A rule that has counted: in which chain, how deep below the hook's own, and its packets before and after."""

    chain: str
    depth: int
    rule: str
    before: int
    after: int


def read(text: str) -> Counters:
    """What ``iptables-save -c`` says: ``*TABLE``, ``[PACKETS:BYTES] -A CHAIN RULE``. A chain's declaration is the rule
    of no words, so that one without rules is known, too.
    """
    table, found = "", {}
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            found[(table, line[1:].split()[0], "", 0)] = 0
        elif line.startswith("["):
            numbers, _, rest = line.partition("] -A ")
            chain, _, rule = rest.partition(" ")
            same = sum(known[:3] == (table, chain, rule) for known in found)
            found[(table, chain, rule, same)] = int(numbers[1:].partition(":")[0])
    return found


def tables(counters: Counters) -> set[str]:
    """Those that are in use."""
    return {table for table, _, _, _ in counters}


def passed(before: Counters, after: Counters, table: str, chain: str, depth: int = 0) -> list[Passed]:
    """The rules of a hook's chain whose counters have risen, each followed by those of the chain that it jumps to."""
    found: list[Passed] = []
    for key, packets in after.items():
        if key[:2] != (table, chain) or packets <= before.get(key, 0):
            continue
        rule = key[2]
        found.append(Passed(chain, depth, rule, before.get(key, 0), packets))
        target = _target(rule)
        if target and (table, target, "", 0) in after:
            found += passed(before, after, table, target, depth + 1)
    return found


def _target(rule: str) -> str:
    words = rule.split()
    return next((words[place + 1] for place, word in enumerate(words[:-1]) if word in ("-j", "-g")), "")
