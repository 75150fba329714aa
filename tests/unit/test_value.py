from __future__ import annotations

import pytest

from labkit.value import Value, field


class Point(Value):
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list)


class Point3(Point):
    z: int = 3


def test_fields_by_place_by_name_and_by_default() -> None:
    assert (Point(1).x, Point(1).y, Point(1, y=5).y) == (1, 2, 5)
    assert Point3(1, z=4).as_dict() == {"x": 1, "y": 2, "names": [], "z": 4}


def test_a_default_list_belongs_to_one_object() -> None:
    first = Point(1)
    first.names.append("a")
    assert Point(1).names == []


def test_equal_are_objects_of_one_class_with_equal_fields() -> None:
    assert Point(1) == Point(1, 2)
    assert Point(1) != Point(2)
    assert Point(1) != Point3(1)
    assert hash(Plain(1)) == hash(Plain(1))


class Plain(Value):
    x: int


@pytest.mark.parametrize(("args", "named"), [((), {}), ((1, 2, [], 4), {}), ((1,), {"x": 2}), ((1,), {"nothing": 2})])
def test_wrong_fields_are_a_type_error(args: tuple[object, ...], named: dict[str, object]) -> None:
    with pytest.raises(TypeError):
        Point(*args, **named)  # type: ignore[arg-type]


def test_it_cannot_be_changed_but_copied_with_changes() -> None:
    point = Point(1, names=["a"])
    with pytest.raises(AttributeError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del point.x
    assert point.changed(x=7) == Point(7, 2, ["a"])
    assert point.x == 1


def test_repr_and_plain_form() -> None:
    assert repr(Point(1)) == "Point(x=1, y=2, names=[])"

    class Line(Value):
        ends: tuple[Plain, ...]
        marks: dict[str, Plain]

    assert Line((Plain(1),), {"m": Plain(2)}).as_dict() == {"ends": [{"x": 1}], "marks": {"m": {"x": 2}}}
