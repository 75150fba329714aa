from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import jsontext, quoting

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
DOCUMENTS = st.recursive(SCALARS, lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts), max_leaves=20)


@given(DOCUMENTS)
def test_it_writes_and_reads_what_json_does(document: object) -> None:
    text = json.dumps(document)
    assert jsontext.dumps(document) == text
    assert jsontext.loads(f" \n{text}\t ") == document
    assert jsontext.loads(text.encode()) == document


def outcome(read: object, text: str | bytes) -> str:
    try:
        return repr(read(text))  # type: ignore[operator]
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


@given(st.text(alphabet='{}[]",:1.5eE-tfn \\u\ufeff\n\0'))
def test_it_refuses_what_json_does_in_the_same_words(text: str) -> None:
    assert outcome(jsontext.loads, text) == outcome(json.loads, text)


ENCODED = ['{"a": "ä"}'.encode(), b"\xff{}", "\ufeff{}".encode(), '{"a": 1}'.encode("utf-16")]


@pytest.mark.parametrize("text", ENCODED)
def test_bytes_are_decoded_as_json_does(text: bytes) -> None:
    assert outcome(jsontext.loads, text) == outcome(json.loads, text)


def test_it_is_no_json_when_something_follows_or_it_is_too_deep() -> None:
    assert outcome(jsontext.loads, "{} {}") == outcome(json.loads, "{} {}")
    assert outcome(jsontext.loads, "[" * 100_000).startswith("RecursionError")
    assert math.isnan(jsontext.loads("NaN"))
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        jsontext.dumps({"a": {1, 2}})


@given(st.lists(st.text()))
def test_words_are_quoted_as_shlex_does(words: list[str]) -> None:
    assert shlex.split(quoting.join(words)) == words
    if all(word.isascii() for word in words):
        assert quoting.join(words) == shlex.join(words)


def test_neither_brings_the_modules_that_it_stands_for() -> None:
    use = "from labkit import jsontext, quoting; jsontext.loads(b'{}')"
    program = f"import sys; {use}; print({{'re', 'json', 'shlex'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_what_is_cut_short_is_a_value_error_where_json_was_never_imported() -> None:
    program = "import sys; from labkit import jsontext\ntry: jsontext.loads('{')\nexcept ValueError: sys.exit(7)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr


@given(DOCUMENTS)
def test_gos_spelling_is_the_same_document(document: object) -> None:
    wanted = json.loads(json.dumps(document).encode())  # with the names as strings
    for indent in ("", "\t"):
        text = jsontext.as_go(document, indent)
        assert not set("<>&\u2028\u2029") & set(text)
        if "\\ud" not in json.dumps(document):  # half of a pair has no bytes
            assert json.loads(text) == wanted


def test_gos_spelling_letter_by_letter() -> None:
    # One for the byte, as Go has it, where UTF-8 would take three for what Python holds in its place.
    document = {"name": 'ä<b>&"\udcff', "list": [1, -2, True, None], "none": {}, "empty": []}
    assert jsontext.as_go(document) == (
        '{"name":"ä\\u003cb\\u003e\\u0026\\"\ufffd","list":[1,-2,true,null],"none":{},"empty":[]}'
    )
    assert jsontext.as_go({"a": [1]}, "  ") == '{\n  "a": [\n    1\n  ]\n}'
    assert jsontext.as_go(None) == "null"
