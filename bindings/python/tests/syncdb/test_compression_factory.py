"""Compressors of programs, replaced methods, levels, copies, and sizes."""

from __future__ import annotations

import copy
import json
import pickle
import random
import struct
from typing import Any

import pytest
from syncdb.compression.type_compressor import (
    BinaryCompressor,
    CompressionLevel,
    CompressorFactory,
    DictCompressor,
    IntCompressor,
    ListCompressor,
    NoneCompressor,
    PayloadCompressor,
    TextCompressor,
    TypeCompressor,
)

from syncdb.compression import type_compressor

USER = {
    "id": 12345,
    "username": "johndoe",
    "email": "john.doe@example.com",
    "first_name": "John",
    "last_name": "Doe",
    "age": 30,
    "is_active": True,
    "created_at": 1609459200.0,
    "bio": "Software engineer with interests in databases.",
    "last_login": 1640995200.0,
    "preferences": {"theme": "dark", "notifications": True, "language": "en"},
    "tags": ["developer", "python", "databases"],
}


class Point:
    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    __hash__ = None  # type: ignore[assignment]


class PointCompressor(TypeCompressor):
    def compress(self, value: Any) -> bytes:
        return struct.pack(">ii", value.x, value.y)

    def decompress(self, data: bytes) -> Point:
        return Point(*struct.unpack(">ii", data))


def with_points() -> CompressorFactory:
    factory = CompressorFactory()
    factory.type_to_signature[Point] = 42
    factory.signature_to_compressor[42] = PointCompressor()
    return factory


def test_compressors_of_programs_are_asked_at_each_call() -> None:
    factory = CompressorFactory()
    codec = DictCompressor(factory)
    record = {"p": Point(1, 2), "more": [Point(3, 4), {"q": Point(5, 6)}]}
    assert codec.decompress(codec.compress({"p": Point(1, 2)})) == {"p": None}
    factory.type_to_signature[Point] = 42
    factory.signature_to_compressor[42] = PointCompressor()
    assert codec.compress({"p": Point(1, 2)})[:5] == b"\1\1p\x2a\x08"
    assert codec.decompress(codec.compress(record)) == record
    payload = PayloadCompressor()
    payload.compressor_factory = factory
    assert payload.decompress_record("t", payload.compress_record("t", record)) == record
    factory.set_compression_level(CompressionLevel.HIGH)
    assert payload.decompress_record("t", payload.compress_record("t", record)) == record


def test_a_subclass_in_the_table_is_used() -> None:
    class Doubling(IntCompressor):
        def compress(self, value: int) -> bytes:
            return super().compress(2 * value)

    factory = CompressorFactory()
    factory.signature_to_compressor[2] = Doubling()
    assert ListCompressor(factory).compress([5, [5]]) == b"\1\2\1\x0a\6\4\1\2\1\x0a"


def test_methods_replaced_on_an_instance_or_a_class_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = CompressorFactory()
    codec = ListCompressor(factory)
    factory.signature_to_compressor[2].compress = lambda _: b"!"
    assert codec.compress([5]) == b"\1\2\1!"
    del factory.signature_to_compressor[2].compress
    assert codec.compress([5]) == b"\1\2\1\5"
    with monkeypatch.context() as patch:
        patch.setattr(IntCompressor, "decompress", lambda _self, _data: "patched")
        assert codec.decompress(b"\1\2\1\5") == ["patched"]
    asked: list[Any] = []
    original = factory.get_compressor_for_type

    def noted(value_type: Any) -> Any:
        asked.append(value_type)
        return original(value_type)

    factory.get_compressor_for_type = noted  # type: ignore[method-assign]
    assert codec.decompress(codec.compress([5, "a"])) == [5, "a"]
    assert asked == [int, str]


def test_a_factory_of_a_program_is_asked() -> None:
    class Factory(CompressorFactory):
        def get_compressor_for_signature(self, type_signature: int) -> Any:
            return super().get_compressor_for_signature(2 if type_signature == 99 else type_signature)

    assert ListCompressor(Factory()).decompress(b"\1\x63\1\5\2\1\6") == [5, 6]
    assert ListCompressor(Factory()).compress([(1, 2), 3]) == ListCompressor(CompressorFactory()).compress([[1, 2], 3])


def test_a_compressor_that_changes_the_tables_while_they_are_used() -> None:
    factory = CompressorFactory()
    values: list[Any] = [1, Point(0, 0), 1]

    class Switching(TypeCompressor):
        def compress(self, _value: Any) -> bytes:
            factory.type_to_signature[int] = 3
            values.append("later")
            return b"p"

    factory.type_to_signature[Point] = 42
    factory.signature_to_compressor[42] = Switching()
    assert ListCompressor(factory).compress(values)[:8] == b"\1\2\1\1\x2a\1p\3"


