"""json: read and written by the same C functions; the original brings ``re``. Every error is the original's."""

from __future__ import annotations

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from json import *
else:
    try:
        import _json
    except ImportError:  # another Python than CPython
        _json = None

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

    _scan = _json.make_scanner(_Context()) if _json else None

    def _refuse(value):
        raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")

    def loads(
        s,
        *,
        cls=None,
        object_hook=None,
        parse_float=None,
        parse_int=None,
        parse_constant=None,
        object_pairs_hook=None,
        **kw,
    ):
        """The value of a text. ValueError where it is no JSON, RecursionError where it is nested too deeply."""
        plain = not (cls or object_hook or parse_float or parse_int or parse_constant or object_pairs_hook or kw)
        text = s
        if isinstance(s, bytes) and b"\0" not in s and not s.startswith(_MARK):  # UTF-8, as nearly always
            text = s.decode("utf-8", "surrogatepass")
        if _json and plain and isinstance(text, str):
            try:
                value, end = _scan(text, len(text) - len(text.lstrip(_SPACE)))
                if not text[end:].strip(_SPACE):
                    return value
            except (StopIteration, ValueError, SystemError):
                pass  # (it takes its error from the original, and says SystemError where that is not loaded)
        import json  # local: it knows what is wrong

        hooks = {"object_hook": object_hook, "object_pairs_hook": object_pairs_hook}
        numbers = {"parse_float": parse_float, "parse_int": parse_int, "parse_constant": parse_constant}
        return json.loads(s, cls=cls, **hooks, **numbers, **kw)

    def dumps(
        obj,
        *,
        skipkeys=False,
        ensure_ascii=True,
        check_circular=True,
        allow_nan=True,
        cls=None,
        indent=None,
        separators=None,
        default=None,
        sort_keys=False,
        **kw,
    ):
        """The text of a value. TypeError for what JSON cannot hold, ValueError for what holds itself."""
        if _json and indent is None and not (cls or kw) and isinstance(obj, (dict, list, tuple)):
            item, key = separators or (", ", ": ")
            string = _json.encode_basestring_ascii if ensure_ascii else _json.encode_basestring
            seen = {} if check_circular else None
            encode = _json.make_encoder(
                seen, default or _refuse, string, None, key, item, sort_keys, skipkeys, allow_nan
            )
            return "".join(encode(obj, 0))
        import json  # local: one line of numbers or words is rare, and so is one with indents

        form = {"indent": indent, "separators": separators, "ensure_ascii": ensure_ascii, "sort_keys": sort_keys}
        rules = {"skipkeys": skipkeys, "check_circular": check_circular, "allow_nan": allow_nan, "default": default}
        return json.dumps(obj, cls=cls, **form, **rules, **kw)

    __getattr__ = original("json")
