"""QEMU's monitor: what labkit asks of a running QEMU. One short conversation per question.

QEMU serves one client at a time on a monitor socket, and a conversation costs milliseconds, so nobody keeps it open.
``savevm`` and ``loadvm`` are the human monitor's commands, carried by QMP: they do the whole job and say what went
wrong in words, where QMP's own snapshot-save (QEMU 6.0) would need a watched job and the names of all block nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from qemu.qmp import ConnectError, QMPClient, QMPError

from labkit.errors import InfrastructureError

Address = str | tuple[str, int]
"""The path of a Unix socket, or host and port where there are none (Windows)."""

_PAUSE = 0.05


async def _connected(address: Address, seconds: float, still_there: Callable[[], bool]) -> QMPClient:
    """A client whose greeting is over. QEMU listens early, but greets only when the machine is set up (and loaded)."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        client = QMPClient("labkit")
        try:
            remaining = max(0.1, deadline - asyncio.get_running_loop().time())
            await asyncio.wait_for(client.connect(address), remaining)
        except (ConnectError, TimeoutError) as error:
            if not still_there():
                raise InfrastructureError("QEMU ended.") from error
            if asyncio.get_running_loop().time() >= deadline:
                raise InfrastructureError(f"QEMU's monitor does not answer after {seconds:.0f} s.") from error
            await asyncio.sleep(_PAUSE)
        else:
            return client


def execute(
    address: Address,
    command: str,
    arguments: dict[str, object] | None = None,
    seconds: float = 10.0,
    still_there: Callable[[], bool] = lambda: True,
) -> object:
    """Run one QMP command and return its result. ``seconds`` bounds the greeting and the command, each.

    InfrastructureError where QEMU does not answer in time, refuses, or is gone (``still_there`` says so).
    """

    async def conversation() -> object:
        client = await _connected(address, seconds, still_there)
        try:
            return await asyncio.wait_for(client.execute(command, arguments), seconds)
        except TimeoutError as error:
            raise InfrastructureError(f"QEMU does not finish “{command}” within {seconds:.0f} s.") from error
        except QMPError as error:
            raise InfrastructureError(f"QEMU refuses “{command}”: {error}") from error
        finally:
            # Where QEMU is gone (it was told to quit) there is nothing to take leave of.
            with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
                await asyncio.wait_for(client.disconnect(), 5)

    return asyncio.run(conversation())


def _human(address: Address, line: str, seconds: float) -> None:
    """Run a command of the human monitor. What it prints is what went wrong; nothing where all is well."""
    said = str(execute(address, "human-monitor-command", {"command-line": line}, seconds)).strip()
    if said:
        raise InfrastructureError(f"QEMU cannot do “{line}”: {said}")


def save_snapshot(address: Address, name: str) -> None:
    """Save memory and disk into the machine's disk file."""
    _human(address, f"savevm {name}", seconds=120)


def load_snapshot(address: Address, name: str) -> None:
    """Put memory and disk back to what they were. Works on a guest that hangs, too."""
    _human(address, f"loadvm {name}", seconds=60)
    execute(address, "cont")  # A guest that was paused before stays paused otherwise.


def quit_qemu(address: Address, seconds: float = 3.0) -> None:
    """End QEMU at once. Raises nothing: whoever calls this looks at the process afterwards."""
    with contextlib.suppress(InfrastructureError, OSError, EOFError):
        execute(address, "quit", None, seconds)
