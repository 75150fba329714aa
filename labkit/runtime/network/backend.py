"""Which iptables: the one that holds rules on this machine already.

There are two that do not see one another: ``iptables-nft`` keeps its rules in nf_tables, ``iptables-legacy`` in the
older ip_tables. A packet passes both, so that rules spread over the two are hard to follow, and one's ACCEPT does not
help against the other's DROP (https://wiki.debian.org/iptables). So ours join those that are there; on a machine
without any, or with both kinds, the one that ``iptables`` stands for is used. The choice is made when a network comes
up, and noted with its rules, so that they are taken back by the same program.
"""

from __future__ import annotations

import os

#: Tables of ip_tables that were touched in this network namespace (net/ipv4/netfilter/ip_tables.c).
_LEGACY_TABLES = "/proc/net/ip_tables_names"
DEFAULT, NFT, LEGACY = "iptables", "iptables-nft", "iptables-legacy"


def choose() -> str:
    """``iptables``, ``iptables-nft`` or ``iptables-legacy``."""
    if not _find(NFT) or not _find(LEGACY):
        return DEFAULT
    legacy_is_default = "legacy" in os.path.realpath(_find(DEFAULT))
    # Not even a table: no rules. It saves starting a program, which would load the tables, too.
    legacy = _has_legacy_tables() and has_rules(_save(LEGACY))
    if not legacy and not legacy_is_default:
        return DEFAULT
    return decide(has_rules(_save(NFT)), legacy)


def decide(nft: bool, legacy: bool) -> str:
    """By who has rules."""
    if nft == legacy:
        return DEFAULT
    return NFT if nft else LEGACY


def has_rules(saved: str) -> bool:
    """Whether the output of iptables-save(8) has a rule, or a chain that drops what no rule matched."""
    return any(
        line.startswith("-A") or (line.startswith(":") and line.split()[1:2] == ["DROP"]) for line in saved.split("\n")
    )


def _has_legacy_tables() -> bool:
    try:
        with open(_LEGACY_TABLES, encoding="utf-8") as file:
            return bool(file.read().strip())
    except OSError:
        return False


def _find(program: str) -> str:
    """Its path in PATH and where root's programs are; empty where there is none."""
    for directory in [*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/sbin"]:
        path = f"{directory}/{program}"
        if directory and os.access(path, os.X_OK):
            return path
    return ""


def _save(program: str) -> str:
    from labkit.runtime.network.iptables import saved  # local: only needed where there may be two kinds

    return saved(program)
