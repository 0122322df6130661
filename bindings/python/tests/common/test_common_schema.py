"""Schemas, checks of values, transformations and queries of `common`."""

from __future__ import annotations

import copy
import pickle
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from common.core import BaseRecord, FieldType, InMemoryStorage, Schema, SchemaField, SchemaRegistry
from common.operations import FilterCondition, Operation, Operator, Pipeline, Query, QueryResult, QueryType, Transformer
from common.utils.validation import (
    deep_validate,
    validate_array,
    validate_number,
    validate_required,
    validate_string,
    validate_type,
)


@pytest.mark.parametrize(
    ("kind", "constraints", "value", "message"),
    [
        ("string", {}, 1, "must be a string"),
        ("string", {"min_length": 2}, "a", "must be at least 2 characters long"),
        ("string", {"max_length": 2}, "abc", "must be at most 2 characters long"),
        ("string", {"pattern": "b"}, "ab", "must match pattern b"),
        ("string", {"pattern": "a", "own": 1}, "ab", None),
        ("integer", {}, True, "must be an integer"),
        ("integer", {}, 1.0, "must be an integer"),
        ("integer", {"minimum": 2, "maximum": 3}, 1, "must be greater than or equal to 2"),
        ("float", {"maximum": 2.5}, 3, "must be less than or equal to 2.5"),
        ("float", {"minimum": 2, "maximum": 2}, 2, None),
        ("float", {}, True, "must be a number"),
        ("boolean", {}, 1, "must be a boolean"),
        ("boolean", {}, False, None),
        ("array", {}, (1,), "must be an array"),
        ("array", {"min_items": 1}, [], "must contain at least 1 items"),
        ("array", {"max_items": 1}, [1, 2], "must contain at most 1 items"),
        ("array", {"unique_items": True}, [1, "1"], "must contain unique items"),
        ("array", {"unique_items": True}, [1, 2], None),
        ("object", {}, [], "must be an object"),
        ("null", {}, 0, "must be null"),
        ("any", {"minimum": 5}, 1, None),
        ("unknown", {}, object(), None),
    ],
)
def test_field(kind: str, constraints: dict[str, Any], value: Any, message: str | None) -> None:
    field = SchemaField("n", kind, constraints=constraints)
    assert field.validate(value) == (message is None, message and f"Field 'n' {message}")
    assert field.validate(None) == (True, None)
    field.nullable = False
    assert field.validate(None) == (False, "Field 'n' cannot be null")
    assert SchemaField.from_json(field.to_json()).to_dict() == field.to_dict()


def test_schema() -> None:
    schema = Schema("s", [SchemaField("a", "string", True), SchemaField("b", FieldType.INTEGER, default=[1])])
    assert schema.fields["b"].field_type is FieldType.INTEGER
    assert schema.validate({"z": 1, "b": "x"}) == (
        False,
        [
            "Required field 'a' is missing",
            "Additional property 'z' is not allowed",
            "Field 'b' must be an integer",
        ],
    )
    assert schema.validate({"a": None}) == (True, [])
    schema.additional_properties = True
    assert schema.validate({"a": "", "z": 1}) == (True, [])
    data = {"a": "x"}
    filled = schema.apply_defaults(data)
    filled["b"].append(2)
    assert schema.apply_defaults(data) == {"a": "x", "b": [1]}
    assert data == {"a": "x"}
    again = Schema.from_json(schema.to_json())
    assert again.to_dict() == schema.to_dict()
    for copied in (copy.deepcopy(schema), pickle.loads(pickle.dumps(schema))):
        assert copied.to_dict() == schema.to_dict()


def test_schema_asks_overridden_fields() -> None:
    class Even(SchemaField):
        def validate(self, value: Any) -> tuple[bool, str | None]:
            return (True, None) if value % 2 == 0 else (False, "odd")

    schema = Schema("s", [Even("n", "integer")])
    assert schema.validate({"n": 2}) == (True, [])
    assert schema.validate({"n": 3}) == (False, ["odd"])


def test_a_patched_field_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = Schema("s", [SchemaField("n", "integer")])
    monkeypatch.setattr(SchemaField, "validate", lambda self, value: (False, "patched"))  # noqa: ARG005
    assert schema.validate({"n": 3}) == (False, ["patched"])


