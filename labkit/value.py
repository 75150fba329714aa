"""Small immutable objects with named fields, as frozen dataclasses are, without their price.

The standard ``dataclasses`` takes 8 ms to import and compiles methods for each class: a third of what a command of the
guest side took to start. A type checker treats both alike (PEP 681, dataclass_transform).
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from typing_extensions import dataclass_transform

    T = TypeVar("T")
    Self = TypeVar("Self", bound="Value")
else:

    def dataclass_transform(**_):
        """Nothing at run time."""
        return lambda decorated: decorated


class _Factory:
    """What makes a field's default value, for each object anew."""

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """A field whose default is a new list or dictionary for each object."""
    return _Factory(default_factory)  # type: ignore[return-value]


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class Value:
    """A subclass's annotations are its fields, in their order, after those of its parents.

    Equality, hash and repr are by the fields. TypeError for a field that is unknown, missing or given twice;
    AttributeError for an assignment.
    """

    _fields: tuple[str, ...]
    _defaults: dict[str, object]
    _kinds: dict[str, str]

    def __init_subclass__(cls) -> None:
        """Note the fields of a new subclass."""
        # A module with the __future__ import has them as strings in this dictionary, from Python 3.9 to 3.14.
        own = cls.__dict__.get("__annotations__", ())  # noqa: RUF063
        earlier = getattr(cls, "_fields", ())
        cls._fields = (*earlier, *(name for name in own if name not in earlier and not name.startswith("_")))
        cls._kinds = {**getattr(cls, "_kinds", {}), **{name: str(own[name]) for name in own}}
        defaults = {name: cls.__dict__[name] for name in own if name in cls.__dict__}
        cls._defaults = {**getattr(cls, "_defaults", {}), **defaults}

    def __init__(self, *args: Any, **named: Any) -> None:
        fields = self._fields
        if len(args) > len(fields):
            raise TypeError(f"{type(self).__name__} has {len(fields)} fields, and {len(args)} were given")
        values = self.__dict__
        values.update(zip(fields, args))
        for name, given in named.items():
            if name in values or name not in fields:
                raise TypeError(f"{type(self).__name__}: the field {name} is unknown, or given twice")
            values[name] = given
        if len(values) < len(fields):
            self._take_defaults()

    def _take_defaults(self) -> None:
        values = self.__dict__
        for name in self._fields:
            if name not in values:
                try:
                    default = self._defaults[name]
                except KeyError:
                    raise TypeError(f"{type(self).__name__}: the field {name} is missing") from None
                values[name] = default.make() if isinstance(default, _Factory) else default

    def __setattr__(self, name: str, value: object = None) -> None:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed: see changed()")

    __delattr__ = __setattr__

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *(self.__dict__[name] for name in self._fields)))

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self._fields)
        return f"{type(self).__name__}({shown})"

    def changed(self: Self, **named: Any) -> Self:
        """A copy with other values in some fields."""
        return type(self)(**{**self.__dict__, **named})

    @classmethod
    def from_json(cls: type[Self], document: Any) -> Self:
        """What ``as_dict`` gave, from a file that may hold anything. TypeError where a field is not of its type."""
        if not isinstance(document, dict):
            raise TypeError(f"it must be an object and is {_name(document)}")
        made = cls(**document)
        for name, value in document.items():
            kind = cls._kinds[name]
            if not _is_of(kind, value):
                raise TypeError(f"{name} must be {kind} and is {_name(value)}")
        return made

    def as_dict(self) -> dict[str, Any]:
        """Field name -> value; values and lists in it become what JSON can hold."""
        return {name: _plain(self.__dict__[name]) for name in self._fields}


_TYPES: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "list": list,
    "dict": dict,
    "None": type(None),
}
"""The first word of an annotation -> what JSON makes of it. Any other word is the caller's own to check."""


def _is_of(kind: str, value: Any) -> bool:
    return any(_is_of_one(part.strip(), value) for part in kind.split(" | "))


def _is_of_one(kind: str, value: Any) -> bool:
    word, _, inner = kind.partition("[")
    wanted = _TYPES.get(word)
    if wanted is None:
        return True
    if not isinstance(value, wanted) or (isinstance(value, bool) and word != "bool"):
        return False
    inside = inner[:-1]
    if isinstance(value, dict):
        return all(_is_of_one(inside.partition(", ")[2], part) for part in value.values())
    return not isinstance(value, list) or all(_is_of_one(inside, part) for part in value)


def _name(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a string", type(None): "null"}.get(type(value), repr(value)[:40])


def _plain(value: Any) -> Any:
    if isinstance(value, Value):
        return value.as_dict()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
