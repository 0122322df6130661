"""Records, collections, indices and storage of `common`."""

from __future__ import annotations

import copy
import json
import pickle
import random
import time
from typing import Any

import pytest
from common.core import BaseCollection, BaseOperation, BaseRecord, Index, InMemoryStorage, Serializable


class Row(BaseRecord):
    """A record with fields of its own and another constructor."""

    def __init__(self, id: Any, city: Any = None, age: int = 0, metadata: dict[str, Any] | None = None) -> None:
        super().__init__(id=id, metadata=metadata)
        self.city = city
        self.age = age


class Bare(BaseRecord):
    """Never calls the base's constructor."""

    def __init__(self, id: Any) -> None:
        self.id = id

    def to_dict(self) -> dict[str, Any]:
        return {"id": self.id}


def ids(records: list[Any]) -> list[Any]:
    return [record.id for record in records]


def test_record_keeps_what_is_given() -> None:
    metadata = {"a": 1}
    record = BaseRecord("x", metadata, 0, None)
    assert record.metadata is metadata
    assert (record.created_at, record.updated_at) == (0, 0)
    assert list(record.to_dict()) == ["id", "metadata", "created_at", "updated_at"]
    empty: dict[str, Any] = {}
    assert BaseRecord(metadata=empty).metadata is not empty
    assert BaseRecord().id is None
    before = time.time()
    record.update({"b": 2})
    assert metadata == {"a": 1, "b": 2}
    assert before <= record.updated_at <= time.time()
    again = BaseRecord.from_json(record.to_json())
    assert again.to_dict() == record.to_dict() == json.loads(record.to_json())
    assert BaseRecord.from_dict({}).id is None


def test_records_are_equal_by_id_and_unhashable() -> None:
    assert BaseRecord("x") == Bare("x")
    assert BaseRecord("x") != BaseRecord("y")
    assert BaseRecord("x") != "x"
    nameless = BaseRecord()
    assert nameless == nameless
    assert nameless != BaseRecord()
    with pytest.raises(TypeError):
        hash(nameless)


def test_both_bases_in_one_class() -> None:
    class Both(BaseRecord, Serializable):
        def to_dict(self) -> dict[str, Any]:
            return {**super().to_dict(), "more": 1}

    assert Both("x").to_dict()["more"] == 1
    assert json.loads(Both("x").to_json())["id"] == "x"
    made = type("Made", (BaseRecord, Serializable), {})()
    assert isinstance(made, BaseRecord)
    assert isinstance(made, Serializable)

    class Foreign:
        pass

    BaseRecord.register(Foreign)
    assert isinstance(Foreign(), BaseRecord)


def test_collection() -> None:
    class Named(BaseCollection[Row]):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    rows = Named("rows")
    assert not rows
    with pytest.raises(ValueError):
        rows.add(Row(None))
    first, second = Row("a"), Row("b")
    assert (rows.add(first), rows.add(second)) == ("a", "b")
    assert rows.get("a") is first
    assert rows.get("z") is None
    assert rows.update("a", age=5, unknown=1) is first
    assert first.age == 5
    assert not hasattr(first, "unknown")
    assert rows.update("z", age=1) is None
    assert list(rows) == rows.list() == [first, second]
    assert (len(rows), rows.count(), "a" in rows, "z" in rows) == (2, 2, True, False)
    assert (rows.delete("a"), rows.delete("a")) == (True, False)
    rows.clear()
    assert len(rows) == 0


def test_operation_is_abstract() -> None:
    with pytest.raises(TypeError):
        BaseOperation("x")  # type: ignore[abstract]

    class Add(BaseOperation):
        def execute(self, *args: Any, **kwargs: Any) -> Any:
            return sum(args, **kwargs)

    add = Add("add", "adds")
    assert add.execute(1, 2) == 3
    assert add.to_dict() == {"name": "add", "description": "adds", "created_at": add.created_at}
    assert Add.from_dict(add.to_dict()).description == "adds"


def test_index() -> None:
    index: Index[Row] = Index[Row]("city")
    one, two = Row("1", "rome"), Row("2", metadata={"city": "rome"})
    for row in (one, two, Row("3")):
        index.add(row)
    assert index.field_name == "city"
    assert index.find("rome") == {"1", "2"}
    index.find("rome").clear()
    assert index.find("rome") == {"1", "2"}
    assert isinstance(index.find("paris"), set)
    assert index.find("paris") == set()
    index.update(one, Row("1", "paris"))
    assert (index.find("rome"), index.find("paris")) == ({"2"}, {"1"})
    two.city = "oslo"
    index.remove(two)
    assert index.find("rome") == {"2"}, "it looks under the value that the record has now"
    with pytest.raises(TypeError):
        index.add(Row("4", ["unhashable"]))
    index.clear()
    assert index.find("paris") == set()


@pytest.mark.parametrize("indexed", [False, True])
def test_query_by_one_rule(indexed: bool) -> None:
    storage: InMemoryStorage[Any] = InMemoryStorage()
    for row in (Row("c", "x"), Row("a", None, metadata={"city": "x"}), Row("b"), Row("d", "y")):
        storage.add(row)
    if indexed:
        storage.add_index("city")
        storage.add_index("city")
    assert ids(storage.query("city", "x")) == ["c", "a"]
    assert ids(storage.query("city", None)) == ["b"]
    assert storage.query("city", ["x"]) == []
    storage.update("d", city="x")
    storage.update("c", city="y")
    storage.update("c", city="x")
    assert ids(storage.query("city", "x")) == ["c", "a", "d"], "in the order of the storage"
    assert storage.query("city", "y") == []
    storage.remove_index("city")
    storage.remove_index("city")
    assert ids(storage.query("city", "x")) == ["c", "a", "d"]