def test_registry() -> None:
    registry = SchemaRegistry()
    assert registry
    for version in ("1.9.0", "1.10.0", "1.2"):
        registry.register(Schema("s", [], version))
    newest = registry.get_schema("s")
    assert newest is registry.schemas["s"]["1.10.0"]
    assert registry.get_schema("s", "1.2") is registry.schemas["s"]["1.2"]
    assert registry.get_schema("s", "3") is registry.get_schema("t") is None
    registry.register(Schema("s", [], "draft"))
    assert registry.get_schema("s") is newest
    assert registry.validate({}, "s") == (True, [])
    assert registry.validate({}, "t") == (False, ["Schema 't' not found"])
    assert [entry["version"] for entry in registry.list_schemas()] == ["1.9.0", "1.10.0", "1.2", "draft"]
    assert SchemaRegistry.from_json(registry.to_json()).to_dict() == registry.to_dict()


def test_types() -> None:
    assert validate_type(None, int) == (True, None)
    assert validate_type(True, int) == (True, None)
    assert validate_type(True, "integer", "f") == (False, "f must be of type integer")
    assert validate_type(1.5, (int, str)) == (False, "Value must be of type int or str")
    assert validate_type(1, "weird") == (False, "Value must be of type weird")
    for name, value in (("number", 1.5), ("boolean", True), ("array", []), ("object", {}), ("any", 1), ("string", "")):
        assert validate_type(value, name) == (True, None)
    assert validate_required({"a": None, "b": 0}, ["a", "b", "c"]) == (
        False,
        ["Required field 'a' is missing", "Required field 'c' is missing"],
    )


def test_values() -> None:
    assert validate_string("abc", 1, 5, "a", "F") == (True, None)
    assert validate_string("abc", pattern="b") == (False, "Value must match pattern b")
    assert validate_string("abc", max_length=2, field_name="F") == (False, "F must be at most 2 characters long")
    assert validate_number(True) == (False, "Value must be a number")
    assert validate_number(5, 6) == (False, "Value must be greater than or equal to 6")
    assert validate_array([1, True], unique_items=True)[0] is False
    assert validate_array([1, "1"], unique_items=True) == (True, None)
    assert validate_array([[1], "[1]"], unique_items=True)[0] is False
    assert validate_array([1, "x"], item_validator=lambda item: validate_type(item, int), field_name="F") == (
        False,
        "F[1]: Value must be of type int",
    )


def test_deep() -> None:
    schema = {
        "name": {"type": "string", "required": True, "min_length": 2},
        "tags": {"type": "array", "items": {"type": "string"}, "max_items": 2},
        "home": {"type": "object", "properties": {"zip": {"type": "integer", "required": True, "minimum": 1}}},
        "any": {},
    }
    data = {"extra": 1, "tags": ["a", 1], "home": {"zip": 0, "more": 1}, "any": object()}
    assert deep_validate(data, schema) == (
        False,
        [
            "Required field 'name' is missing",
            "Additional property 'extra' is not allowed",
            "tags[1]: Value must be of type string",
            "home.zip must be greater than or equal to 1",
            "home.Additional property 'more' is not allowed",
        ],
    )
    assert deep_validate({"home": {}}, {"home": schema["home"]})[1] == ["home.Required field 'zip' is missing"]
    assert deep_validate({"name": "xx", "extra": 1}, {**schema, "additional_properties": True}) == (True, [])
    assert deep_validate({"name": 1}, schema) == (False, ["name must be of type string"])


class Times(Transformer[int, int]):
    """Multiplies."""

    def __init__(self, name: str = "times", description: str | None = None, factor: int = 2) -> None:
        super().__init__(name=name, description=description)
        self.factor = factor

    def transform(self, data: int) -> int:
        return data * self.factor


def test_transformations() -> None:
    with pytest.raises(TypeError):
        Transformer("x")  # type: ignore[abstract]
    steps: list[Any] = [Times(factor=3), Times()]
    pipeline: Pipeline[int, int] = Pipeline("p", steps)
    steps.clear()
    assert pipeline(2) == pipeline.transform(2) == 12
    pipeline.add_transformer(Times(factor=5))
    assert pipeline(1) == 30
    assert pipeline.remove_transformer(-1) is pipeline.remove_transformer(3) is None
    removed = pipeline.remove_transformer(2)
    assert isinstance(removed, Times)
    assert pipeline.to_dict()["transformers"][0]["type"] == "Times"
    again = Times.from_dict({**removed.to_dict(), "created_at": 5})
    assert (again.name, again.created_at) == ("times", 5)
    double: Operation[int, int] = Operation("double", lambda data: data * 2)
    assert double(4) == double.execute(4) == 8
    with pytest.raises(ValueError):
        Operation.from_dict(double.to_dict())


