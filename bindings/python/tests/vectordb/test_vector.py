"""`Vector`."""

import array
import copy
import json
import math
import pickle
import random
import time
import weakref
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pytest
from common.core.base import BaseRecord
from common.core.serialization import Serializable
from vectordb.core import Vector


@pytest.mark.parametrize(
    "values",
    [
        [1, 2.0, True],
        (1, 2, 1),
        range(1, 3),
        array.array("d", [1.0, 2.0]),
        Vector([1.0, 2.0]),
        numpy.array([1.0, 2.0]),
        numpy.array([1, 2], dtype=numpy.int8),
        ["1", " 2.0 "],
        [Decimal(1), Fraction(2)],
        [numpy.float32(1), numpy.float64(2)],
    ],
)
def test_takes_what_float_takes(values: Any) -> None:
    """Whatever `float()` takes becomes a tuple of floats."""
    vector = Vector(values)
    assert vector.values[:2] == (1.0, 2.0)
    assert all(type(value) is float for value in vector.values)
    assert type(vector.values) is tuple
    assert vector.values is vector.values
    assert vector.dimension == len(vector.values) == len(vector)


def test_takes_a_generator() -> None:
    """One pass over it."""
    assert Vector(float(i) for i in range(3)).values == (0.0, 1.0, 2.0)


@pytest.mark.parametrize("values", [[], (), None, 0, "", reversed([]), numpy.array([]), {}])
def test_refuses_nothing(values: Any) -> None:
    """An empty vector is none."""
    with pytest.raises(ValueError, match="empty"):
        Vector(values)


@pytest.mark.parametrize("values", [["a"], [None], [[1.0]], [1j], 5, object(), numpy.eye(2)])
def test_refuses_what_is_no_number(values: Any) -> None:
    """`ValueError`, whatever `float()` raised."""
    with pytest.raises(ValueError, match="numeric"):
        Vector(values)


def test_large_integers_overflow_and_odd_floats_pass() -> None:
    """As `float()` does."""
    with pytest.raises(OverflowError):
        Vector([10**400])
    vector = Vector([math.nan, math.inf, -math.inf])
    assert math.isnan(vector[0])
    assert vector[1:] == (math.inf, -math.inf)
    assert Vector([vector[1]]) == Vector([math.inf])


def test_attributes() -> None:
    """Values are fixed, all else may be assigned."""
    before = time.time()
    vector = Vector([1.0], "a")
    assert before <= vector.created_at <= time.time()
    assert vector.updated_at == vector.created_at
    assert vector.metadata == {}
    assert vector.metadata is vector.metadata
    for name in ("values", "dimension"):
        with pytest.raises(AttributeError):
            setattr(vector, name, (1.0,))
    vector.id = ("b", 1)
    assert vector.id == ("b", 1)
    metadata = {"k": 1}
    given = Vector([1.0], metadata=metadata, created_at=0)
    assert given.metadata is metadata
    assert (given.created_at, given.updated_at) == (0, 0)
    given.update({"l": 2})
    assert metadata == {"k": 1, "l": 2}
    assert given.updated_at > before
    assert given.created_at == 0
    assert Vector([1.0]).id is None
    assert Vector([1.0], id="").id == ""


def test_sequence() -> None:
    """Of its values."""
    vector = Vector([1, 2, 3])
    assert (vector[0], vector[-1], vector[1:], vector[::-1]) == (1.0, 3.0, (2.0, 3.0), (3.0, 2.0, 1.0))
    assert vector[True] == 2.0
    two: Any = numpy.int64(2)
    assert vector[two] == 3.0
    assert list(vector) == [1.0, 2.0, 3.0]
    assert list(reversed(vector)) == [3.0, 2.0, 1.0]
    a, b, c = vector
    assert (a, b, c) == vector.values
    assert 2 in vector
    assert 9 not in vector
    assert bool(Vector([0.0]))
    for index in (3, -4, 10**30):
        with pytest.raises(IndexError):
            vector[index]
    wrong: list[Any] = ["a", 1.0, None]
    for index in wrong:
        with pytest.raises(TypeError):
            vector[index]


def test_equality_is_that_of_values() -> None:
    """Ids, metadata and times play no part."""
    assert Vector([1, 2], "a") == Vector([1.0, 2.0], "b", {"x": 1})
    assert Vector([1, 2]) != Vector([1, 3])
    assert Vector([1, 2]) != Vector([1, 2, 3])
    assert (Vector([1.0]) == (1.0,)) is False
    assert (Vector([1.0]) != (1.0,)) is True
    nan = Vector([math.nan])
    assert nan == nan
    with pytest.raises(TypeError):
        Vector([1.0]) < Vector([2.0])  # type: ignore[operator]  # noqa: B015
    with pytest.raises(TypeError):
        hash(Vector([1.0]))