def test_a_value_that_cannot_be_filed_changes_nothing() -> None:
    storage: InMemoryStorage[Any] = InMemoryStorage()
    storage.add_index("age")
    storage.add_index("city")
    storage.add(Row("a", "x", 1))
    with pytest.raises(TypeError):
        storage.add(Row("b", []))
    assert "b" not in storage
    with pytest.raises(TypeError):
        storage.update("a", age=2, city=[])
    assert ids(storage.query("age", 1)) == ids(storage.query("city", "x")) == ["a"]
    assert storage.query("age", 2) == []
    with pytest.raises(ValueError):
        storage.add(Row(None))


def test_records_and_indices_are_live() -> None:
    storage: InMemoryStorage[Any] = InMemoryStorage()
    storage.add_index("city")
    storage.add(Row("a", "x"))
    old, new = storage._records["a"], Row("a", "y")
    storage._records["a"] = new
    for index in storage._indices.values():
        index.update(old, new)
    assert type(storage._records) is dict
    assert type(storage._indices) is dict
    assert storage.get("a") is new
    assert storage.query("city", "x") == []
    assert storage.query("city", "y") == [new]
    direct = Row("b", "y")
    storage._records["b"] = direct
    storage._indices["city"].add(direct)
    assert ids(storage.query("city", "y")) == ["a", "b"]
    assert ids(storage.filter(lambda row: row.city == "y")) == ["a", "b"]


def test_batches_go_on_until_the_failure() -> None:
    storage: InMemoryStorage[Any] = InMemoryStorage()
    storage.add_index("city")
    assert storage.batch_add(Row(number, "x") for number in range(3)) == [0, 1, 2]
    with pytest.raises(ValueError):
        storage.batch_add([Row(3, "x"), Row(None), Row(4)])
    assert storage.count() == 4
    changed = storage.batch_update([(0, {"city": "y"}), (9, {"city": "y"}), (1, {"other": 1})])
    assert [row and row.id for row in changed] == [0, None, 1]
    assert ids(storage.query("city", "y")) == [0]
    assert storage.batch_delete([0, 9, 1]) == [True, False, True]
    assert ids(storage.query("city", "x")) == [2, 3]
    assert isinstance(storage.get_last_modified(), float)


def test_batches_go_through_overridden_methods() -> None:
    class Counting(InMemoryStorage[Row]):
        added = updated = deleted = 0

        def add(self, record: Row) -> Any:
            self.added += 1
            return super().add(record)

        def update(self, record_id: Any, **attributes: Any) -> Any:
            self.updated += 1
            return super().update(record_id, **attributes)

        def delete(self, record_id: Any) -> bool:
            self.deleted += 1
            return super().delete(record_id)

    storage = Counting()
    storage.batch_add([Row("a"), Row("b")])
    storage.batch_update([("a", {"age": 1})])
    storage.batch_delete(["a", "b"])
    assert (storage.added, storage.updated, storage.deleted) == (2, 1, 2)


def test_last_modified_follows_changes() -> None:
    storage: InMemoryStorage[Any] = InMemoryStorage()
    at = storage.get_last_modified()
    for change in (
        lambda: storage.add(Row("a")),
        lambda: storage.update("a", age=1),
        lambda: storage.delete("a"),
        storage.clear,
    ):
        time.sleep(0.01)
        change()
        assert storage.get_last_modified() > at
        at = storage.get_last_modified()
    storage.update("a", age=1)
    storage.delete("a")
    assert storage.get_last_modified() == at


def test_other_signatures_in_a_subclass() -> None:
    class Table(InMemoryStorage[Row]):
        def get(self, key: Any, default: Any = None) -> Any:
            return super().get(str(key)) or default

        def delete(self, key: Any, strict: bool = False) -> bool:
            return super().delete(str(key)) or strict

        def query(self, **fields: Any) -> list[Row]:  # type: ignore[override]
            return [row for name, value in fields.items() for row in super(Table, self).query(name, value)]

    table = Table()
    table.add_index("city")
    table.add(Row("1", "x"))
    assert table.get(1).id == "1"
    assert ids(table.query(city="x")) == ["1"]
    assert table.delete(1)
    assert table.query(city="x") == []


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda storage: pickle.loads(pickle.dumps(storage))])
def test_copies_stand_alone(copied: Any) -> None:
    storage: InMemoryStorage[Any] = InMemoryStorage()
    storage.add_index("city")
    storage.add(BaseRecord("a", {"city": "x"}))
    other = copied(storage)
    other.add(BaseRecord("b", {"city": "x"}))
    assert ids(other.query("city", "x")) == ["a", "b"]
    assert ids(storage.query("city", "x")) == ["a"]


def test_random_changes_against_a_plain_dict() -> None:
    rng = random.Random(11)
    storage: InMemoryStorage[Any] = InMemoryStorage()
    storage.add_index("city")
    model: dict[int, Row] = {}
    for _ in range(3000):
        key, city = rng.randrange(30), rng.choice(["x", "y", "z", None])
        action = rng.randrange(5)
        if action < 2:
            row = Row(key, city, metadata={"city": rng.choice(["x", "m"])})
            storage.add(row)
            model[key] = row
        elif action == 2:
            assert (storage.update(key, city=city) is None) == (key not in model)
        elif action == 3:
            assert storage.delete(key) == (model.pop(key, None) is not None)
        else:
            old = storage._records.get(key)
            if old is not None:
                new = Row(key, city)
                storage._records[key] = model[key] = new
                storage._indices["city"].update(old, new)
        for value in ("x", "y", "m", None):
            wanted = [
                row.id
                for row in model.values()
                if (row.city if row.city is not None else row.metadata.get("city")) == value
            ]
            assert ids(storage.query("city", value)) == wanted
