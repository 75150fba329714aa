"""dataclasses: the same objects, by one ``__init__`` for all classes in place of code that is compiled for each.

The original takes 8 ms to import, and half a millisecond for every class.
"""

from __future__ import annotations

from labkit.runtime.std import original

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import *
else:
    MISSING = type("_MISSING_TYPE", (), {})()

    class FrozenInstanceError(AttributeError):
        """An assignment to a frozen object."""

    class Field:
        """A field: its name, its annotation as it was written, and what it is where nothing is given."""

        __slots__ = ("default", "default_factory", "name", "type")

        def __init__(self, default, default_factory):
            self.default, self.default_factory = default, default_factory

    def field(
        *,
        default=MISSING,
        default_factory=MISSING,
        init=True,
        repr=True,
        hash=None,
        compare=True,
        metadata=None,
        kw_only=MISSING,
    ):
        """A field whose default is made for each object anew. Of the rest nothing is known here."""
        if not (init and repr and compare) or hash or metadata or kw_only is not MISSING:
            raise NotImplementedError("a field of labkit.runtime.std.dataclasses has a default, and no more")
        return Field(default, default_factory)

    def dataclass(
        cls=None,
        /,
        *,
        init=True,
        repr=True,
        eq=True,
        order=False,
        unsafe_hash=False,
        frozen=False,
        match_args=True,
        kw_only=False,
        slots=False,
        weakref_slot=False,
    ):
        """A class whose annotations are its fields, in their order, after those of its parents."""
        if not (init and repr and eq and match_args) or order or unsafe_hash or kw_only or slots or weakref_slot:
            import dataclasses  # local: it can do all this

            made = {"init": init, "repr": repr, "eq": eq, "order": order, "unsafe_hash": unsafe_hash}
            form = {"match_args": match_args, "kw_only": kw_only, "slots": slots, "weakref_slot": weakref_slot}
            return dataclasses.dataclass(cls, frozen=frozen, **made, **form)
        return (lambda it: _process(it, frozen)) if cls is None else _process(cls, frozen)

    def fields(class_or_instance):
        """Its fields, in their order."""
        return tuple(class_or_instance.__dataclass_fields__.values())

    def replace(obj, /, **changes):
        """A copy with other values in some fields."""
        values = obj.__dict__
        return type(obj)(**{**{name: values[name] for name in obj.__dataclass_fields__}, **changes})

    def asdict(obj, *, dict_factory=dict):
        """Field name -> value; objects in it become dictionaries, too, and lists and dictionaries are copies."""
        return dict_factory((name, _plain(obj.__dict__[name], dict_factory)) for name in obj.__dataclass_fields__)

    def _plain(value, factory):
        if hasattr(type(value), "__dataclass_fields__"):
            return asdict(value, dict_factory=factory)
        if isinstance(value, dict):
            return type(value)((_plain(key, factory), _plain(part, factory)) for key, part in value.items())
        if isinstance(value, (list, tuple)):
            return type(value)([_plain(part, factory) for part in value])
        return value

    def _process(cls, frozen):
        known = {}
        for parent in cls.__mro__[:0:-1]:
            known.update(parent.__dict__.get("__dataclass_fields__", {}))
        # A module with the __future__ import has them as strings in this dictionary, from Python 3.9 to 3.14.
        for name, kind in cls.__dict__.get("__annotations__", {}).items():  # noqa: RUF063
            if kind.startswith("ClassVar"):
                continue
            default = cls.__dict__.get(name, MISSING)
            made = default if isinstance(default, Field) else Field(default, MISSING)
            made.name, made.type = name, kind
            known[name] = made
            if made is default:
                if made.default is MISSING:
                    delattr(cls, name)
                else:
                    setattr(cls, name, made.default)
        methods = {"__init__": _initialiser(cls, known), "__eq__": _equal, "__hash__": None, "__repr__": _repr}
        if frozen:
            methods.update({"__hash__": _hash, "__setattr__": _refuse, "__delattr__": _refuse})
        elif "__eq__" in cls.__dict__:
            del methods["__hash__"]
        for name, method in {"__dataclass_fields__": known, "__match_args__": tuple(known), **methods}.items():
            if name not in cls.__dict__ or (name == "__hash__" and cls.__dict__[name] is None):
                setattr(cls, name, method)
        return cls

    def _initialiser(cls, known):
        """A class's ``__init__``."""
        names = tuple(known)
        finish = getattr(cls, "__post_init__", None)

        def __init__(self, *args, **named):
            values = self.__dict__
            if len(args) > len(names):
                raise TypeError(f"{cls.__name__} has {len(names)} fields, and {len(args)} were given")
            values.update(zip(names, args))
            for name, given in named.items():
                if name in values or name not in known:
                    raise TypeError(f"{cls.__name__}: the field {name} is unknown, or given twice")
                values[name] = given
            if len(values) < len(names):
                for name in names:
                    if name not in values:
                        values[name] = _default(cls, known[name])
            if finish:
                finish(self)

        return __init__

    def _default(cls, missing):
        if missing.default is not MISSING:
            return missing.default
        if missing.default_factory is not MISSING:
            return missing.default_factory()
        raise TypeError(f"{cls.__name__}: the field {missing.name} is missing")

    def _refuse(self, name, value=None):
        raise FrozenInstanceError(f"cannot assign to field {name!r} of {type(self).__name__}: see replace()")

    def _equal(self, other):
        if type(other) is not type(self):
            return NotImplemented
        mine, theirs = self.__dict__, other.__dict__  # which may hold more than fields
        return all(mine[name] == theirs[name] for name in self.__dataclass_fields__)

    def _hash(self):
        return hash(tuple(self.__dict__[name] for name in self.__dataclass_fields__))

    def _repr(self):
        shown = ", ".join(f"{name}={self.__dict__[name]!r}" for name in self.__dataclass_fields__)
        return f"{type(self).__qualname__}({shown})"

    __getattr__ = original("dataclasses")
