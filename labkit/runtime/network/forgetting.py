"""What the kernel remembers of connections, forgotten where it has become untrue.

The rules of the table nat are asked for the first packet of a connection only; for all others the kernel looks into its
notes. So whoever goes on sending from one port, as only UDP and ping do, keeps a note alive that says "this port leads
nowhere", or "to that container", long after the rules say otherwise. (A TCP connection without a server is refused,
which ends its note.) docker forgets a container's address when it ends, too; its release 20.10 leaves the ports alone,
and they stay as dead as said.
"""

from __future__ import annotations

from labkit.runtime.network import conntrack, ipam
from labkit.runtime.network.conntrack import Entry, address_of
from labkit.runtime.network.model import ANY
from labkit.runtime.operations import Operation
from labkit.runtime.std import socket
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.contextlib import suppress
from labkit.runtime.std.dataclasses import dataclass

#: conntrack(8) is not everywhere, and calls it a failure when there was nothing to forget.
_IF_IT_CAN = " > /dev/null 2>&1 || true"


@dataclass(frozen=True)
class ForgetPorts(Operation):
    """Published UDP ports lead to a container from now on: the notes that say otherwise go.

    ``ports`` are ``ADDRESS:PORT`` of this machine, 0.0.0.0 for any. It comes after the rules: before them, a client
    would at once make the kernel write the same note again.
    """

    ports: tuple[str, ...]
    address: str
    """The container's."""
    needs_all = True

    def describe(self) -> str:
        """As conntrack(8), which cannot say "those that lead elsewhere", and takes them all."""
        commands = []
        for host, _, port in (end.partition(":") for end in self.ports):
            there = "" if host == ANY else f" -d {host}"
            commands.append(f"conntrack -D -p udp{there} --dport {port}{_IF_IT_CAN}")
        return "\n".join(commands)

    def do(self) -> None:
        """IPCTNL_MSG_CT_DELETE for each."""
        words = [f"dport={end.partition(':')[2]} " for end in self.ports]
        _forget(words, self.is_stale)

    def is_stale(self, entry: Entry) -> bool:
        """Whether it is about such a port and leads elsewhere."""
        host, _, port = entry.destination.partition(":")
        if entry.protocol != "udp" or not {f"{ANY}:{port}", entry.destination} & set(self.ports):
            return False
        if address_of(entry.reply_source) == self.address:
            return False
        return entry.reply_source != entry.destination or _is_ours(host)

    def undo(self) -> None:
        """Nothing: what is true now, ``forget_address`` takes away when it ends to be."""


@dataclass(frozen=True)
class ForgetUnanswered(Operation):
    """Rules of a network were put back: what its containers sent meanwhile, untranslated, and what nobody could answer
    is judged anew. A connection that has had an answer works, and is left alone.
    """

    subnet: str

    def describe(self) -> str:
        """As conntrack(8), which cannot say "never answered", nor "translated to this subnet"."""
        return f"conntrack -D -s {self.subnet}{_IF_IT_CAN}"

    def do(self) -> None:
        """IPCTNL_MSG_CT_DELETE for each."""
        _forget(["[UNREPLIED]"], self.is_stale)

    def is_stale(self, entry: Entry) -> bool:
        """Whether one of its own began it, or was to answer, and nobody did."""
        ends = (entry.source, entry.reply_source)
        return not entry.is_answered and any(ipam.is_host(address_of(end), self.subnet) for end in ends)

    def undo(self) -> None:
        """Nothing: there is no way to remember it."""


def forget_address(address: str) -> None:
    """All that a container's address began or answered: the next container with this address is another one."""
    words = [f"src={address} "]  # the original's, or the reply's
    _forget(words, lambda entry: address in (address_of(entry.source), address_of(entry.reply_source)))


def describe_address(address: str) -> str:
    """The commands of ``forget_address``."""
    return "\n".join(f"conntrack -D --{way}-src {address}{_IF_IT_CAN}" for way in ("orig", "reply"))


def _forget(words: list[str], is_stale: Callable[[Entry], bool]) -> None:
    """Those of the entries with one of the words that are stale."""
    with suppress(OSError):  # a kernel without ctnetlink, or without any of this
        try:
            entries = conntrack.listed(words)
        except FileNotFoundError:
            entries = conntrack.dump()
        stale = [entry for entry in entries if is_stale(entry)]
        if stale:
            conntrack.forget(stale)


def _is_ours(address: str) -> bool:
    """Whether it is one of this machine's: another machine's port of that number is no business of ours."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
        return True
