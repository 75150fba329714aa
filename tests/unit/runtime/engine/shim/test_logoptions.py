from __future__ import annotations

import pytest

from labkit.errors import UsageError
from labkit.runtime.engine.shim import logoptions
from labkit.runtime.engine.shim.logfile import Limits


@pytest.mark.parametrize(
    ("driver", "given", "expected"),
    [
        ("", [], Limits()),
        ("json-file", ["max-size=10m"], Limits(size=10_000_000)),
        ("local", ["max-size=10", "max-size=20k", "max-file=3"], Limits(size=20_000, files=3)),
        ("local", ["max-size=10 MB"], Limits(size=10_000_000)),
        ("local", ["max-size=1.5K", "max-file=1"], Limits(size=1500, files=1)),
        ("local", ["max-size=1gb"], Limits(size=10**9)),
    ],
)
def test_options_as_docker_reads_them(driver: str, given: list[str], expected: Limits) -> None:
    _, options = logoptions.check(driver, given)
    assert logoptions.limits(options) == expected


def test_what_was_given_is_kept_as_it_was() -> None:
    assert logoptions.check("json-file", ["max-size=10m"]) == ("json-file", {"max-size": "10m"})
    assert logoptions.check("none", []) == ("none", {})
    assert logoptions.check("", ["max-file=2"]) == ("json-file", {"max-file": "2"})


@pytest.mark.parametrize(
    ("driver", "given", "words"),
    [
        ("foo", [], "no log driver 'foo'"),
        ("none", ["max-size=1m"], "invalid logging opts for driver none"),
        ("json-file", ["foo=1"], "unknown log opt 'foo' for json-file log driver"),
        ("", ["=x"], "unknown log opt '' for json-file log driver"),
        ("", ["compress=true"], "unknown log opt 'compress'"),
        *[("", [f"max-size{text}"], "invalid size") for text in ("", "=", "=-1", "=abc", "=1q", "=.", "=1e9", "=²m")],
        ("", ["max-size=0"], "must be a positive number"),
        ("", ["max-size=0.0001k"], "must be a positive number"),
        *[("", [f"max-file={text}"], "is no number of files") for text in ("x", "", "-1", "1.5", "³")],
        ("", ["max-file=0"], "at least one file is kept"),
        ("", ["max-file=1001"], "is not possible"),
    ],
)
def test_what_cannot_be_meant(driver: str, given: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        logoptions.check(driver, given)
    assert words in f"{caught.value.message} {caught.value.hint}"