def test_another_compressor_of_keys_is_used_in_its_own_dict() -> None:
    class Upper(TextCompressor):
        def compress(self, value: str) -> bytes:
            return value.upper().encode()

    codec = DictCompressor(CompressorFactory())
    codec.text_compressor = Upper()
    assert codec.compress({"a": {"b": 1}}) == b"\1\1A\7\6\1\1b\2\1\1"


def test_the_tables_of_a_factory() -> None:
    factory = CompressorFactory(CompressionLevel.LOW)
    names = [kind.__name__ for kind in factory.type_to_signature]
    assert names == ["NoneType", "bool", "int", "float", "str", "bytes", "list", "dict", "datetime", "date"]
    assert list(factory.type_to_signature.values()) == list(range(10))
    assert factory.get_type_signature(True) == 1
    assert factory.get_type_signature((1,)) == 0
    assert isinstance(factory.get_compressor_for_type(int), IntCompressor)
    assert isinstance(factory.get_compressor_for_type(tuple), NoneCompressor)
    assert isinstance(factory.get_compressor_for_signature(200), NoneCompressor)
    assert factory.get_compressor_for_type(str).level is CompressionLevel.LOW
    before = factory.get_compressor_for_type(bytes)
    factory.set_compression_level(CompressionLevel.HIGH)
    assert factory.compression_level is CompressionLevel.HIGH
    assert factory.get_compressor_for_type(bytes) is not before
    assert factory.get_compressor_for_type(bytes).level is CompressionLevel.HIGH
    assert isinstance(factory.get_compressor_for_type(bytes), BinaryCompressor)


def test_the_abstract_compressor_raises() -> None:
    with pytest.raises(NotImplementedError):
        TypeCompressor().compress(1)
    with pytest.raises(NotImplementedError):
        TypeCompressor().decompress(b"")


def test_subclasses_may_have_other_constructors() -> None:
    class Mine(TextCompressor):
        def __init__(self, extra: str, *, more: int = 0) -> None:
            super().__init__(CompressionLevel.LOW)
            self.extra = extra * more

    assert Mine("x", more=2).compress("hi") == b"hi"
    assert isinstance(Mine("x"), TypeCompressor)


@pytest.mark.parametrize("make", [PayloadCompressor, CompressorFactory, lambda: TextCompressor(CompressionLevel.HIGH)])
def test_copies(make: Any) -> None:
    thing = make()
    thing.mine = [1]
    for twin in (copy.deepcopy(thing), pickle.loads(pickle.dumps(thing)), copy.copy(thing)):
        assert type(twin) is type(thing)
        assert twin.mine == [1]
        assert twin != thing
    twin = copy.deepcopy(PayloadCompressor())
    inner = twin.compressor_factory.signature_to_compressor[7]
    assert inner.compressor_factory is twin.compressor_factory
    assert twin.decompress_record("t", twin.compress_record("t", USER)) == USER


def test_levels_do_not_matter_to_readers() -> None:
    payload = PayloadCompressor(CompressionLevel.HIGH, {"t": 1})
    assert payload.schema == {"t": 1}
    assert PayloadCompressor().schema == {}
    blob = payload.compress_record("t", USER)
    payload.set_compression_level(CompressionLevel.NONE)
    payload.set_schema({"u": 2})
    assert payload.schema == {"u": 2}
    assert payload.decompress_record("u", blob) == USER
    changes = [USER, {"b": [1]}]
    assert PayloadCompressor().decompress_changes("t", payload.compress_changes("t", changes)) == changes


def test_sizes() -> None:
    text = json.dumps(USER)
    blob = PayloadCompressor().compress_record("users", USER)
    assert blob[0] == 1
    assert len(blob) < len(text)
    long = {**USER, "bio": "Long text that repeats itself, over and over again. " * 10}
    high = PayloadCompressor(CompressionLevel.HIGH)
    assert len(high.compress_record("users", long)) < 0.7 * len(json.dumps(long))
    phrase = {"text": "a phrase of some words. " * 500}
    for level in list(CompressionLevel)[1:]:
        assert len(PayloadCompressor(level).compress_record("t", phrase)) < 0.3 * len(json.dumps(phrase))
    numbers = {"numbers": list(range(1, 1001))}
    assert len(high.compress_record("t", numbers)) < 0.85 * len(json.dumps(numbers))
    chance = random.Random(1)
    points = {"points": [{"x": chance.random(), "y": chance.random()} for _ in range(100)]}
    assert len(high.compress_record("t", points)) < 0.85 * len(json.dumps(points))
    none = PayloadCompressor(CompressionLevel.NONE)
    thousand = {"text": "abcde fghi" * 100}
    assert len(none.compress_record("t", thousand)) > len(high.compress_record("t", thousand))


def test_the_module_lists_its_names() -> None:
    for name in type_compressor.__all__:
        assert getattr(type_compressor, name).__module__ == "syncdb.compression.type_compressor"
