"""Make networks, look at them, and join containers to them.

Commands (``labkit network COMMAND --help`` tells more of each):
  create       make a network
  ls           list networks
  inspect      show all that is known of networks, as JSON
  watch        show links, addresses, routes and neighbours as they come and go
  connect      join a container to a network
  disconnect   take a container out of a network
  rm           remove networks
  prune        remove the networks that no container uses
  repair       put back the rules that a reload of the firewall took away

Examples:
  labkit network create shop
  labkit run -d --network shop --name database redis
  labkit run --rm --network shop busybox ping -c 1 database
  labkit network rm shop
"""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.cli.flags import Command, VerbCall
from labkit.runtime.cli.main import read_call
from labkit.runtime.std import importlib

COMMANDS = ("create", "ls", "inspect", "watch", "connect", "disconnect", "rm", "prune", "repair")
_OTHER_NAMES = {"list": "ls", "remove": "rm"}

COMMAND = Command("COMMAND …", (), least=0, most=-1, takes_program=True)


def main(call: VerbCall) -> int:
    """VerbCall the command."""
    word = call.arguments[0] if call.arguments else ""
    name = _OTHER_NAMES.get(word, word)
    if name not in COMMANDS:
        said = f"labkit network has no command '{word}'" if word else "labkit network needs a command"
        raise UsageError(said, f"one of {', '.join(COMMANDS)}; see 'labkit network --help'")
    module = importlib.import_module(f"labkit.runtime.cli.network.{name}")
    own = read_call(f"network {name}", module, call.arguments)
    if own is None:
        return 0
    status: int = module.main(own)
    return status
