"""Tables: what goes in comes out, what is refused, what is logged."""

# Methods and callbacks have the parameters they are called with.
# ruff: noqa: ARG002, ARG005

import copy
import datetime
import decimal
import random
import threading
import time
import uuid
from collections import OrderedDict
from typing import Any, Callable

import pytest
from syncdb.db.database import Database, Table
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from tandemdb._native import syncdb as native


def table(*columns: Column) -> Table:
    """A table with a key `id` and other columns."""
    return Table(TableSchema("t", [Column("id", object, primary_key=True), *columns]))


def database() -> Database:
    """One table with a key and a column."""
    schema = TableSchema("t", [Column("id", int, primary_key=True), Column("v", object)])
    return Database(DatabaseSchema({"t": schema}))


class Point:
    """An object of a program."""

    def __init__(self, x: object) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and self.x == other.x

    __hash__ = None  # type: ignore[assignment]


VALUES: list[Any] = [
    None,
    True,
    3,
    10**40,
    -0.0,
    float("inf"),
    "text",
    "\ud800",
    b"bytes",
    [1, [2, {"a": (3, [4])}]],
    (1, (2, 3)),
    {"k": {"n": [1]}, (1, 2): "tuple", None: 0},
    {1, 2, (3, 4)},
    frozenset({1}),
    bytearray(b"x"),
    datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc),
    datetime.date(2024, 1, 2),
    decimal.Decimal("1.50"),
    uuid.UUID(int=5),
    1 + 2j,
    Point([1]),
    OrderedDict(a=1),
    int,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_went_in(value: Any) -> None:
    """Same type, equal, and not the same object where it can change."""
    rows = table(Column("v", object))
    returned = rows.insert({"id": 1, "v": value})
    for row in (returned, rows.get((1,)), rows.query({"id": 1})[0]):
        assert row is not None
        assert type(row["v"]) is type(value)
        assert row["v"] == value
        if isinstance(value, (list, dict, set, bytearray, Point)):
            assert row["v"] is not value
            assert row["v"] is not rows.records[(1,)]["v"]


def test_copies_keep_what_is_shared_and_what_is_recursive() -> None:
    """As `copy.deepcopy` does."""
    shared: list[Any] = [1]
    loop: list[Any] = []
    loop.append((loop, shared))
    point = Point(shared)
    copied: Any = native.deepcopy({"a": shared, "b": shared, "loop": loop, "p": point, "q": {"p": point}})
    assert copied["a"] is copied["b"] is copied["loop"][0][1]
    assert copied["a"] is not shared
    assert copied["loop"][0][0] is copied["loop"]
    assert copied["p"].x is copied["a"]
    assert copied["q"]["p"] is copied["p"]
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(RecursionError):
        native.deepcopy(deep)


def random_value(chance: random.Random, depth: int, seen: list[Any]) -> Any:
    """A nested value, parts of which are shared."""
    if seen and chance.random() < 0.15:
        return chance.choice(seen)
    kind = chance.randrange(9 if depth else 4)
    if kind < 4:
        return chance.choice([None, True, 3, 2.5, "s", b"b"])
    inner = [random_value(chance, depth - 1, seen) for _ in range(chance.randrange(4))]
    makers: dict[int, Any] = {
        4: lambda: list(inner),
        5: lambda: tuple(inner),
        6: lambda: {f"k{at}": one for at, one in enumerate(inner)},
        7: lambda: {chance.randrange(9) for _ in range(3)},
        8: lambda: Point(inner),
    }
    value = makers[kind]()
    seen.append(value)
    return value


def shape(value: Any, ids: dict[int, int]) -> Any:
    """A value with the places at which the same object occurs."""
    if id(value) in ids and not isinstance(value, (str, int, float, bytes, type(None))):
        return ("same", ids[id(value)])
    if isinstance(value, (list, tuple)):
        ids[id(value)] = len(ids)
        return (type(value), [shape(one, ids) for one in value])
    if isinstance(value, dict):
        ids[id(value)] = len(ids)
        return (dict, [(key, shape(one, ids)) for key, one in value.items()])
    if isinstance(value, Point):
        ids[id(value)] = len(ids)
        return (Point, shape(value.x, ids))
    if isinstance(value, set):
        ids[id(value)] = len(ids)
    return (type(value), value)


