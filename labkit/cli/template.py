r"""``--format``: a small part of Go's templates, the one that people type.

``{{.Name}}``, ``{{.State.Status}}``, ``{{json .}}``, ``{{json .State}}``, ``{{upper .Name}}``, ``{{lower .Name}}``,
``{{len .Ports}}``, ``{{index .Labels "key"}}``; ``\t`` and ``\n``; ``table …`` for columns with a heading.
"""

from __future__ import annotations

import json

from labkit.cli import table
from labkit.errors import UsageError
from labkit.value import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_FUNCTIONS = ("json", "upper", "lower", "len", "index")


def render(template: str, entries: list[dict[str, Any]]) -> list[str]:
    """A line for each entry, and a heading before them for ``table``. ``json`` alone is ``{{json .}}``.

    UsageError for a template that cannot be read, or that names what an entry has not.
    """
    if template == "json":
        template = "{{json .}}"
    as_table = template.startswith("table ")
    pieces = _pieces(template[len("table ") :] if as_table else template)
    rows = ["".join(_value(words, entry) if words else text for text, words in pieces) for entry in entries]
    if not as_table:
        return rows
    head = "".join(_heading(words) if words else text for text, words in pieces).split("\t")
    cells = [row.split("\t") for row in rows]
    return table.render(head, [row + [""] * (len(head) - len(row)) for row in cells]).split("\n")


def _pieces(template: str) -> list[tuple[str, list[str]]]:
    """Text, or the words of an action."""
    pieces: list[tuple[str, list[str]]] = []
    rest = template.replace("\\t", "\t").replace("\\n", "\n")
    while rest:
        before, opened, rest = rest.partition("{{")
        pieces.append((before, []))
        if opened:
            action, closed, rest = rest.partition("}}")
            words = action.strip(" -").split()
            if not closed or not words:
                raise UsageError(f"the template '{template}' has a {{{{ without an end", "as {{.Name}}")
            pieces.append(("", words))
    return pieces


def _value(words: list[str], entry: dict[str, Any]) -> str:
    function, arguments = ("", words) if words[0].startswith(".") else (words[0], words[1:])
    if (function and function not in _FUNCTIONS) or len(arguments) != (2 if function == "index" else 1):
        raise UsageError(
            f"the template's '{{{{{' '.join(words)}}}}}' is not understood", f"fields, and {', '.join(_FUNCTIONS)}"
        )
    value = _field(arguments[0], entry)
    if function == "json":
        return json.dumps(value)
    if function in ("upper", "lower"):
        return str(getattr(_text(value), function)())
    if function == "len":
        return str(len(value)) if isinstance(value, (str, list, dict)) else _refuse(words)
    if function == "index":
        return _text(_indexed(value, arguments[1], words))
    return _text(value)


def _field(path: str, entry: Any) -> Any:
    value = entry
    for name in path[1:].split(".") if path != "." else []:
        if not isinstance(value, dict) or name not in value:
            known = ", ".join(sorted(value)) if isinstance(value, dict) else "nothing"
            raise UsageError(f"there is no field '{path}'", f"here are: {known}")
        value = value[name]
    return value


def _indexed(value: Any, key: str, words: list[str]) -> Any:
    if isinstance(value, dict):
        return value.get(key.strip("\"'"), "")
    if isinstance(value, list) and key.isdigit() and int(key) < len(value):
        return value[int(key)]
    return _refuse(words)


def _refuse(words: list[str]) -> str:
    raise UsageError(f"'{{{{{' '.join(words)}}}}}' is not possible with what stands there", "see {{json .}}")


def _text(value: Any) -> str:
    """As a person reads it: what is structured as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return "" if value is None else str(value)


def _heading(words: list[str]) -> str:
    name = words[-1].rpartition(".")[2]
    spaced = "".join(
        f" {letter}" if letter.isupper() and place and name[place - 1].islower() else letter
        for place, letter in enumerate(name)
    )
    return spaced.upper()
