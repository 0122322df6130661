"""Extension points that Python code implements, used by the engine."""

from __future__ import annotations

import datetime
import decimal
import gc
import itertools
import json
import threading
import uuid
import weakref
import zlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from common import Operation, Schema, SchemaField, extensions


class Reverse:
    """No compression at all, but for zeros."""

    name, tag = "reverse", 200

    def compress(self, raw: bytes) -> bytes:
        return b"" if not raw.strip(b"\0") else raw[::-1]

    def decompress(self, packed: bytes, limit: int) -> bytes:
        return packed[::-1] if packed else bytes(limit)


class Text:
    name, tag = "text", 201

    def encode(self, value: Any) -> bytes:
        return json.dumps(value, sort_keys=True, default=str).encode()

    def decode(self, data: bytes) -> Any:
        return json.loads(data)


class Dotted:
    """Counters by replica, as `a=1.b=2`."""

    name = "dotted"

    @staticmethod
    def read(version: bytes | None) -> dict[str, int]:
        parts = (part.split("=") for part in (version or b"").decode().split(".") if part)
        return {name: int(count) for name, count in parts}

    def next(self, previous: bytes | None, replica: str) -> bytes:
        counts = self.read(previous)
        counts[replica] = counts.get(replica, 0) + 1
        return ".".join(f"{name}={count}" for name, count in sorted(counts.items())).encode()

    def compare(self, a: bytes, b: bytes) -> int | None:
        one, other = self.read(a), self.read(b)
        less = any(other.get(name, 0) > one.get(name, 0) for name in other)
        more = any(one.get(name, 0) > other.get(name, 0) for name in one)
        return None if less and more else int(more) - int(less)


class Shelf:
    """Records in a dict that outlives tables; writes of a key that is `refused` fail."""

    def __init__(self) -> None:
        self.records: dict[tuple[Any, ...], bytes] = {}
        self.refused: set[tuple[Any, ...]] = set()

    def get(self, key: tuple[Any, ...]) -> bytes | None:
        return self.records.get(key)

    def put(self, key: tuple[Any, ...], record: bytes) -> None:
        if key in self.refused:
            raise OSError(f"no room for {key}")
        self.records[key] = record

    def remove(self, key: tuple[Any, ...]) -> None:
        del self.records[key]

    def keys(self) -> Iterable[tuple[Any, ...]]:
        return list(self.records)


def even(value: Any) -> str | None:
    if not isinstance(value, int):
        raise TypeError("not a number at all")
    return None if value % 2 == 0 else f"must be even, {value} is not"


@pytest.fixture(scope="module", autouse=True)
def _registered() -> None:
    for register, what in (
        (extensions.register_codec, Reverse()),
        (extensions.register_format, Text()),
        (extensions.register_versioning, Dotted()),
    ):
        register(what)
    extensions.register_rule("even", even)
    extensions.register_storage("shelf", Shelf)
    extensions.register_operation("test.double", lambda row: {**row, "n": row["n"] * 2}, version=3)


def pairs() -> Schema:
    fields = [SchemaField("id", "integer", required=True), SchemaField("n", "integer", constraints={"even": True})]
    return Schema("pairs", fields)


def test_a_codec_packs_into_the_engines_frames() -> None:
    frame = extensions.pack(bytes(5000), "reverse")
    assert len(frame) < 20 and frame[0] == 200
    assert extensions.unpack(frame) == bytes(5000)
    for built_in in ("none", "lz4", "zstd"):
        assert extensions.unpack(extensions.pack(b"abc" * 99, built_in)) == b"abc" * 99
    with pytest.raises(ValueError, match=r"checksum|bytes"):
        extensions.unpack(frame[:-4] + b"\1\2\3\4")
    with pytest.raises(KeyError, match="no codec is registered as `nobody`"):
        extensions.pack(b"x", "nobody")


