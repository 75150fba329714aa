"""The commands of volumes."""

from __future__ import annotations

import time

from labkit.errors import UsageError
from labkit.runtime.cli import listing, table, wordlists
from labkit.runtime.cli.flags import Option, VerbCall, verb
from labkit.runtime.cli.gotypes import Mapping, or_nothing
from labkit.runtime.engine import volumes
from labkit.runtime.engine.volumes import Volume
from labkit.runtime.std.typing import Any

_HEADINGS = listing.headings("Name Driver Labels Mountpoint Scope created users", Name="VOLUME NAME", users="USED BY")
_VERBS = ("create", "ls", "inspect", "rm", "prune")


@verb(
    f"{'|'.join(_VERBS)} [NAME …]",
    Option(("label", "l"), "create: a word about it, may be repeated", "NAME=VALUE", many=True),
    *listing.OPTIONS,
    Option(("all", "a"), "prune: also those with a name"),
    Option(("force", "f"), "rm: no error for one that is not there; prune: nothing more, as docker writes it"),
    most=-1,
)
def volume(call: VerbCall) -> int:
    """Volumes: directories that outlive the containers that use them.

    Examples:
      labkit volume create --label of=redis data
      labkit run -d -v data:/data redis     makes it, too, and fills it with what the image has there
      labkit volume ls
      labkit volume inspect data            where its files are, and who uses it
      labkit volume inspect -f '{{.Mountpoint}}' data
      labkit volume rm data
      labkit volume prune                   those without a name that nobody uses; -a: all that nobody uses
    """
    verb, *names = call.arguments
    actions = {"create": _create, "ls": _list, "inspect": _inspect, "rm": _remove, "prune": _prune}
    if verb not in actions:
        raise UsageError(f"'labkit volume {verb}' is no command", f"one of {', '.join(_VERBS)}")
    if (verb in ("ls", "prune") and names) or (verb == "create" and len(names) > 1):
        raise UsageError(f"'labkit volume {verb}' takes no '{names[-1]}'", "see 'labkit volume --help'")
    if verb in ("inspect", "rm") and not names:
        raise UsageError(f"'labkit volume {verb}' needs a name", "see 'labkit volume ls'")
    return actions[verb](call, names)


def _create(call: VerbCall, names: list[str]) -> int:
    labels = wordlists.labels(call.options.label, [])
    print(volumes.create(names[0] if names else "", [f"{name}={value}" for name, value in labels.items()]))
    return 0


def _list(call: VerbCall, names: list[str]) -> int:
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


def _inspect(call: VerbCall, names: list[str]) -> int:
    return listing.inspected(
        call.options.format, [{**_dockers(volume), **volume.shown()} for volume in map(volumes.find, names)]
    )


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


def _remove(call: VerbCall, names: list[str]) -> int:
    for volume in volumes.to_remove(names, call.options.force):
        volumes.remove(volume.name)
        print(volume.name)
    return 0


def _prune(call: VerbCall, names: list[str]) -> int:
    removed = volumes.prune(with_named=call.options.all)
    print("".join(f"{volume.name}\n" for volume, _ in removed), end="")
    print(f"Total reclaimed space: {table.size(sum(size for _, size in removed))}")
    return 0
