"""Kernel parameters (config-linux.md, "Sysctl"): only those of which the container has a copy of its own."""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.text.document import Reader

#: What an ipc namespace has of its own (ipc_namespaces(7)), besides all of fs.mqueue.
_IPC = {f"kernel.{name}" for name in "msgmax msgmnb msgmni sem shm_rmid_forced shmall shmmax shmmni".split()}


def read(linux: Reader, kinds: dict[str, str]) -> dict[str, str]:
    """Path below /proc/sys -> value.

    ConfigError for a parameter of the whole machine, or of a namespace that the container shares with the machine.
    """
    found = {}
    values = linux.child("sysctl", optional=True)
    for name in values.object:
        value = values.value(name, str)
        place = _path(name)
        if place is None or "\0" in value:
            raise ConfigError(f"config.json: {values.where(name)} is no kernel parameter")
        _check_namespace(values.where(name), place.replace("/", "."), kinds)
        found[place] = value
    return found


def _path(name: str) -> str | None:
    """``net.ipv4.conf.eth0/1.forwarding`` is net/ipv4/conf/eth0.1/forwarding, and may be written so (sysctl(8))."""
    dot, slash = name.find("."), name.find("/")
    if dot >= 0 and (slash < 0 or dot < slash):
        name = name.translate(str.maketrans("./", "/."))
    steps = name.split("/")
    return name if "\0" not in name and all(step.strip(".") for step in steps) else None


def _check_namespace(where: str, name: str, kinds: dict[str, str]) -> None:
    if name in _IPC or name.startswith("fs.mqueue."):
        needed = "ipc"
    elif name.startswith("net."):
        needed = "net"
    elif name == "kernel.domainname":
        needed = "uts"
    elif name == "kernel.hostname":
        raise ConfigError(f"config.json: {where} conflicts with the property hostname", "use hostname")
    else:
        raise ConfigError(
            f"config.json: {where} is a parameter of the whole machine, and no container's", "take it out"
        )
    if needed not in kinds:
        raise ConfigError(f"config.json: {where} would change the machine's: the container has no {needed} namespace")