def test_names_and_tags_are_given_once() -> None:
    with pytest.raises(ValueError, match="200"):
        extensions.register_codec(Reverse())
    with pytest.raises(ValueError, match="text"):
        extensions.register_format(Text())
    with pytest.raises(ValueError, match="dotted"):
        extensions.register_versioning(Dotted())
    low = Reverse()
    low.name, low.tag = "low", 3
    with pytest.raises(ValueError, match="below 128"):
        extensions.register_codec(low)
    with pytest.raises(AttributeError):
        extensions.register_codec(object())
    assert "reverse" in extensions.registered()["codec"]


def test_what_a_codec_raises_is_what_its_caller_gets() -> None:
    class Broken:
        name, tag = "broken", 210
        raised = ZeroDivisionError("by hand")
        answer: Any = None

        def compress(self, _raw: bytes) -> Any:
            if self.answer is None:
                raise self.raised
            return self.answer

        def decompress(self, _packed: bytes, limit: int) -> bytes:
            return bytes(limit + 1)

    broken = Broken()
    extensions.register_codec(broken)
    with pytest.raises(ZeroDivisionError) as caught:
        extensions.pack(b"x" * 100, "broken")
    assert caught.value is broken.raised
    broken.answer = 5
    with pytest.raises(TypeError, match="must return bytes, not int"):
        extensions.pack(b"x" * 100, "broken")
    broken.answer = b"y"
    with pytest.raises(ValueError, match="declares 100 bytes and holds more"):
        extensions.unpack(extensions.pack(b"x" * 100, "broken"))


def test_a_format_holds_values_and_rows() -> None:
    value = {"a": [1, 2.5, None, True, "é"], "b": {"c": []}}
    assert extensions.decode(extensions.encode(value, "text"), "text") == value
    table = extensions.Table(pairs(), "id")
    table.insert_all([{"id": 1, "n": 2}, {"id": 2, "n": None}])
    data = table.export("text")
    assert json.loads(data) == [{"id": 1, "n": 2}, {"id": 2, "n": None}]
    other = extensions.Table(pairs(), "id")
    assert other.load(data, "text") == 2
    assert other.rows() == table.rows()


def test_values_keep_their_types_in_the_engines_own_formats() -> None:
    at = datetime.datetime(2026, 11, 29, 12, 30, 1, 5, tzinfo=datetime.timezone.utc)
    value = {"at": at, "day": datetime.date(1605, 2, 1), "id": uuid.UUID(int=7), "data": b"\0\xff", "n": -(2**63)}
    assert extensions.decode(extensions.encode(value, "msgpack"), "msgpack") == value
    naive = extensions.decode(extensions.encode(at.replace(tzinfo=None), "msgpack"), "msgpack")
    assert naive == at
    loop: list[Any] = []
    loop.append(loop)
    for wrong, error in ((2**63, OverflowError), ({5: 1}, TypeError), (object(), TypeError), (loop, ValueError)):
        with pytest.raises(error):
            extensions.encode(wrong, "msgpack")
    with pytest.raises(ValueError, match="surrogate"):
        extensions.encode("\ud800", "msgpack")


def test_a_versioning_orders_its_versions() -> None:
    first = extensions.next_version("dotted", None, "a")
    left, right = extensions.next_version("dotted", first, "a"), extensions.next_version("dotted", first, "b")
    compare = extensions.compare_versions
    assert (left, right) == (b"a=2", b"a=1.b=1")
    assert [compare("dotted", first, other) for other in (first, left, right)] == [0, -1, -1]
    assert (compare("dotted", left, first), compare("dotted", left, right)) == (1, None)
    with pytest.raises(ValueError, match="invalid literal"):
        compare("dotted", b"a=x", left)


