"""JSON as Go's encoding/json spells it, character for character: what runc's readers, scripts with grep among them,
know.
"""

from __future__ import annotations

from labkit.runtime.std import json
from labkit.runtime.std.typing import Any

#: What Go's encoder escapes for those who put JSON into a web page.
_ESCAPES = {ord(character): f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}


def dumps(value: Any, indent: str = "") -> str:
    """On one line without a blank, or with ``indent`` for each level.

    A byte that is no UTF-8 becomes U+FFFD, and so does half of a surrogate pair.
    """
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, indent=indent or None, separators=separators).translate(_ESCAPES)
    try:
        text.encode()
    except UnicodeEncodeError:  # one by one: as UTF-8 each would be three bytes, and three U+FFFD
        return "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    return text
