"""JSON, read and written by the same C functions as the standard ``json``, without its import (3 ms: it brings ``re``).

What these functions cannot do alone, and every error, is the standard module's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

try:
    import _json
except ImportError:  # another Python than CPython
    _json = None  # type: ignore[assignment]

_SPACE = " \t\n\r"
_MARK = b"\xef\xbb\xbf"


class _Context:
    """What ``json.JSONDecoder`` tells the scanner."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__


def _refuse(value: object) -> object:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


if _json:
    _scan = _json.make_scanner(_Context())  # type: ignore[arg-type]
    _encode = _json.make_encoder(None, _refuse, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True)
    _encode_bare = _json.make_encoder(None, _refuse, _json.encode_basestring, None, ":", ",", False, False, True)

#: What Go's encoder escapes for those who put JSON into a web page.
_GO_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def loads(text: str | bytes) -> Any:
    """As ``json.loads``. ValueError where it is no JSON, RecursionError where it is nested too deeply."""
    if isinstance(text, bytes) and b"\0" not in text and not text.startswith(_MARK):  # UTF-8, as nearly always
        text = text.decode("utf-8", "surrogatepass")
    if _json and isinstance(text, str):
        try:
            value, end = _scan(text, len(text) - len(text.lstrip(_SPACE)))
            if not text[end:].strip(_SPACE):
                return value
        except (StopIteration, ValueError, SystemError):
            pass  # (it takes its error from the standard module, and says SystemError where that is not loaded)
    import json  # local: it knows what is wrong

    return json.loads(text)


def dumps(value: Any) -> str:
    """As ``json.dumps``, on one line. TypeError for what JSON cannot hold."""
    if _json and isinstance(value, (dict, list, tuple)):
        return "".join(_encode(value, 0))
    import json  # local, as above

    return json.dumps(value)


def as_go(value: Any, indent: str = "") -> str:
    """As Go's encoding/json spells it, character for character: what runc's readers, scripts with grep among them,
    know. On one line without a blank, or with ``indent`` for each level. A byte that is no UTF-8 becomes U+FFFD, and
    so does half of a surrogate pair.
    """
    if _json and not indent and isinstance(value, (dict, list, tuple)):
        text = "".join(_encode_bare(value, 0))
    else:
        import json  # local, as above

        separators = (",", ": ") if indent else (",", ":")
        text = json.dumps(value, ensure_ascii=False, indent=indent or None, separators=separators)
    text = text.translate(_GO_ESCAPES)
    try:
        text.encode()
    except UnicodeEncodeError:  # one by one: as UTF-8 each would be three bytes, and three U+FFFD
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text