def test_a_rule_is_asked_by_schemas_and_by_tables() -> None:
    field = SchemaField("n", "integer", constraints={"even": True, "maximum": 10, "own key": 5})
    assert field.validate(4) == (True, None)
    assert field.validate(12) == (False, "Field 'n' must be less than or equal to 10")
    assert field.validate(3) == (False, "Field 'n' must be even, 3 is not")
    assert SchemaField("n", "integer", constraints={"even": False}).validate(3) == (True, None)
    assert SchemaField("n", "any", constraints={"even": True}).validate(None) == (True, None)
    with pytest.raises(TypeError, match="not a number at all"):
        SchemaField("n", "any", constraints={"even": True}).validate("x")
    assert extensions.check("even", 2) is None
    table = extensions.Table(pairs(), "id")
    with pytest.raises(ValueError, match="must be even, 3 is not"):
        table.insert({"id": 1, "n": 3})
    assert len(table) == 0
    anything = extensions.Table(
        Schema("any", [SchemaField("id", "integer"), SchemaField("n", "any", constraints={"even": True})]), "id"
    )
    with pytest.raises(TypeError, match="not a number at all"):
        anything.insert({"id": 1, "n": "x"})
    anything.insert({"id": 1, "n": 2})


def test_an_operation_changes_rows_and_refuses_some() -> None:
    rows: list[dict[str, Any]] = [{"n": 1}, {"m": 1}, {"n": 3}]
    done, refused = extensions.transform(rows, ["test.double", "test.double"])
    assert done == [{"n": 4}, {"n": 12}]
    assert [(at, step, type(error)) for at, step, error in refused] == [(1, "1 test.double", KeyError)]
    drop: Operation[dict[str, Any], dict[str, Any]] = Operation("drop", lambda _row: {})
    extensions.register_operation("test.operation", drop)
    assert extensions.transform([{"n": 1}], ["test.operation"]) == ([{}], [])
    with pytest.raises(NotImplementedError, match="version 3, not 2"):
        extensions.transform(rows, [{"name": "test.double", "version": 2}])

    def interrupted(_row: Any) -> Any:
        raise KeyboardInterrupt

    extensions.register_operation("test.interrupted", interrupted)
    with pytest.raises(KeyboardInterrupt):
        extensions.transform(rows, ["test.interrupted"])


@pytest.mark.parametrize("storage", ["hash", "ordered", "shelf"])
def test_a_table_keeps_rows_in_any_storage(storage: str) -> None:
    table = extensions.Table(pairs(), "id", storage)
    assert table.insert_all({"id": at, "n": 2 * at} for at in range(600)) == 600
    table.upsert({"id": 5, "n": 0})
    table.delete(7)
    assert (table.get(5), table.get(7), len(table)) == ({"id": 5, "n": 0}, None, 599)
    assert sorted(row["id"] for row in table.rows()) == [at for at in range(600) if at != 7]
    with pytest.raises(ValueError):
        table.insert({"id": 5, "n": 0})
    with pytest.raises(KeyError):
        table.delete(7)
    table.insert({"id": 7, "n": 2})
    assert table.get(7) == {"id": 7, "n": 2}


def test_a_storage_that_fails_leaves_all_as_it_was() -> None:
    shelf = Shelf()
    table = extensions.Table(pairs(), "id", shelf)
    table.insert_all([{"id": 1, "n": 2}, {"id": 2, "n": 2}])
    before = dict(shelf.records)
    shelf.refused.add((9,))
    with pytest.raises(OSError, match="no room"):
        table.insert_all([{"id": 3, "n": 2}, {"id": 9, "n": 2}])
    assert shelf.records == before
    assert [row["id"] for row in table.rows()] == [1, 2]
    table.insert({"id": 4, "n": 4})
    # What it holds is there again in another table, which goes on after it.
    again = extensions.Table(pairs(), "id", shelf)
    assert [row["id"] for row in again.rows()] == [1, 2, 4]
    again.upsert({"id": 4, "n": 6})
    assert again.get(4) == {"id": 4, "n": 6}


def test_what_a_table_calls_may_not_call_tables() -> None:
    shelf = Shelf()
    table = extensions.Table(pairs(), "id", shelf)
    shelf.put = lambda key, _record: table.get(key)  # type: ignore[method-assign,assignment]
    with pytest.raises(RuntimeError, match="may not call tables"):
        table.insert({"id": 1, "n": 2})


