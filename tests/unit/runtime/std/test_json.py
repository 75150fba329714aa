from __future__ import annotations

import json
import math
import shlex
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.runtime.std import json as ours
from labkit.runtime.std import shlex as our_shlex
from labkit.runtime.text.document import go_json

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
DOCUMENTS = st.recursive(SCALARS, lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts), max_leaves=20)


@given(DOCUMENTS)
def test_it_writes_and_reads_what_json_does(document: object) -> None:
    text = json.dumps(document)
    assert ours.dumps(document) == text
    assert ours.loads(f" \n{text}\t ") == document
    assert ours.loads(text.encode()) == document


@given(
    DOCUMENTS,
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, (",", ":"), (", ", ":")]),
    st.sampled_from([None, 2]),
)
def test_it_writes_in_every_form_that_json_has(
    document: object, ascii_only: bool, ordered: bool, separators: tuple[str, str] | None, indent: int | None
) -> None:
    form: Any = {"ensure_ascii": ascii_only, "sort_keys": ordered, "separators": separators, "indent": indent}
    assert ours.dumps(document, **form) == json.dumps(document, **form)


def test_hooks_and_what_holds_itself_are_jsons_own() -> None:
    assert ours.loads('{"a": 1.5}', parse_float=str) == {"a": "1.5"}
    assert ours.loads("{}", object_hook=lambda _: 7) == 7
    assert ours.dumps([{1}], default=list) == "[[1]]"
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(ValueError, match="Circular"):
        ours.dumps(endless)


def outcome(read: object, text: str | bytes) -> str:
    try:
        return repr(read(text))  # type: ignore[operator]
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"


@given(st.text(alphabet='{}[]",:1.5eE-tfn \\u\ufeff\n\0'))
def test_it_refuses_what_json_does_in_the_same_words(text: str) -> None:
    assert outcome(ours.loads, text) == outcome(json.loads, text)


ENCODED = ['{"a": "ä"}'.encode(), b"\xff{}", "\ufeff{}".encode(), '{"a": 1}'.encode("utf-16")]


@pytest.mark.parametrize("text", ENCODED)
def test_bytes_are_decoded_as_json_does(text: bytes) -> None:
    assert outcome(ours.loads, text) == outcome(json.loads, text)


def test_it_is_no_json_when_something_follows_or_it_is_too_deep() -> None:
    assert outcome(ours.loads, "{} {}") == outcome(json.loads, "{} {}")
    assert outcome(ours.loads, "[" * 100_000).startswith("RecursionError")
    assert math.isnan(ours.loads("NaN"))
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        ours.dumps({"a": {1, 2}})


@given(st.lists(st.text()))
def test_words_are_quoted_as_shlex_does(given_words: list[str]) -> None:
    assert shlex.split(our_shlex.join(given_words)) == given_words
    if all(word.isascii() for word in given_words):
        assert our_shlex.join(given_words) == shlex.join(given_words)


def test_what_is_cut_short_is_a_value_error_where_json_was_never_imported() -> None:
    program = "import sys; from labkit.runtime.std import json\ntry: json.loads('{')\nexcept ValueError: sys.exit(7)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr


@given(DOCUMENTS)
def test_gos_spelling_is_the_same_document(document: object) -> None:
    wanted = json.loads(json.dumps(document).encode())  # with the names as strings
    for indent in ("", "\t"):
        text = go_json(document, indent)
        assert not set("<>&\u2028\u2029") & set(text)
        if "\\ud" not in json.dumps(document):  # half of a pair has no bytes
            assert json.loads(text) == wanted


def test_gos_spelling_letter_by_letter() -> None:
    # One for the byte, as Go has it, where UTF-8 would take three for what Python holds in its place.
    document = {"name": 'ä<b>&"\udcff', "list": [1, -2, True, None], "none": {}, "empty": []}
    assert go_json(document) == (
        '{"name":"ä\\u003cb\\u003e\\u0026\\"\ufffd","list":[1,-2,true,null],"none":{},"empty":[]}'
    )
    assert go_json({"a": [1]}, "  ") == '{\n  "a": [\n    1\n  ]\n}'
    assert go_json(None) == "null"
