"""What lists and inspections print: JSON, names alone, what a template makes of each entry, or a table."""

from __future__ import annotations

from labkit.runtime.cli import gotypes, table
from labkit.runtime.cli.flags import Flags, Option
from labkit.runtime.std import json
from labkit.runtime.std.collections.abc import Callable, Iterable, Sequence
from labkit.runtime.std.typing import Any, TypeVar

T = TypeVar("T")

OPTIONS = (
    Option(("quiet", "q"), "names or ids only"),
    Option(("format",), "a template, or json", "TEMPLATE", ""),
    Option(("json",), "all that is known of them, as a JSON list"),
)


def headings(fields: str, **own: str) -> dict[str, str]:
    """Field -> its heading: its own words, as ``CREATED AT`` for CreatedAt, but for the fields with headings of their
    ``own``.
    """
    return {field: own.get(field) or _apart(field) for field in fields.split()}


def _apart(name: str) -> str:
    letters = [
        f" {letter}" if letter.isupper() and name[place - 1 : place].islower() else letter
        for place, letter in enumerate(name)
    ]
    return "".join(letters).upper()


def show(
    options: Flags,
    found: Sequence[T],
    heads: dict[str, str],
    columns: Sequence[str],
    *,
    plain: Callable[[T], dict[str, Any]],
    name: Callable[[T], str],
    entry: Callable[[T], dict[str, Any]],
) -> int:
    """A list, as its OPTIONS ask for it: ``plain`` is all of a thing for --json, ``name`` is for --quiet, ``entry`` has
    the fields.
    """
    if options.json:
        print(json.dumps([plain(one) for one in found], indent=1))
    elif options.quiet and not options.format:
        print("".join(f"{name(one)}\n" for one in found), end="")
    else:
        shown = text(options.format, [entry(one) for one in found], heads, columns)
        print(shown, end="\n" if shown else "")
    return 0


def text(template: str, entries: list[dict[str, Any]], heads: dict[str, str], columns: Sequence[str]) -> str:
    """What the template makes of entries; without one, a table of the ``columns``."""
    if template:
        from labkit.runtime.cli import template as templates  # local, as below: most calls do without

        return "\n".join(templates.listing(template, entries, heads))
    rows = [[str(entry[name]) for name in columns] for entry in entries]
    return table.render([heads[name] for name in columns], rows)


def inspected(template: str, found: list[dict[str, Any]]) -> int:
    """All that is known of things: what the template makes of each; without one, JSON. ``json`` alone is one list."""
    if template == "json":
        print(gotypes.json_text(found))
    elif template:
        from labkit.runtime.cli import template as templates

        print("\n".join(templates.render(template, found)))
    else:
        print(json.dumps(gotypes.plain(found), indent=4))
    return 0


def told(options: Flags, found: Any, lines: Iterable[str]) -> int:
    """What was found: with --json all of it, otherwise in lines for people."""
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        for line in lines:
            print(line)
    return 0
