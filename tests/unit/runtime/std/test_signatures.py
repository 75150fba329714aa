"""The first fence of the room: what it exports has the standard library's names and signatures."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from labkit.runtime import std

OWN = {"quickstart"}
"""What stands for no standard module."""

NAMES = sorted(
    name.removeprefix("labkit.runtime.std.") for _, name, _ in pkgutil.walk_packages(std.__path__, f"{std.__name__}.")
)


def exported(ours: ModuleType) -> Iterator[tuple[str, object]]:
    """The public functions and classes of a module that are written in it."""
    for name, value in vars(ours).items():
        written_here = (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == ours.__name__
        if written_here and not name.startswith("_"):
            yield name, value


def shape(thing: object) -> list[tuple[str, inspect._ParameterKind, object]]:
    """The parameters of a function or a class. Marks for "nothing was given" are alike whatever their class."""
    found = []
    for parameter in inspect.signature(thing).parameters.values():  # type: ignore[arg-type]
        default = parameter.default
        mark = type(default).__name__ if "MISSING" in type(default).__name__ else default
        found.append((parameter.name, parameter.kind, mark))
    return found


def test_the_room_holds_only_names_of_the_standard_library() -> None:
    assert {name.partition(".")[0] for name in NAMES} - OWN <= set(sys.stdlib_module_names)
    assert len(NAMES) > 8


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN])
def test_each_signature_is_the_originals(name: str) -> None:
    ours, original = importlib.import_module(f"labkit.runtime.std.{name}"), importlib.import_module(name)
    for word, value in exported(ours):
        theirs = getattr(original, word)
        if word in {"Protocol", "FrozenInstanceError", "Field"}:  # only a base, or made by nobody else
            continue
        known = shape(theirs)
        mine = shape(value)
        # A Python newer than the oldest one on which these tests run (3.11) may have more that is optional.
        more = [parameter for parameter in known if parameter not in mine]
        assert [parameter for parameter in known if parameter not in more] == mine, word
        assert sys.version_info >= (3, 12) or not more, f"{word} lacks {more}"
        assert all(kind == inspect.Parameter.KEYWORD_ONLY for _, kind, _ in more), word
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if inspect.isfunction(function) and method != "__init__":
                    assert shape(function)[1:] == shape(getattr(theirs, method))[1:], f"{word}.{method}"


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN and name != "collections"])
def test_what_is_not_there_is_the_originals(name: str) -> None:
    ours, original = importlib.import_module(f"labkit.runtime.std.{name}"), importlib.import_module(name)
    public = [word for word in getattr(original, "__all__", ()) if not word.startswith("__")]
    assert [word for word in public if not hasattr(ours, word)] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name not in OWN])
def test_none_imports_what_it_stands_for(name: str) -> None:
    slow = {name, "re", "enum", "collections", "functools", "operator"} - {
        "collections.abc",
        "_collections_abc",
        "types",
    }
    program = f"import sys; import labkit.runtime.std.{name}; print(sorted({slow!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