def test_texts() -> None:
    """As shown to people."""
    assert repr(Vector([1, 2], "a")) == "Vector(id=a, dimension=2)"
    assert repr(Vector([1, 2], "")) == "Vector(dimension=2)"
    assert repr(type("Derived", (Vector,), {})([1], 5)) == "Vector(id=5, dimension=1)"
    assert str(Vector([1.5])) == "Vector(values=(1.5,))"
    assert str(Vector([1, 2, 3], "a")) == "Vector(id=a, values=(1.0, 2.0, 3.0))"
    assert str(Vector(range(100))) == "Vector(values=(0.0, 1.0, 2.0, ..., 97.0, 98.0, 99.0))"
    exactly_50 = Vector([1.0] * 10)
    assert str(exactly_50) == f"Vector(values={exactly_50.values})"
    assert str(Vector([1 / 3] * 4)).count("...") == 1


def test_arithmetic() -> None:
    """New plain vectors; `scale` and `normalize` keep the id."""
    v, w = Vector([3, 4], "a", {"k": 1}), Vector([1, 2], "b")
    assert v.dot(w) == 11.0
    assert v.magnitude() == 5.0
    assert Vector([0, 0]).magnitude() == 0.0
    assert v.add(w).values == (4.0, 6.0)
    assert v.subtract(w).values == (2.0, 2.0)
    assert v.add(w).id is None
    assert v.scale(2).values == (6.0, 8.0)
    assert (v.scale(2).id, v.scale(2).metadata) == ("a", {"k": 1})
    assert v.scale(Fraction(1, 2)).values == (1.5, 2.0)
    assert v.scale(numpy.float64(2)).values == (6.0, 8.0)
    unit = v.normalize()
    assert unit.values == (0.6, 0.8)
    assert unit.id == "a"
    assert unit.metadata == {"k": 1}
    assert unit.metadata is not v.metadata
    for operation in (v.dot, v.add, v.subtract):
        with pytest.raises(ValueError, match="dimension"):
            operation(Vector([1.0]))
        with pytest.raises(AttributeError):
            operation([1.0, 2.0])
    with pytest.raises(ValueError, match="Cannot normalize a zero vector"):
        Vector([0.0]).normalize()
    for wrong in ("a", None, Decimal(2)):
        with pytest.raises(TypeError):
            v.scale(wrong)
    assert Vector([3e200, 4e200]).magnitude() == pytest.approx(5e200, rel=1e-12)


def test_operands_need_only_dimension_and_values() -> None:
    """Duck typing."""

    class Duck:
        dimension = 2
        values = (1.0, 2.0)

    assert Vector([3, 4]).dot(Duck()) == 11.0

    class Doubled(Vector):
        @property
        def values(self) -> tuple[float, ...]:
            return tuple(2 * value for value in super().values)

    assert Vector([3, 4]).dot(Doubled([1, 2])) == 22.0


def test_against_plain_python() -> None:
    """Sums to 1e-12."""
    rng = random.Random(5)
    for dimension in (1, 2, 15, 16, 17, 128, 1000):
        a = [rng.gauss(0, 1) for _ in range(dimension)]
        b = [rng.gauss(0, 1) for _ in range(dimension)]
        scale = sum(abs(x * y) for x, y in zip(a, b))
        assert abs(Vector(a).dot(Vector(b)) - math.fsum(x * y for x, y in zip(a, b))) <= 1e-12 * scale
        assert Vector(a).magnitude() == pytest.approx(math.sqrt(math.fsum(x * x for x in a)), rel=1e-12)
        assert Vector(a).add(Vector(b)).values == tuple(x + y for x, y in zip(a, b))


