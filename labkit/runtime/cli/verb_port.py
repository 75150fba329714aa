"""Show where a container's published ports lead from.

Examples:
  labkit port redis
  labkit port redis 6379
  labkit port redis 6379/tcp
"""

from __future__ import annotations

from labkit.errors import NotFoundError
from labkit.runtime.cli.flags import Command, VerbCall
from labkit.runtime.engine.record import record

COMMAND = Command("CONTAINER [PORT[/PROTOCOL]]", (), most=2)


def main(call: VerbCall) -> int:
    """Print a line for each."""
    container = record.find(call.arguments[0])
    running = container.state().status in ("running", "paused")
    ports = container.ports if running else []
    if len(call.arguments) == 1:
        for mapping in ports:
            print(f"{mapping.inside} -> {mapping.outside}")
        return 0
    wanted = call.arguments[1] if "/" in call.arguments[1] else f"{call.arguments[1]}/tcp"
    found = [mapping.outside for mapping in ports if mapping.inside == wanted]
    if not found:
        raise NotFoundError(
            f"the container {container.name} publishes no port {wanted}", f"see 'labkit port {container.name}'"
        )
    print("\n".join(found))
    return 0