def test_threads_share_a_table_of_python_storage() -> None:
    table = extensions.Table(pairs(), "id", "shelf")

    def write(first: int) -> None:
        for at in range(first, 200, 4):
            table.insert({"id": at, "n": 2})
            assert table.get(at) is not None

    threads = [threading.Thread(target=write, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(table) == 200


class Knowing(Shelf):
    """Knows a table that knows it."""

    table: Any = None


def test_a_table_and_its_storage_that_know_each_other_are_garbage() -> None:
    """The collector sees through the engine."""
    schema = Schema("t", [SchemaField("id", "integer", required=True)])
    storage = Knowing()
    storage.table = extensions.Table(schema, "id", storage)
    storage.table.insert({"id": 1})
    gc.collect()
    assert storage.table.get(1) == {"id": 1}
    end = weakref.ref(storage)
    del storage
    gc.collect()
    assert end() is None


class Zlib:
    name, tag = "contract zlib", 212

    def compress(self, raw: bytes) -> bytes:
        return zlib.compress(raw)

    def decompress(self, packed: bytes, limit: int) -> bytes:
        stream = zlib.decompressobj()
        try:
            raw = stream.decompress(packed, limit) if limit else b""
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if limit and stream.eof:
            return raw
        if not limit and stream.decompress(packed, 1) == b"" and stream.eof:
            return b""
        raise ValueError("longer than the limit, or cut off")


class Lossy(Zlib):
    name, tag = "contract lossy", 213

    def decompress(self, packed: bytes, limit: int) -> bytes:
        return super().decompress(packed, limit)[:100]


class DottedContract(Dotted):
    name = "contract dotted"


class Backwards(Dotted):
    name = "contract backwards"

    def compare(self, a: bytes, b: bytes) -> int | None:
        found = super().compare(a, b)
        return None if found is None else abs(found)


class Forgetful(Shelf):
    def put(self, key: tuple[Any, ...], record: bytes) -> None:
        self.records = {key: record}


class Tagged:
    """Everything that Python code may be handed, as JSON that says the type of what JSON has not."""

    name, tag = "contract tagged", 210
    types: tuple[tuple[str, type, Callable[[Any], str], Callable[[str], Any]], ...] = (
        ("float", float, float.hex, float.fromhex),
        ("bytes", bytes, bytes.hex, bytes.fromhex),
        ("datetime", datetime.datetime, str, datetime.datetime.fromisoformat),
        ("date", datetime.date, str, datetime.date.fromisoformat),
        ("uuid", uuid.UUID, str, uuid.UUID),
        ("decimal", decimal.Decimal, str, decimal.Decimal),
    )

    def encode(self, value: Any) -> bytes:
        return json.dumps(self.packed(value)).encode()

    def decode(self, data: bytes) -> Any:
        return self.unpacked(json.loads(data))

    def packed(self, value: Any) -> Any:
        for name, type_, write, _ in self.types:
            if type(value) is type_:
                return [name, write(value)]
        if isinstance(value, list):
            return ["list", [self.packed(one) for one in value]]
        if isinstance(value, dict):
            return {name: self.packed(one) for name, one in value.items()}
        return value

    def unpacked(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.unpacked(one) for name, one in value.items()}
        if not isinstance(value, list):
            return value
        kind, inside = value
        if kind == "list":
            return [self.unpacked(one) for one in inside]
        return next(read for name, _, _, read in self.types if name == kind)(inside)


class PositiveZero(Tagged):
    name, tag = "contract zero", 211

    def decode(self, data: bytes) -> Any:
        value = super().decode(data)
        return value + 0.0 if isinstance(value, float) else value


class NumbersOnly(Tagged):
    """Holds one kind of value, and says so."""

    name, tag = "contract numbers", 214

    def encode(self, value: Any) -> bytes:
        if type(value) is not int:
            raise NotImplementedError(f"{type(value)} is not held")
        return super().encode(value)


def test_formats_are_held_to_the_laws_of_the_engine() -> None:
    """About all values that Python's objects stand for; others, such as sparse vectors, are left out."""
    for format_ in (Tagged, PositiveZero, NumbersOnly):
        extensions.register_format(format_())
    extensions.check_contract("format", "contract tagged")
    extensions.check_contract("format", "contract numbers")
    with pytest.raises(AssertionError, match=r"gives .* back"):
        extensions.check_contract("format", "contract zero")
    # It gives texts back for bytes.
    with pytest.raises(AssertionError, match=r"text (gives|does not decode|fails)"):
        extensions.check_contract("format", "text")
    with pytest.raises(NotImplementedError, match="is not held"):
        extensions.encode("a", "contract numbers")


def test_rules_are_held_to_the_laws_of_the_engine() -> None:
    asked = itertools.count()
    rules: dict[str, tuple[Callable[[Any], Any], str]] = {
        "contract even": (even, ""),
        "contract mute": (lambda value: None if value % 2 == 0 else " ", "without a word"),
        "contract moody": (lambda value: None if value % 2 == 0 else f"asked {next(asked)} times", "twice the same"),
        "contract all": (lambda _value: None, "accepts all"),
        "contract none": (lambda _value: "is wrong", "refuses all"),
        # The root of what is below 0 is a complex number, which is not compared.
        "contract root": (lambda value: None if value**0.5 < 1.5 else "is large", "raised TypeError"),
    }
    for name, (rule, law) in rules.items():
        extensions.register_rule(name, rule)
        if not law:
            extensions.check_contract("rule", name, [2, 3])
            continue
        with pytest.raises(AssertionError, match=law):
            extensions.check_contract("rule", name, [2, 3])
    # A value of the samples' own that the rule raises for.
    with pytest.raises(AssertionError, match="raised TypeError: not a number"):
        extensions.check_contract("rule", "contract even", [2, "a"])
    with pytest.raises(ValueError, match="samples"):
        extensions.check_contract("rule", "contract even")
    with pytest.raises(KeyError, match="nobody"):
        extensions.check_contract("rule", "nobody", [1])


def test_extensions_are_held_to_the_laws_of_the_engine() -> None:
    """By the contract tests that authors in Rust call: the lawful pass, the broken are told what they break."""
    for codec in (Zlib, Lossy):
        extensions.register_codec(codec())
    for versioning in (DottedContract, Backwards):
        extensions.register_versioning(versioning())
    extensions.register_storage("contract dict", Shelf)
    extensions.register_storage("contract forgetful", Forgetful)
    extensions.register_operation("contract trim", lambda row: {**row, "name": row["name"].strip()})
    extensions.register_operation("contract random", lambda row: {**row, "name": str(uuid.uuid4())})
    samples: list[dict[str, Any]] = [{"name": " a "}, {"name": ""}, {"name": None}, {}]
    extensions.check_contract("codec", "contract zlib")
    extensions.check_contract("versioning", "contract dotted")
    extensions.check_contract("storage", "contract dict")
    extensions.check_contract("operation", "contract trim", samples)
    broken: list[tuple[str, str, list[dict[str, Any]], str]] = [
        ("codec", "contract lossy", [], "unpacking .* appends the raw bytes"),
        ("versioning", "contract backwards", [], "swapping .* reverses the answer"),
        ("storage", "contract forgetful", [], "slots without a record are left out"),
        ("operation", "contract random", samples, "twice gives the same"),
    ]
    for kind, name, more, law in broken:
        with pytest.raises(AssertionError, match=law):
            extensions.check_contract(kind, name, more)
    with pytest.raises(KeyError, match="nobody"):
        extensions.check_contract("codec", "nobody")
    with pytest.raises(ValueError, match="samples"):
        extensions.check_contract("operation", "contract trim")
    with pytest.raises(ValueError, match="there are laws for"):
        extensions.check_contract("trigger", "even")


def test_what_a_format_decodes_is_held_to_the_limits() -> None:
    """Which Python code does not know: as of the engine's own formats."""
    with pytest.raises(ValueError, match="bytes in one text"):
        extensions.decode(b'["' + b"x" * ((16 << 20) + 1) + b'"]', "text")
    half = b'"' + b"x" * (9 << 20) + b'"'
    assert [len(text) for text in extensions.decode(b"[" + half + b"," + half + b"]", "text")] == [9 << 20] * 2
