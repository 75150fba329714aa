"""What a template is given, and how Go prints it.

Go has structs, whose fields are known, and maps, whose keys users choose: here a plain ``dict`` is a struct, and a
``Mapping`` is a map. Something callable is a method: templates find it, JSON does not.
"""

from __future__ import annotations

from labkit.runtime.std import json
from labkit.runtime.std.collections.abc import Iterator
from labkit.runtime.std.typing import Any


class Nothing:
    """A list, a map or a value that is not there: empty, false, ``null`` in JSON, and printed in its own way."""

    def __init__(self, shown: str) -> None:
        self.shown = shown

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())


NO_LIST = Nothing("[]")
NO_MAP = Nothing("map[]")
NO_VALUE = Nothing("<no value>")
"""What a map has under a name that it has not."""


class Mapping(dict):  # type: ignore[type-arg]
    """Keys that users choose: a name that it has not is no error. ``missing`` is what ``index`` finds there."""

    missing: Any = ""


class Lists(Mapping):
    """A map to lists, as published ports are."""

    missing = NO_LIST


def or_nothing(found: Any) -> Any:
    """An empty list or map as Go's nil one, which JSON shows as ``null``."""
    return found or (NO_MAP if isinstance(found, dict) else NO_LIST)


class only_in_templates:  # noqa: N801 - reads as a word about its value
    """A field that docker leaves out of its JSON while it is empty; a template finds it all the same."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self) -> Any:
        """It is a method without arguments."""
        return self.value


def text(value: Any) -> str:
    """As Go's fmt prints it with %v: ``[a b]`` for a list, ``map[k:v]``, ``{a b}`` for a struct's values alone."""
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Nothing):
        return value.shown
    if isinstance(value, list):
        return f"[{' '.join(map(text, value))}]"
    if isinstance(value, Mapping):
        return f"map[{' '.join(f'{key}:{text(value[key])}' for key in sorted(value))}]"
    if isinstance(value, only_in_templates):
        return text(value.value)
    if isinstance(value, dict):
        shown = [part for part in value.values() if not callable(part) or isinstance(part, only_in_templates)]
        return f"{{{' '.join(map(text, shown))}}}"
    return str(value)


def is_true(value: Any) -> bool:
    """As ``if`` sees it: a struct always is, the rest if it is not empty, zero or false."""
    return True if isinstance(value, dict) and not isinstance(value, Mapping) else bool(value)


def plain(value: Any) -> Any:
    """As JSON can hold it: a map's keys in their order, no methods."""
    if isinstance(value, Nothing):
        return None
    if isinstance(value, dict):
        keys = sorted(value) if isinstance(value, Mapping) else list(value)
        return {key: plain(value[key]) for key in keys if not callable(value[key])}
    return [plain(part) for part in value] if isinstance(value, list) else value


def json_text(value: Any) -> str:
    """On one line and as Go writes it: without blanks, letters of any language as they are."""
    written = json.dumps(plain(value), separators=(",", ":"), ensure_ascii=False)
    # What was no UTF-8 on a command line (surrogateescape, PEP 383) is no text.
    return written.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
