from __future__ import annotations

import pytest

from labkit.runtime.std.dataclasses import dataclass, field
from labkit.runtime.text.document import from_json


@dataclass(frozen=True)
class Part:
    word: str
    numbers: list[int] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    perhaps: int | None = None
    share: float = 0.0
    sure: bool = False


def test_what_is_of_its_type_is_taken() -> None:
    assert from_json(Part, {"word": "a", "numbers": [1], "perhaps": 2, "share": 1}) == Part("a", [1], {}, 2, 1)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([], "it must be an object and is a list"),
        ({"word": 7}, "word must be str and is 7"),
        ({"word": "a", "numbers": ["1"]}, "numbers must be list.int. and is a list"),
        ({"word": "a", "numbers": [True]}, "numbers must be"),
        ({"word": "a", "places": {"x": 1}}, "places must be dict"),
        ({"word": "a", "perhaps": "2"}, "perhaps must be int . None and is a string"),
        ({"word": "a", "sure": 1}, "sure must be bool"),
        ({}, "word"),
        ({"word": "a", "nothing": 1}, "nothing"),
    ],
)
def test_anything_else_is_named(wrong: object, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        from_json(Part, wrong)
