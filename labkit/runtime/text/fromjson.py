"""Objects from JSON that a file held: a file may hold anything, so each field is of its type or is refused."""

from __future__ import annotations

from labkit.runtime.std.dataclasses import fields
from labkit.runtime.std.typing import Any, TypeVar

T = TypeVar("T")

_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
    "None": type(None),
}
"""The first word of an annotation -> what JSON makes of it. Any other word is the caller's own to check."""


def from_json(kind: type[T], document: Any) -> T:
    """An object of a dataclass, from what ``asdict`` gave. TypeError where a field is missing or not of its type."""
    if not isinstance(document, dict):
        raise TypeError(f"it must be an object and is {_name(document)}")
    made = kind(**document)
    for field in fields(kind):  # type: ignore[arg-type]
        if field.name in document and not _is_of(str(field.type), document[field.name]):
            raise TypeError(f"{field.name} must be {field.type} and is {_name(document[field.name])}")
    return made


def _is_of(kind: str, value: Any) -> bool:
    return any(_is_of_one(part.strip(), value) for part in kind.split(" | "))


def _is_of_one(kind: str, value: Any) -> bool:
    word, _, inner = kind.partition("[")
    wanted = _TYPES.get(word)
    if wanted is None:
        return True
    if not isinstance(value, wanted) or (isinstance(value, bool) and word != "bool"):
        return False
    inside = inner[:-1]
    if isinstance(value, dict):
        return all(_is_of_one(inside.partition(", ")[2], part) for part in value.values())
    return not isinstance(value, list) or all(_is_of_one(inside, part) for part in value)


def _name(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(value), repr(value)[:40])