@pytest.mark.parametrize("seed", range(200))
def test_copies_are_those_of_deepcopy(seed: int) -> None:
    """Equal, and with the same objects at the same places."""
    value = random_value(random.Random(seed), 4, [])
    assert shape(native.deepcopy(value), {}) == shape(copy.deepcopy(value), {})


def test_callers_share_nothing_with_the_table() -> None:
    """Not by what they give, not by what they get, not by the log."""
    rows = table(Column("v", list))
    given = {"id": 1, "v": [1]}
    returned = rows.insert(given)
    given["v"].append(2)  # type: ignore[attr-defined]
    returned["v"].append(3)
    rows.get((1,))["v"].append(4)  # type: ignore[index]
    rows.query()[0]["v"].append(5)
    rows.update({"id": 1, "v": [9]})["v"].append(6)
    rows.get_changes_since(0)[-1]["new_record"]["v"].append(7)
    assert rows.get((1,)) == {"id": 1, "v": [9]}
    assert rows.change_log[0]["new_record"] == {"id": 1, "v": [1]}


def test_defaults_fill_absent_columns_in_order() -> None:
    """Values are copied, callables called, `None` is no default."""
    rows = table(
        Column("a", list, default=[]),
        Column("b", int),
        Column("c", float, default=time.time),
        Column("d", int, default=4),
    )
    first = rows.insert({"d": 1, "id": 1})
    second = rows.insert({"id": 2, "a": [1]})
    assert list(first) == ["d", "id", "a", "c"]
    assert list(second) == ["id", "a", "c", "d"]
    first["a"].append(1)
    assert rows.insert({"id": 3})["a"] == []
    assert rows.get((1,)) == {**first, "a": []}
    assert rows.change_log[0]["new_record"] == rows.get((1,))


def test_a_default_that_inserts_the_same_key_is_refused() -> None:
    """Callbacks may come back into the table."""
    rows = table()
    rows.schema.columns.append(Column("v", int, default=lambda: rows.records.setdefault((1,), {"id": 1}) and 1))
    rows.schema._column_dict["v"] = rows.schema.columns[-1]
    with pytest.raises(ValueError, match="already exists"):
        rows.insert({"id": 1})
    assert rows.change_log == []


def test_updates_replace_whole_rows() -> None:
    """Columns that are not given are gone; defaults are not applied."""
    rows = table(Column("a", int, default=1), Column("b", int))
    rows.insert({"id": 1, "b": 2})
    rows.insert({"id": 2})
    assert rows.update({"id": 1, "b": 3}) == {"id": 1, "b": 3} == rows.get([1])
    assert list(rows.records) == [(1,), (2,)]
    rows.delete((1,))
    rows.insert({"id": 1})
    assert list(rows.records) == [(2,), (1,)]


def test_refusals() -> None:
    """`ValueError` for what is refused, `TypeError` for keys that are none."""
    rows = table(Column("n", int), Column("must", str, nullable=False))
    rows.insert({"id": 1})
    bare: Any = 5
    refused: list[tuple[dict[str, Any], str]] = [
        ({"id": 1}, "already exists"),
        ({"n": 1}, "Missing primary key id"),
        ({"id": 2, "zz": 1}, "Unknown column zz"),
        ({"id": 2, "n": "x"}, "Invalid value for n, expected int"),
        ({"id": 2, "must": None}, "Invalid value for must, expected str"),
    ]
    for record, text in refused:
        with pytest.raises(ValueError, match=text):
            rows.insert(record)
    for call in (lambda: rows.update({"id": 9}), lambda: rows.delete((9,)), lambda: rows.delete([None])):
        with pytest.raises(ValueError, match="does not exist"):
            call()
    bad_calls: list[Callable[[], Any]] = [
        lambda: rows.get(bare),
        lambda: rows.get(([],)),
        lambda: rows.insert({"id": []}),
        lambda: rows.delete(bare),
    ]
    for bad in bad_calls:
        with pytest.raises(TypeError):
            bad()
    assert rows.get(()) is None
    assert len(rows.records) == len(rows.change_log) == 1


def test_keys_are_python_tuples() -> None:
    """`1`, `1.0` and `True` are one key, `None` is one too, texts are taken apart."""
    rows = table()
    rows.insert({"id": 1})
    rows.insert({"id": None})
    rows.insert({"id": "a"})
    assert rows.get([True]) == rows.get((1.0,)) == {"id": 1}
    assert rows.get(iter([None])) == {"id": None}
    assert rows.get("a") == {"id": "a"}
    assert rows.get(("1",)) is None
    double = Table(TableSchema("d", [Column("b", int, primary_key=True), Column("a", int, primary_key=True)]))
    double.insert({"a": 1, "b": 2})
    assert list(double.records) == [(2, 1)]


