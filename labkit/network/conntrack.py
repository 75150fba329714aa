"""What the kernel remembers of a connection: its addresses on the way there, and those that its answers come with."""

from __future__ import annotations

from labkit import textfile
from labkit.value import Value

_TABLE = "/proc/net/nf_conntrack"


class Entry(Value):
    """Addresses as ``10.77.0.2:6379``. Where nothing is translated the reply is the original in reverse."""

    protocol: str
    source: str
    destination: str
    reply_source: str
    """Who answers: the destination after DNAT."""
    reply_destination: str
    """Whom the answer is sent to: the source after MASQUERADE."""
    state: str = ""


def find(protocol: str, source: str, destination: str) -> Entry | None:
    """The entry of a connection of this network namespace; None where there is none.

    None, too, where the kernel was built without that file (CONFIG_NF_CONNTRACK_PROCFS).
    """
    try:
        lines = textfile.read(_TABLE).splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        entry = parse(line)
        if entry and (entry.protocol, entry.source, entry.destination) == (protocol, source, destination):
            return entry
    return None


def parse(line: str) -> Entry | None:
    """``ipv4 2 tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… src=… dst=… sport=… dport=… …``."""
    words = line.split()
    found: dict[str, list[str]] = {"src": [], "dst": [], "sport": [], "dport": []}
    for word in words:
        name, equals, value = word.partition("=")
        if equals and name in found:
            found[name].append(value)
    if words[:1] != ["ipv4"] or any(len(values) != 2 for values in found.values()):
        return None
    ends = [f"{found['src'][way]}:{found['sport'][way]}" for way in (0, 1)]
    others = [f"{found['dst'][way]}:{found['dport'][way]}" for way in (0, 1)]
    state = words[5] if "=" not in words[5] else ""
    return Entry(words[2], ends[0], others[0], ends[1], others[1], state)