def test_dict_and_json() -> None:
    """`to_dict` shows what was given."""
    assert Vector([1, 2]).to_dict() == {"values": [1.0, 2.0]}
    assert list(Vector([1], "a").to_dict()) == ["values", "id"]
    full = Vector([1], "a", {"k": [1]}, 5.0)
    assert full.to_dict() == {"values": [1.0], "id": "a", "metadata": {"k": [1]}, "created_at": 5.0, "updated_at": 5.0}
    again = Vector.from_dict({**full.to_dict(), "other": 1})
    assert again.to_dict() == full.to_dict()
    with pytest.raises(ValueError, match="Dictionary must contain 'values' field"):
        Vector.from_dict({})
    changed = Vector([1])
    changed.update()
    assert set(changed.to_dict()) == {"values", "created_at", "updated_at"}
    rng = random.Random(3)
    numbers = [0.0, -0.0, 1e16, 1e-5, 123456789.0, 1e22, 5e-324, 1.7976931348623157e308, 1e-4, 9999999999999998.0]
    numbers += [rng.uniform(-1, 1) * 10.0 ** rng.randint(-320, 300) for _ in range(2000)]
    numbers += [math.nan, math.inf, -math.inf]
    for vector in (Vector(numbers), Vector([1.0], 'ä\n"'), full):
        text = vector.to_json()
        assert text == json.dumps(vector.to_dict())
        again = Vector.from_json(text)
        assert repr(again.values) == repr(vector.values)
        assert again.to_dict().keys() == vector.to_dict().keys()
        assert again.id == vector.id
    assert Vector.from_json(Vector(numbers).to_json().encode()).values[:5] == tuple(numbers[:5])
    with pytest.raises(TypeError):
        Vector([1.0], id=object()).to_json()


@pytest.mark.parametrize(
    "text",
    [
        '{"values": [01.0]}',
        '{"values": [1.]}',
        '{"values": [.5]}',
        '{"values": [1,]}',
        '{"values": [1e]}',
        '{"values": [+1]}',
        '{"values": []}',
        '{"values": [1.0]',
        '{"values": [1.0], }',
        '{"values": [1.0]} x',
        '{"values": ["a"]}',
        '{"id": "a"}',
        "",
        "5",
        "[1.0]",
        "null",
    ],
)
def test_from_json_refuses(text: str) -> None:
    """Whatever is no vector."""
    with pytest.raises((ValueError, TypeError)):
        Vector.from_json(text)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"values": [1, 2]}', (1.0, 2.0)),
        ('{"values":[1,2],"id":"a"}', (1.0, 2.0)),
        ('{"values": [1e3, -2.5E-1, 1E+2]}', (1000.0, -0.25, 100.0)),
        ('{"values": ["1"]}', (1.0,)),
        ('{"values": [1.0], "values": [2.0]}', (2.0,)),
        (' {"values": [1e400]}', (math.inf,)),
        ('{"values": [NaN, 1.0]}', None),
    ],
)
def test_from_json_reads(text: str, values: Any) -> None:
    """Any JSON of a vector."""
    vector = Vector.from_json(text)
    if values is not None:
        assert vector.values == values


def test_subclasses() -> None:
    """With another constructor; arithmetic answers plain vectors."""

    class Named(Vector):
        def __init__(self, name: str, *, size: int) -> None:
            super().__init__([float(size)] * size, id=name)
            self.extra = name * 2

    named = Named("x", size=2)
    assert (named.values, named.id, named.extra) == ((2.0, 2.0), "x", "xx")
    assert type(named.scale(2)) is Vector

    class Plain(Vector):
        def to_dict(self) -> dict[str, Any]:
            return {**super().to_dict(), "plain": True}

        def __iter__(self) -> Iterator[float]:
            return iter(())

    assert json.loads(Plain([1]).to_json())["plain"] is True
    assert type(Plain.from_dict({"values": [1]})) is Plain
    assert type(Plain.from_json('{"values": [1.0]}')) is Plain


def test_ordinary_object() -> None:
    """Attributes, weak references, copies, pickles, registered bases."""
    vector = Vector([1, 2], "a", {"k": [1]})
    vector.note = "n"  # type: ignore[attr-defined]
    assert weakref.ref(vector)() is vector
    shallow, deep, again = copy.copy(vector), copy.deepcopy(vector), pickle.loads(pickle.dumps(vector))
    for other in (shallow, deep, again):
        assert (other, other.id, other.metadata, vars(other)) == (vector, "a", {"k": [1]}, {"note": "n"})
        assert other.created_at == vector.created_at
    assert shallow.metadata["k"] is vector.metadata["k"]
    assert deep.metadata["k"] is not vector.metadata["k"]
    assert isinstance(vector, BaseRecord)
    assert isinstance(vector, Serializable)
    assert (Vector.__name__, Vector.__module__) == ("Vector", "vectordb.core.vector")
    with pytest.raises(TypeError):
        Vector()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Vector([1.0], wrong=1)  # type: ignore[call-arg]