def test_queries() -> None:
    """Equality of Python, in the order of insertion, at most so many."""
    rows = table(Column("v", object))
    for number in range(6):
        rows.insert({"id": number, "v": number % 2})
    rows.insert({"id": 6})
    assert [row["id"] for row in rows.query({"v": True})] == [1, 3, 5]
    assert [row["id"] for row in rows.query({"v": 0}, 2)] == [0, 2]
    assert [row["id"] for row in rows.query({"v": 0, "id": 4})] == [4]
    assert rows.query({"v": None}) == rows.query({"nothing": None}) == rows.query(limit=0) == rows.query(None, -1) == []
    assert len(rows.query()) == len(rows.query({})) == 7
    rows.insert({"id": 7, "v": float("nan")})
    assert rows.query({"v": rows.records[(7,)]["v"]}) == []


def test_a_comparison_may_change_the_table() -> None:
    """`==` of a program's values may do anything."""
    rows = table(Column("v", object))
    for number in range(5):
        rows.insert({"id": number, "v": 1})

    class Sly:
        def __eq__(self, other: object) -> bool:
            rows.records.clear()
            return True

        __hash__ = None  # type: ignore[assignment]

    assert len(rows.query({"v": Sly()})) == 5
    assert rows.records == {}


def test_the_log() -> None:
    """Ids from 1, the rows before and after, who did it."""
    rows = table(Column("v", int))
    before = time.time()
    rows.insert({"id": 1, "v": 1})
    rows.update({"id": 1, "v": 2}, "c")
    assert before <= rows.last_modified[(1,)] <= time.time()
    rows.delete((1,), "")
    assert rows.last_modified == {}
    entries = [{name: value for name, value in entry.items() if name != "timestamp"} for entry in rows.change_log]
    common = {"primary_key": (1,)}
    one, two = {"id": 1, "v": 1}, {"id": 1, "v": 2}
    assert entries == [
        {**common, "id": 1, "operation": "insert", "old_record": None, "new_record": one, "client_id": "server"},
        {**common, "id": 2, "operation": "update", "old_record": one, "new_record": two, "client_id": "c"},
        {**common, "id": 3, "operation": "delete", "old_record": two, "new_record": None, "client_id": "server"},
    ]
    assert rows.index_counter == 3
    assert all(type(entry["timestamp"]) is float for entry in rows.change_log)
    assert rows.get_changes_since(-1) == rows.get_changes_since(0) == rows.change_log
    assert [entry["id"] for entry in rows.get_changes_since(1)] == [2, 3]
    assert rows.get_changes_since(3) == []


def test_the_log_is_bounded() -> None:
    """Not below the history of a tracker, and ids go on."""
    rows = table()
    rows.insert({"id": 1})
    for _ in range(25_000):
        rows.update({"id": 1})
    assert 10_000 <= len(rows.change_log) < 20_001
    assert rows.change_log[-1]["id"] == rows.index_counter == 25_001


