"""The same tests for ours and for the original: what one does the other does."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from labkit.runtime.std import dataclasses as ours


@pytest.fixture(params=[ours, dataclasses], ids=["ours", "the original"])
def made(request: pytest.FixtureRequest) -> Any:
    """A namespace with the module and three classes that were made by it."""
    module = request.param

    class Names:
        """Where the classes are."""

        tools = module

        @module.dataclass(frozen=True)
        class Point:
            """With one field of each kind."""

            x: int
            y: int = 2
            names: list[str] = module.field(default_factory=list)

        @module.dataclass
        class Loose:
            """One that can be changed."""

            x: int = module.field(default=1)

            def __post_init__(self) -> None:
                self.double = self.x * 2

    @module.dataclass(frozen=True)
    class Point3(Names.Point):  # type: ignore[misc, name-defined]
        """A field more than its parent has."""

        z: int = 3

    Names.Point3 = Point3  # type: ignore[attr-defined]
    return Names


def test_fields_by_place_by_name_and_by_default(made: Any) -> None:
    point = made.Point(1)
    assert (point.x, point.y, made.Point(1, y=5).y) == (1, 2, 5)
    assert made.tools.asdict(made.Point3(1, z=4)) == {"x": 1, "y": 2, "names": [], "z": 4}
    assert [field.name for field in made.tools.fields(made.Point3)] == ["x", "y", "names", "z"]
    assert [field.type for field in made.tools.fields(point)] == ["int", "int", "list[str]"]
    assert made.tools.is_dataclass(point)
    assert not made.tools.is_dataclass(1)


def test_a_default_list_belongs_to_one_object(made: Any) -> None:
    made.Point(1).names.append("a")
    assert made.Point(1).names == []


def test_equal_are_objects_of_one_class_with_equal_fields(made: Any) -> None:
    assert made.Point(1) == made.Point(1, 2)
    assert made.Point(1) != made.Point(2)
    assert made.Point(1) != made.Point3(1)
    assert hash(made.Point(1, 2, ())) == hash(made.Point(1, names=()))
    with pytest.raises(TypeError, match="unhashable"):
        hash(made.Loose())


@pytest.mark.parametrize(("args", "named"), [((), {}), ((1, 2, [], 4), {}), ((1,), {"x": 2}), ((1,), {"nothing": 2})])
def test_wrong_fields_are_a_type_error(made: Any, args: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        made.Point(*args, **named)


def test_a_frozen_one_cannot_be_changed_but_copied_with_changes(made: Any) -> None:
    point = made.Point(1, names=["a"])
    with pytest.raises(made.tools.FrozenInstanceError):
        point.x = 2
    with pytest.raises(AttributeError):
        del point.x
    assert made.tools.replace(point, x=7) == made.Point(7, 2, ["a"])
    assert point.x == 1
    with pytest.raises(TypeError):
        made.tools.replace(point, nothing=1)


def test_another_can_and_is_finished_by_its_own_method(made: Any) -> None:
    loose = made.Loose(3)
    assert loose.double == 6
    loose.x = 5
    assert loose.double == 6
    assert loose == made.Loose(5), "what is no field does not count"
    assert loose != made.Loose(3)


def test_repr_and_plain_form(made: Any) -> None:
    assert repr(made.Point(1)).endswith("Point(x=1, y=2, names=[])")
    nested = made.Point((made.Loose(4),), {"m": made.Loose(2)}, [made.Loose()])
    assert made.tools.asdict(nested) == {"x": ({"x": 4},), "y": {"m": {"x": 2}}, "names": [{"x": 1}]}


def test_what_ours_cannot_do_the_original_does() -> None:
    @ours.dataclass(order=True)
    class Ordered:
        """One with an order."""

        x: int

    assert Ordered(1) < Ordered(2)
    with pytest.raises(NotImplementedError):
        ours.field(default=1, repr=False)
