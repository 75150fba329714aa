"""JSON that a file held, which may hold anything: read property by property (Reader), where what is missing or of
another kind is named in one sentence; or as the object that it was written from (from_json). And JSON for others, as
Go writes it (go_json).
"""

from __future__ import annotations

from labkit.errors import ConfigError
from labkit.runtime.std import json
from labkit.runtime.std.dataclasses import fields
from labkit.runtime.std.typing import Any, TypeVar

T = TypeVar("T")


class Reader:
    """One object of a document: it hands out properties by name and type.

    ``file`` is the document's name in messages, ``place`` the way to this object in it, as ``linux.resources``.
    """

    def __init__(self, value: Any, file: str, place: str = "") -> None:
        self.file = file
        self.place = place
        if not isinstance(value, dict):
            raise ConfigError(f"{file}: {place or 'the document'} must be an object")
        self.object: dict[str, Any] = value

    @classmethod
    def parse(cls, text: str | bytes, file: str) -> Reader:
        """A whole document. ConfigError where it is no JSON, nested too deeply included."""
        try:
            return cls(json.loads(text), file)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{file} is no JSON: {error}") from None

    def get(self, name: str) -> Any:
        """A property of whatever kind, or None. Its name may be written in other capitals, as Go's decoder has it:
        what runc takes for a limit must not be taken for an unknown word, and ignored.
        """
        found = self.object.get(name)
        return self.object.get(self.spelt(name)) if found is None and self.object else found

    def spelt(self, name: str) -> str:
        """A property's name as this object has it; as it is where there is none."""
        if self.object.get(name) is not None:
            return name
        length = len(name)
        for other in self.object:
            # The length first: nearly every property that is asked for is absent, and lower() takes longer.
            if len(other) == length and other.lower() == name.lower() and self.object[other] is not None:
                return other
        return name

    def value(self, name: str, kind: type[T], default: T | None = None) -> T:
        """A property; without a default it must be there. JSON's ``null`` counts as not there."""
        found = self.get(name)
        found = default if found is None else found
        if found is None:
            raise ConfigError(f"{self.file}: {self.where(name)} is missing")
        if not isinstance(found, kind) or (kind is int and isinstance(found, bool)):
            raise ConfigError(
                f"{self.file}: {self.where(name)} must be of type {kind.__name__}, not {type(found).__name__}"
            )
        if isinstance(found, str) and not _is_text(found):
            raise ConfigError(f"{self.file}: {self.where(name)} must be text, without a zero byte")
        return found

    def strings(self, name: str) -> list[str]:
        """A list of strings, empty where it is not there. None of them holds a zero byte: the kernel takes none."""
        items = self.value(name, list, [])
        if not all(isinstance(item, str) and _is_text(item) for item in items):
            raise ConfigError(f"{self.file}: {self.where(name)} must hold strings only")
        return items

    def integers(self, name: str) -> list[int]:
        """A list of whole numbers from 0 on, empty where it is not there."""
        items = self.value(name, list, [])
        if not all(isinstance(item, int) and not isinstance(item, bool) and item >= 0 for item in items):
            raise ConfigError(f"{self.file}: {self.where(name)} must hold whole numbers only")
        return items

    def child(self, name: str, optional: bool = False) -> Reader:
        """An object in this one."""
        found = self.get(name)
        return Reader({} if found is None and optional else found, self.file, self.where(name))

    def children(self, name: str) -> list[Reader]:
        """A list of objects, empty where it is not there."""
        items = self.value(name, list, [])
        return [Reader(item, self.file, f"{self.where(name)}[{number}]") for number, item in enumerate(items)]

    def where(self, name: str) -> str:
        """The way to a property; a name that would not stay in the line is written with escapes."""
        shown = name if name.isprintable() else ascii(name)
        return f"{self.place}.{shown}" if self.place else shown

    def refuse(self, *names: str) -> None:
        """ConfigError for a property that is known and cannot be had; ``null`` and what is empty ask for nothing."""
        for name in names:
            if self.get(name) not in (None, "", [], {}):
                raise ConfigError(
                    f"{self.file}: labkit does not support {self.where(name)}", "take it out, or use another runtime"
                )


def _is_text(value: str) -> bool:
    """Whether the kernel can be told: no zero byte in it, no half of a surrogate pair (which has no bytes)."""
    if "\0" in value:
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


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


#: What Go's encoder escapes for those who put JSON into a web page.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def go_json(value: Any, indent: str = "") -> str:
    """As Go's encoding/json spells it, letter for letter: what readers of runc's, scripts with grep among them, know.

    On one line without a blank, or with ``indent`` for each level. A byte that is no UTF-8 becomes U+FFFD, and so does
    half of a surrogate pair.
    """
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, indent=indent or None, separators=separators).translate(_ESCAPES)
    # Letter by letter where it must be: as UTF-8 each half would be three bytes, and three U+FFFD.
    return text if _is_text(text) else "".join(letter if _is_text(letter) else "\ufffd" for letter in text)
