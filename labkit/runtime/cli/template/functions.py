"""The functions of templates: those of Go's text/template that one needs here, and docker's own.

Each raises Refusal for what it cannot work with.
"""

from __future__ import annotations

import re
import sys

from labkit.runtime.cli import gotypes
from labkit.runtime.std.collections.abc import Callable
from labkit.runtime.std.json import dumps
from labkit.runtime.std.typing import Any


class Refusal(Exception):  # noqa: N818 - becomes a UsageError, with the place
    """Why a function cannot be called with that."""


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise Refusal(f"'{gotypes.text(value)}' is no string")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, (list, gotypes.Nothing)):
        raise Refusal(f"'{gotypes.text(value)}' is no list")
    return list(value)


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Refusal(f"'{gotypes.text(value)}' is no whole number")
    return value


def _count(value: Any, most: int = sys.maxsize) -> int:
    count = _whole(value)
    if not 0 <= count <= most:
        raise Refusal(f"{count} is not within 0 to {most}")
    return count


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogateescape"))  # Go counts bytes
    if not isinstance(value, (list, dict, gotypes.Nothing)):
        raise Refusal(f"'{gotypes.text(value)}' has no length")
    return len(value)


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            missing = getattr(value, "missing", None)
            if missing is None and key not in value:
                raise Refusal(f"there is no '{gotypes.text(key)}'")
            value = value.get(key, missing)
        elif isinstance(value, gotypes.Nothing) and isinstance(key, str):
            value = ""
        else:
            items, place = _list(value), _whole(key)
            if not 0 <= place < len(items):
                raise Refusal(f"there is no number {place} in a list of {len(items)}")
            value = items[place]
    return value


def _slice(value: Any, *bounds: Any) -> Any:
    if not isinstance(value, (str, list)) or len(bounds) > 2:
        raise Refusal("slice takes a string or a list, and up to two numbers")
    begin, end = (*map(_whole, bounds), *(0, len(value))[len(bounds) :])
    if not 0 <= begin <= end <= len(value):
        raise Refusal(f"{begin} to {end} is not within 0 to {len(value)}")
    return value[begin:end]


_VERB = re.compile(r"%([-+ #0]*)([0-9]{0,4})(?:\.([0-9]{1,4}))?(.)", re.DOTALL)
_WIDEST = 9999
"""Of what is padded: as many blanks as somebody likes to type would fill the memory."""


def _printf(form: Any, *given: Any) -> str:
    """``%s %v %d %q %t %x %X %o %e %f %g``, with flags, width and precision."""
    rest = list(given)

    def put(match: re.Match[str]) -> str:
        flags, width, precision, verb = match.groups()
        if verb == "%":
            return "%"
        if not rest:
            raise Refusal(f"printf has nothing for '{match[0]}'")
        value = rest.pop(0)
        python = f"%{flags}{width}" + (f".{precision}" if precision else "")
        if verb in "svqt":
            shown = dumps(_string(value), ensure_ascii=False) if verb == "q" else gotypes.text(value)
            return str(f"{python.replace('#', '').replace('+', '')}s" % shown)
        if verb in "xX" and isinstance(value, str):
            shown = value.encode("utf-8", "surrogateescape").hex()
            return str(f"{python}s" % (shown.upper() if verb == "X" else shown))
        if verb in "doxX":
            return str(f"{python}{verb}" % _whole(value))
        if verb in "efgEG" and isinstance(value, float):
            return str(f"{python}{verb}" % value)
        raise Refusal(f"printf cannot put '{gotypes.text(value)}' in place of '{match[0]}'")

    text = _VERB.sub(put, _string(form))
    if rest:
        raise Refusal(f"printf has {len(rest)} more than it was told to put anywhere")
    return text


def _print(*given: Any) -> str:
    """A blank stands between two that are no strings."""
    text = ""
    for place, value in enumerate(given):
        blank = place and not isinstance(value, str) and not isinstance(given[place - 1], str)
        text += f"{' ' if blank else ''}{gotypes.text(value)}"
    return text


def _comparable(first: Any, second: Any) -> None:
    kinds = {type(first), type(second)}
    if len(kinds) > 1 and kinds != {int, float} and None not in (first, second):
        raise Refusal(f"'{gotypes.text(first)}' and '{gotypes.text(second)}' cannot be compared")


def _equal(first: Any, *others: Any) -> bool:
    if not others:
        raise Refusal("eq needs something to compare with")
    for other in others:
        _comparable(first, other)
    return any(first == other for other in others)


def _compare(decide: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def compare(first: Any, second: Any) -> bool:
        _comparable(first, second)
        if not isinstance(first, (str, int, float)) or isinstance(first, bool):
            raise Refusal(f"'{gotypes.text(first)}' is neither less nor more than another")
        return decide(first, second)

    return compare


def _pad(text: Any, before: Any, after: Any) -> str:
    return " " * _count(before, _WIDEST) + _string(text) + " " * _count(after, _WIDEST) if text else ""


def _title(text: Any) -> str:
    """The first letter of each word in capitals, the rest as it is."""
    return re.sub(r"(?<![\w'])[^\W\d_]", lambda match: match[0].upper(), _string(text))


#: docker's own.
_DOCKERS: dict[str, Callable[..., Any]] = {
    "json": gotypes.json_text,
    "split": lambda text, separator: _string(text).split(_string(separator)) if separator else list(_string(text)),
    "join": lambda items, separator: _string(separator).join(map(_string, _list(items))),
    "title": _title,
    "lower": lambda text: _string(text).lower(),
    "upper": lambda text: _string(text).upper(),
    "pad": _pad,
    "truncate": lambda text, length: _string(text)[: _count(length)],
}

TABLE: dict[str, Callable[..., Any]] = {
    "not": lambda value: not gotypes.is_true(value),
    "len": _length,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "printf": _printf,
    "println": lambda *given: " ".join(map(gotypes.text, given)) + "\n",
    "eq": _equal,
    "ne": lambda first, second: not _equal(first, second),
    "lt": _compare(lambda first, second: first < second),
    "le": _compare(lambda first, second: first <= second),
    "gt": _compare(lambda first, second: first > second),
    "ge": _compare(lambda first, second: first >= second),
    **_DOCKERS,
}
"""What a template can call; ``and`` and ``or`` are follow.py's, since they do not look at all of their arguments."""


FOR_HEADINGS = {**TABLE, **dict.fromkeys(_DOCKERS, lambda *given: given[0])}
"""A heading is not changed by what changes the cells below it."""
