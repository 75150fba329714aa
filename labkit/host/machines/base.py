"""What every back end can do, and what is known of a machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # fabric takes 0.2 s to import, and `invoke up` of a running machine does not need it
    import fabric


@dataclass(frozen=True)
class Status:
    """What ``invoke status`` shows of one machine."""

    name: str
    provider: str
    state: str
    """``absent`` (nothing on disk), ``stopped``, ``running`` or ``broken`` (see ``detail``)."""
    detail: str = ""
    facts: dict[str, str | int | None] = field(default_factory=dict)
    """Provider's own: pid, ssh port, accelerator, kernel, disk use in bytes …"""


class Machine(Protocol):
    """What every back end can do. Each may raise ``InfrastructureError``, and takes the machine's lock if need be."""

    name: str
    provider: str

    def up(self) -> None:
        """Running, reachable and deployed; a no-op where it is running and reachable already, the clock excepted."""

    def down(self) -> None:
        """Stopped. A back end with a snapshot goes back to it at the next ``up``; others keep what is on the disk."""

    def destroy(self) -> None:
        """Nothing of it is left on the host, the (shared) guest image excepted."""

    def reset(self) -> None:
        """As it was at the end of the first ``up``, the clock and a newer deploy excepted; running."""

    def status(self) -> Status:
        """What it is doing now. Never raises for a machine that is down."""

    def connection(self) -> fabric.Connection:
        """An open SSH connection as root: one for everything, opened at first use, made anew after a reset.

        The machine's clock is this computer's: whoever asks long afterwards has it compared once more.
        """

    def console_log(self) -> Path | None:
        """Where the guest's console is logged, if it is."""
