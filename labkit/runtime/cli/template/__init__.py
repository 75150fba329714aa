r"""``--format``: the part of Go's templates (text/template) that docker's users type, and what docker adds to it.

Fields as ``{{.State.Status}}``, ``{{if}}``, ``{{with}}``, ``{{range}}``, variables, pipelines, the functions of
functions.py; ``\t`` and ``\n`` in the text between them. A template is read as a tree (parse.py), and the tree is
followed for each entry (follow.py). ``json`` alone is ``{{json .}}``; for a list, ``table …`` is columns with a
heading.
"""

from __future__ import annotations

from labkit.runtime.cli import table
from labkit.runtime.cli.template import follow, functions, parse
from labkit.runtime.std.typing import Any


def render(template: str, entries: list[dict[str, Any]]) -> list[str]:
    """A line for each entry. UsageError for a template that cannot be read, or that names what an entry has not."""
    if template == "json":
        template = "{{json .}}"
    tree = parse.parse(template)
    return [follow.execute(template, tree, entry, functions.TABLE) for entry in entries]


def listing(template: str, entries: list[dict[str, Any]], headings: dict[str, str]) -> list[str]:
    """The same for a list of things with the fields that have ``headings``.

    The heading is made as docker makes it: by the template itself, with the fields' headings in their places.
    """
    if not template.startswith("table "):
        return render(template, entries)
    template = template[len("table ") :]
    tree = parse.parse(template)
    head = follow.execute(template, tree, {**headings, "Label": lambda name: name}, functions.FOR_HEADINGS).split("\t")
    rows = [row.split("\t") for row in render(template, entries)]
    return table.render(head, [row + [""] * (len(head) - len(row)) for row in rows]).split("\n")