class Person(BaseRecord):
    """A record with fields."""

    def __init__(self, name: Any, metadata: dict[str, Any] | None = None) -> None:
        super().__init__("p", metadata)
        self.name = name


@pytest.mark.parametrize(
    ("kind", "value", "fits", "fits_not"),
    [
        (QueryType.EXACT, 5, [5, 5.0], [4, None]),
        (QueryType.RANGE, [1, 3], [1, 2.5, 3], [0, 4]),
        (QueryType.RANGE, (1, 3), [2], [4]),
        (QueryType.RANGE, 3, [], [3]),
        (QueryType.PREFIX, "ab", ["abc"], ["cab", 5]),
        (QueryType.SUFFIX, "ab", ["cab"], ["abc", 5]),
        (QueryType.CONTAINS, "b", ["abc", ["b"], ("b",), {"b"}], ["ac", {"b": 1}, 5, frozenset("b")]),
        (QueryType.REGEX, "b.d", ["abcd"], ["abc", 5]),
        (QueryType.REGEX, re.compile("B", re.IGNORECASE), ["abc"], ["x"]),
        (QueryType.REGEX, "(", [], ["("]),
        (QueryType.FULLTEXT, "a", [], ["a"]),
        (QueryType.SIMILARITY, "a", [], ["a"]),
        ("exact", 5, [], [5]),
    ],
)
def test_conditions(kind: Any, value: Any, fits: list[Any], fits_not: list[Any]) -> None:
    condition = FilterCondition("name", kind, value)
    for field, wanted in [(field, True) for field in fits] + [(field, False) for field in fits_not]:
        assert condition.matches(Person(field)) is wanted
        assert condition.matches({"name": field}) is wanted
        assert condition.matches(Person(None, {"name": field})) is wanted


def test_conditions_on_odd_records() -> None:
    class Box(Mapping[str, Any]):
        def __init__(self, **items: Any) -> None:
            self.held = items

        def __getitem__(self, key: str) -> Any:
            return self.held[key]

        def __iter__(self) -> Iterator[str]:
            return iter(self.held)

        def __len__(self) -> int:
            return len(self.held)

    condition = FilterCondition("items", QueryType.EXACT, 5)
    assert condition.matches({"items": 5})
    assert condition.matches(Box(items=5))
    for record in ({}, Box(), [], "text", 5, None, object()):
        assert not condition.matches(record)
    with pytest.raises(TypeError):
        FilterCondition("name", QueryType.RANGE, [1, 2]).matches(Person("x"))
    again = FilterCondition.from_dict(condition.to_dict())
    assert (again.field_name, again.operator, again.value, again.metadata) == ("items", QueryType.EXACT, 5, {})
    with pytest.raises(ValueError):
        FilterCondition.from_dict({"field_name": "a", "operator": "b", "value": 1})


def test_queries() -> None:
    class Find(Query):
        def execute(self, collection: Any) -> QueryResult[Any]:
            return QueryResult([record for record in collection if all(one.matches(record) for one in self.filters)])

    with pytest.raises(TypeError):
        Query()  # type: ignore[abstract]
    filters = [FilterCondition("name", QueryType.EXACT, "a")]
    query = Find(filters, sort_order="DESC", limit=0)
    assert query.filters is not filters
    query.add_filter(FilterCondition("id", QueryType.EXACT, "p"))
    assert (len(filters), query.sort_order, query.limit) == (1, "desc", 0)
    storage: InMemoryStorage[Person] = InMemoryStorage()
    storage.add(Person("a"))
    result = query.execute(storage)
    assert (len(result), result[0].name, result[:1], result.total_count) == (1, "a", list(result), 1)
    assert result.to_dict()["results"] == [storage.list()[0].to_dict()]
    assert QueryResult([1], 0).to_dict() == {"results": [1], "total_count": 0, "execution_time": None, "metadata": {}}
    again = Find.from_dict(query.to_dict())
    assert again.to_dict() == query.to_dict()
    assert Find.from_dict({}).filter_operator is Operator.AND
