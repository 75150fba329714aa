"""The commands of volumes."""

from __future__ import annotations

from labkit.errors import UsageError
from labkit.runtime.cli import gotypes, table, wordlists
from labkit.runtime.cli.dockernames import volume as docker_volume
from labkit.runtime.cli.flags import Option, VerbCall, verb
from labkit.runtime.engine import volumes
from labkit.runtime.std import json

_VERBS = ("create", "ls", "inspect", "rm", "prune")


@verb(
    f"{'|'.join(_VERBS)} [NAME …]",
    Option(("label", "l"), "create: a word about it, may be repeated", "NAME=VALUE", many=True),
    Option(("quiet", "q"), "ls: only the names"),
    Option(("json",), "ls: for programs"),
    Option(("format",), "ls, inspect: a template with docker's fields, or json", "TEMPLATE", ""),
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
    found = volumes.everything()
    if call.options.json:
        print(json.dumps([volume.shown() for volume in found], indent=1))
    elif call.options.format:
        entries = [docker_volume.row(volume) for volume in found]
        from labkit.runtime.cli import template  # local: most calls do without

        print("\n".join(template.listing(call.options.format, entries, docker_volume.FIELDS, Name="VOLUME NAME")))
    elif call.options.quiet:
        print("".join(f"{volume.name}\n" for volume in found), end="")
    else:
        rows = [
            [volume.name, table.ago(volume.created), ", ".join(volume.labels), ", ".join(volume.users)]
            for volume in found
        ]
        print(table.render(["VOLUME NAME", "CREATED", "LABELS", "USED BY"], rows))
    return 0


def _inspect(call: VerbCall, names: list[str]) -> int:
    found = [{**docker_volume.of(volume), **volume.shown()} for volume in map(volumes.find, names)]
    if call.options.format:
        from labkit.runtime.cli import template  # local: most calls do without

        print("\n".join(template.inspection(call.options.format, found)))
    else:
        print(json.dumps(gotypes.plain(found), indent=4))
    return 0


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