def test_the_clock_is_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs freeze it."""
    monkeypatch.setattr(time, "time", lambda: 12.5)
    rows = table()
    rows.insert({"id": 1})
    assert rows.last_modified == {(1,): 12.5}


def test_methods_may_be_replaced() -> None:
    """In subclasses, classes and instances; what is ours calls them."""
    calls: list[str] = []

    class Mine(Table):
        def _validate_record(self, record: dict[str, Any]) -> None:
            calls.append("validate")

        def _record_change(self, *arguments: Any, **named: Any) -> None:
            calls.append(f"record {arguments[0]}")
            super()._record_change(*arguments, **named)

        def _matches_conditions(self, record: dict[str, Any], conditions: dict[str, Any]) -> bool:
            return True

        def _get_primary_key_tuple(self, record: dict[str, Any]) -> tuple[Any, ...]:
            return (record["other"],)

    rows = Mine(TableSchema("t", [Column("id", int, primary_key=True)]))
    rows.insert({"other": 5})
    rows.update({"other": 5, "x": 1})
    assert rows.query({"zz": 1}) == [{"other": 5, "x": 1}]
    rows.delete((5,))
    assert calls == ["validate", "record insert", "validate", "record update", "record delete"]

    one = database()
    one.tables["t"].get = lambda key: {"patched": key}  # type: ignore[assignment,method-assign]
    assert one.get("t", (1,)) == {"patched": (1,)}
    one._get_table = lambda name: one.tables["t"]  # type: ignore[method-assign]
    assert one.get("whatever", (2,)) == {"patched": (2,)}
    column = one.tables["t"].schema.columns[1]
    column.validate_value = lambda value: value == 1  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="Invalid value for v"):
        one.insert("t", {"id": 1, "v": 2})
    assert one.insert("t", {"id": 1, "v": 1}) == {"id": 1, "v": 1}


def test_schemas_may_be_changed() -> None:
    """Columns that are assigned, appended, replaced or taken away count at once."""
    rows = table(Column("v", int))
    rows.insert({"id": 1, "v": 1})
    schema = rows.schema
    schema.columns[1].data_type = str
    rows.insert({"id": 2, "v": "x"})
    schema.columns[1].nullable = False
    with pytest.raises(ValueError, match="Invalid value"):
        rows.insert({"id": 3, "v": None})
    schema.columns.append(Column("w", int, default=7))
    assert rows.insert({"id": 3}) == {"id": 3, "w": 7}
    with pytest.raises(ValueError, match="Unknown column w"):
        rows.insert({"id": 4, "w": 1})
    schema._column_dict["w"] = schema.columns[-1]
    rows.insert({"id": 4, "w": 1})
    schema._column_dict["w"] = Column("w", dict)
    with pytest.raises(ValueError, match="expected dict"):
        rows.insert({"id": 5, "w": 1})
    schema.columns[1].primary_key = True
    assert schema.primary_keys == ["id", "v"]
    rows.insert({"id": 5, "v": "k"})
    assert (5, "k") in rows.records
    other = copy.copy(schema)
    other.columns = [Column("x", int, primary_key=True)]
    assert (other.primary_keys, schema.primary_keys) == (["x"], ["id", "v"])


def test_columns_accept_what_their_type_accepts() -> None:
    """Nothing is converted."""
    column = Column("a", int)
    values: list[Any] = ["5", 5.7, True, None, "5.5", [], float("inf")]
    assert [column.validate_value(value) for value in values] == [
        True,
        True,
        True,
        True,
        False,
        False,
        False,
    ]
    assert Column("a", dict).validate_value([])
    assert Column("a", str, nullable=False).validate_value(5)
    assert not Column("a", str, nullable=False).validate_value(None)
    assert not Column("a", Any).validate_value(5)
    assert Column("a", (int, str)).validate_value("x")
    with pytest.raises(ValueError, match="primary key"):
        TableSchema("t", [Column("a", int)])


def test_databases() -> None:
    """Tables by name; unknown ones are refused."""
    one = database()
    assert list(one.tables) == ["t"]
    for call in (
        lambda: one.insert("x", {}),
        lambda: one.update("x", {}),
        lambda: one.delete("x", (1,)),
        lambda: one.get("x", (1,)),
        lambda: one.query("x"),
        lambda: one.get_changes_since("x", 0),
        lambda: one._get_table("x"),
    ):
        with pytest.raises(ValueError, match="x does not exist"):
            call()
    one.insert("t", {"id": 1, "v": 1}, client_id="c", transaction=None)
    one.update("t", {"id": 1, "v": 2}, None, object())
    assert one.query("t", {"v": 2}, 1) == [{"id": 1, "v": 2}]
    assert [entry["client_id"] for entry in one.get_changes_since("t", 0)] == ["c", "server"]
    made = one._create_table(TableSchema("n", [Column("id", int, primary_key=True)]))
    assert one.tables["n"] is made
    assert one.generate_client_id() != one.generate_client_id()


def test_threads_insert_side_by_side() -> None:
    """Every call is whole."""
    one = database()

    def work(first: int) -> None:
        for number in range(first, first + 500):
            one.insert("t", {"id": number, "v": [number]})
            one.query("t", {"id": number}, 1)

    threads = [threading.Thread(target=work, args=(first * 500,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(one.query("t")) == one.tables["t"].index_counter == 2000
    assert [entry["id"] for entry in one.tables["t"].change_log] == list(range(1, 2001))
