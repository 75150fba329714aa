"""The commands of volumes."""

from __future__ import annotations

import time

from labkit.runtime.cli import listing, table, wordlists
from labkit.runtime.cli.flags import Option, VerbCall, verb
from labkit.runtime.cli.gotypes import Mapping, or_nothing
from labkit.runtime.cli.main import subcommand
from labkit.runtime.engine import volumes
from labkit.runtime.engine.volumes import Volume
from labkit.runtime.std.typing import Any

_HEADINGS = listing.headings("Name Driver Labels Mountpoint Scope created users", Name="VOLUME NAME", users="USED BY")


@verb("COMMAND …", least=0, most=-1, takes_program=True)
def volume(call: VerbCall) -> int:
    """Volumes: directories that outlive the containers that use them.

    Commands (``labkit volume COMMAND --help`` tells more of each):
      create    make a volume
      ls        list volumes
      inspect   show where a volume's files are, and who uses it, as JSON
      rm        remove volumes
      prune     remove the volumes that nobody uses

    Examples:
      labkit volume create data
      labkit run -d -v data:/data redis     makes it, too, and fills it with what the image has there
      labkit volume inspect data
      labkit volume rm data
    """
    return subcommand(call, "volume", COMMANDS)


@verb("[NAME]", Option(("label", "l"), "a word about it, may be repeated", "NAME=VALUE", many=True), least=0)
def create(call: VerbCall) -> int:
    """Make a volume; without a name it gets one.

    Examples:
      labkit volume create --label of=redis data
    """
    labels = wordlists.labels(call.options.label, [])
    print(volumes.create("".join(call.arguments), [f"{name}={value}" for name, value in labels.items()]))
    return 0


@verb("", *listing.OPTIONS, least=0, most=0)
def ls(call: VerbCall) -> int:
    """List volumes.

    Examples:
      labkit volume ls
      labkit volume ls --format '{{.Name}} {{.users}}'

    The fields of --format are docker's: Name, Driver, Labels, Label "NAME", Mountpoint and Scope; and created and
    users.
    """
    return listing.show(
        call.options,
        volumes.everything(),
        _HEADINGS,
        ("Name", "created", "Labels", "users"),
        plain=Volume.shown,
        name=lambda volume: volume.name,
        entry=_row,
    )


def _row(volume: Volume) -> dict[str, Any]:
    """An entry of the list, all of it text: docker's fields, and our own."""
    labels = dict(label.partition("=")[::2] for label in volume.labels)
    return {
        **{name: _dockers(volume)[name] for name in ("Name", "Driver", "Mountpoint", "Scope")},
        "Labels": ",".join(volume.labels),
        "Label": lambda name: labels.get(name, ""),
        "created": table.ago(volume.created),
        "users": ", ".join(volume.users),
    }


@verb("VOLUME …", Option(("format", "f"), "a template, as {{.Mountpoint}}, or json", "TEMPLATE", ""), most=-1)
def inspect(call: VerbCall) -> int:
    """Show all that is known of volumes, as a JSON list: where their files are, who uses them.

    Examples:
      labkit volume inspect data
      labkit volume inspect -f '{{.Mountpoint}}' data
    """
    found = [{**_dockers(volume), **volume.shown()} for volume in map(volumes.find, call.arguments)]
    return listing.inspected(call.options.format, found)


def _dockers(volume: Volume) -> dict[str, Any]:
    """docker's names; its moments are whole seconds here."""
    labels = Mapping((name, value) for name, _, value in (label.partition("=") for label in volume.labels))
    return {
        "CreatedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(volume.created)),
        "Driver": "local",
        "Labels": or_nothing(labels),
        "Mountpoint": volume.shown()["mountpoint"],
        "Name": volume.name,
        "Options": or_nothing(Mapping()),
        "Scope": "local",
    }


@verb("VOLUME …", Option(("force", "f"), "no error for one that is not there"), most=-1)
def rm(call: VerbCall) -> int:
    """Remove volumes. One that a container uses stays.

    Examples:
      labkit volume rm data
    """
    for volume in volumes.to_remove(call.arguments, call.options.force):
        volumes.remove(volume.name)
        print(volume.name)
    return 0


@verb(
    "",
    Option(("all", "a"), "also those with a name"),
    Option(("force", "f"), "docker asks without it; labkit does not", hidden=True),
    least=0,
    most=0,
)
def prune(call: VerbCall) -> int:
    """Remove the volumes without a name that nobody uses.

    Examples:
      labkit volume prune
      labkit volume prune -a
    """
    removed = volumes.prune(with_named=call.options.all)
    print("".join(f"{volume.name}\n" for volume, _ in removed), end="")
    print(f"Total reclaimed space: {table.size(sum(size for _, size in removed))}")
    return 0


COMMANDS = (create, ls, inspect, rm, prune)
