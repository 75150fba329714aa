"""A network as docker's ``network inspect`` and ``network ls`` show it."""

from __future__ import annotations

from labkit.runtime.cli import table
from labkit.runtime.cli.dockernames.settings import shown_name
from labkit.runtime.cli.gotypes import Mapping
from labkit.runtime.network import ipam
from labkit.runtime.std.typing import Any
from labkit.runtime.text import timestamps

FIELDS = ("Name", "Driver", "Scope", "Internal", "CreatedAt")


def of(shown: dict[str, Any]) -> dict[str, Any]:
    """``shown`` is what engine.networks tells of it; containers that do not run are not among docker's."""
    prefix = ipam.prefix_of(shown["subnet"])
    members = {
        id_: {"Name": member["name"], "IPv4Address": f"{member.get('address', '')}/{prefix}"}
        for id_, member in shown["containers"].items()
        if member["status"] in ("running", "paused")
    }
    addresses = {"Subnet": shown["subnet"], **({"Gateway": shown["gateway"]} if shown["gateway"] else {})}
    return {
        "Name": shown_name(shown["name"]),
        "Created": timestamps.rfc3339(shown["created"]),
        "Scope": "local",
        "Driver": shown["driver"],
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": Mapping(), "Config": [addresses]},
        "Internal": shown["internal"],
        "Containers": Mapping(members),
        "Options": Mapping(),
        "Labels": Mapping(),
    }


def row(shown: dict[str, Any]) -> dict[str, Any]:
    """An entry of the list: all of it text."""
    return {
        "Name": shown_name(shown["name"]),
        "Driver": shown["driver"],
        "Scope": "local",
        "Internal": "true" if shown["internal"] else "false",
        "CreatedAt": table.moment(shown["created"]),
    }
