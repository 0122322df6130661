"""Compression of `common`, beside Python's own zlib."""

from __future__ import annotations

import base64
import binascii
import copy
import enum
import json
import pickle
import random
import zlib
from typing import Any

import pytest
from common.core import Serializable, SerializationRegistry, base64_to_bytes, bytes_to_base64, registry
from common.optimization.compression import (
    TYPE_COMPRESSORS,
    BinaryCompressor,
    BooleanCompressor,
    CompressionFormat,
    DictCompressor,
    ListCompressor,
    NoneCompressor,
    NumericCompressor,
    StringCompressor,
    TypeAwareCompressor,
    TypeCompressor,
    compress_bytes,
    compress_json,
    compress_string,
    decompress_bytes,
    decompress_json,
    decompress_string,
)

F = CompressionFormat


@pytest.mark.parametrize("size", [0, 1, 100, 1023, 1024, 5000, 100_000])
@pytest.mark.parametrize("level", [-1, 0, 1, 6, 9])
def test_streams_are_zlib(size: int, level: int) -> None:
    raw = bytes(random.Random(size).choices(b"abcdefgh ", k=size))
    packed = compress_bytes(raw, level)
    assert zlib.decompress(packed) == raw
    assert decompress_bytes(zlib.compress(raw, level)) == raw
    assert decompress_bytes(packed + b"more") == raw
    assert len(packed) <= len(zlib.compress(raw, level)) * 1.1 + 16
    assert compress_bytes(bytearray(raw), level) == compress_bytes(memoryview(raw), level) == packed


def test_what_is_no_stream() -> None:
    packed = compress_bytes(b"abc" * 1000)
    for wrong in (b"", b"abc", packed[:-1], packed[:5], b"\x78\x9c" + b"\xff" * 50):
        with pytest.raises(zlib.error):
            decompress_bytes(wrong)
    for level in (-2, 10):
        for size in (10, 10_000):
            with pytest.raises(zlib.error):
                compress_bytes(b"a" * size, level)
    for call in (compress_bytes, decompress_bytes, decompress_string):
        with pytest.raises(TypeError):
            call("text")
    assert decompress_bytes(zlib.compress(bytes(3_000_000))) == bytes(3_000_000)


def test_texts_and_json() -> None:
    assert decompress_string(compress_string("häß\x00")) == "häß\x00"
    assert zlib.decompress(compress_json({"a": [1, "ä"]})) == b'{"a":[1,"\\u00e4"]}'
    assert decompress_json(compress_json({"a": [1, None]})) == {"a": [1, None]}
    with pytest.raises(TypeError):
        compress_json({1})
    with pytest.raises(UnicodeDecodeError):
        decompress_string(zlib.compress(b"\xff"))


@pytest.mark.parametrize(
    ("compressor", "value", "format_type", "stored"),
    [
        (NoneCompressor(), None, F.NONE, b""),
        (BooleanCompressor(), True, F.BOOLEAN, b"1"),
        (BooleanCompressor(), False, F.BOOLEAN, b"0"),
        (NumericCompressor(), 1.5e300, F.NUMERIC, b"1.5e+300"),
        (NumericCompressor(), -12, F.NUMERIC, b"-12"),
        (NumericCompressor(), float("-inf"), F.NUMERIC, b"-inf"),
        (StringCompressor(), "ä" * 19, F.STRING, ("ä" * 19).encode()),
        (BinaryCompressor(), bytes(19), F.BINARY, bytes(19)),
        (BinaryCompressor(), bytes(range(30)), F.BINARY, bytes(range(30))),
        (ListCompressor(), [], F.LIST, b"[]"),
        (DictCompressor(), {}, F.DICT, b"{}"),
    ],
)
def test_stored_bytes(compressor: TypeCompressor, value: Any, format_type: F, stored: bytes) -> None:
    assert compressor.can_compress(value)
    assert compressor.compress(value) == (format_type, stored)
    assert compressor.decompress(format_type, stored) == value
    assert not compressor.can_compress(object())
    with pytest.raises(ValueError):
        compressor.compress(object())
    with pytest.raises(ValueError, match="Invalid format type"):
        compressor.decompress(F.LIST if format_type is not F.LIST else F.DICT, stored)


def test_integers_of_any_size() -> None:
    for value in (10**6000, -(10**5000) - 7, 2**63, -(2**63)):
        stored = NumericCompressor().compress(value)[1]
        assert NumericCompressor().decompress(F.NUMERIC, stored) == value


def test_larger_values_are_compressed() -> None:
    assert zlib.decompress(StringCompressor().compress("ab" * 10)[1]) == b"ab" * 10
    assert zlib.decompress(BinaryCompressor().compress(bytes(100))[1]) == bytes(100)
    assert zlib.decompress(ListCompressor().compress([1, "a"])[1]) == b'[1,"a"]'
    assert zlib.decompress(DictCompressor().compress({1: "a", None: 2})[1]) == b'{"1":"a","null":2}'
    aware = TypeAwareCompressor()
    pairs = json.loads(zlib.decompress(aware.compress([1, None])[1]))
    assert pairs == [["numeric", "MQ=="], ["none", ""]]
    keyed = json.loads(zlib.decompress(aware.compress({'ä"': b"x", 5: True, "}:0}": 1})[1]))
    assert keyed == {'ä"': ["binary", "eA=="], "5": ["boolean", "MQ=="], "}:0}": ["numeric", "MQ=="]}
    assert BooleanCompressor().decompress(F.BOOLEAN, b"yes") is False
    nan = NumericCompressor().decompress(F.NUMERIC, NumericCompressor().compress(float("nan"))[1])
    assert nan != nan
    assert isinstance(NumericCompressor().decompress(F.NUMERIC, b"1e3"), float)


def test_bytes_that_happen_to_be_a_stream() -> None:
    stream = zlib.compress(b"x")
    assert len(stream) < 20
    noise = zlib.compress(random.Random(1).randbytes(200))
    aware = TypeAwareCompressor()
    for value in (stream, noise, zlib.compress(b"")):
        assert aware.deserialize(aware.serialize(value)) == value
    short = "x\x01\x01\x00\x00"
    assert aware.deserialize(aware.serialize(short)) == short


def test_plain_json_is_read_and_other_data_is_not() -> None:
    aware = TypeAwareCompressor()
    assert aware.decompress(F.LIST, b'[1, ["a", 2]]') == [1, ["a", 2]]
    assert aware.decompress(F.LIST, compress_json([["a", "b"], ["c", "d"]])) == [["a", "b"], ["c", "d"]]
    assert aware.decompress(F.DICT, compress_json({"a": 1})) == {"a": 1}
    for wrong in (b"", b"\xff\xfe", b"{", compress_bytes(b"nothing")):
        for kind in (F.LIST, F.DICT):
            with pytest.raises(ValueError):
                aware.decompress(kind, wrong)


def test_type_aware() -> None:
    aware = TypeAwareCompressor(9)
    assert list(TYPE_COMPRESSORS) == list(aware.compressors)
    assert list(TYPE_COMPRESSORS) == [F.NONE, F.NUMERIC, F.BOOLEAN, F.STRING, F.BINARY, F.LIST, F.DICT]
    lists = aware.compressors[F.LIST]
    assert isinstance(lists, ListCompressor)
    assert (lists.type_aware_compressor is aware, lists.compression_level) == (True, 9)
    assert aware.serialize(True) == b"boolean:1"
    assert aware.deserialize(aware.serialize((1, (2, "x")))) == [1, [2, "x"]]
    with pytest.raises(TypeError):
        aware.compress({1})
    with pytest.raises(TypeError):
        aware.compress([{1}])
    for wrong in (b"nocolon", b"unknown:1"):
        with pytest.raises(ValueError):
            aware.deserialize(wrong)
    del aware.compressors[F.NONE]
    with pytest.raises(ValueError):
        aware.decompress(F.NONE, b"")
    assert aware.compress(None) == (F.STRING, compress_string("null", 9))
    for copied in (copy.deepcopy(aware), pickle.loads(pickle.dumps(aware))):
        items: Any = copied.compressors[F.LIST]
        assert items.type_aware_compressor is copied


def test_compressors_of_the_callers_own() -> None:
    class Upper(StringCompressor):
        def compress(self, value: Any) -> tuple[F, bytes]:
            return super().compress(value.upper())

    class Color(enum.Enum):
        RED = 1

    class Colors(TypeCompressor):
        def can_compress(self, value: Any) -> bool:
            return isinstance(value, Color)

        def compress(self, value: Any) -> tuple[F, bytes]:
            return F.NONE, value.name.encode()

        def decompress(self, format_type: F, compressed_data: bytes) -> Any:  # noqa: ARG002
            return Color[compressed_data.decode()]

    aware = TypeAwareCompressor()
    aware.compressors[F.STRING] = Upper()
    aware.compressors[F.NONE] = Colors()
    assert aware.deserialize(aware.serialize(["a", {"b": "c"}, Color.RED])) == ["A", {"b": "C"}, Color.RED]

    class Derived(TypeAwareCompressor):
        seen = 0

        def compress(self, value: Any) -> tuple[F, bytes]:
            self.seen += 1
            return super().compress(value)

    derived = Derived()
    assert derived.deserialize(derived.serialize([1, [2]])) == [1, [2]]
    assert derived.seen == 4
    with pytest.raises(NotImplementedError):
        TypeCompressor().can_compress(1)


def test_nesting_too_deep_raises() -> None:
    value: list[Any] = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(RecursionError):
        TypeAwareCompressor().compress(value)


def random_value(rng: random.Random, depth: int) -> Any:
    kind = rng.randrange(8 if depth else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.randrange(-(10 ** rng.randrange(1, 30)), 10**20)
    if kind == 2:
        return rng.choice([rng.gauss(0, 1), 1e300, -0.0, 5e-324])
    if kind in (3, 4):
        return "".join(rng.choices('abcäß"\\{}:0\n', k=rng.randrange(40)))
    if kind == 5:
        return rng.randbytes(rng.randrange(60))
    if kind == 6:
        return [random_value(rng, depth - 1) for _ in range(rng.randrange(5))]
    return {f"k{key}": random_value(rng, depth - 1) for key in range(rng.randrange(5))}


def test_any_value_comes_back() -> None:
    rng = random.Random(9)
    aware = TypeAwareCompressor()
    for _ in range(1000):
        value = random_value(rng, 3)
        again = aware.deserialize(aware.serialize(value))
        assert again == value
        assert repr(again) == repr(value)


def test_base64() -> None:
    assert bytes_to_base64(b"\xff\x00") == base64.b64encode(b"\xff\x00").decode()
    assert base64_to_bytes("/w\n A=") == b"\xff\x00"
    with pytest.raises(binascii.Error):
        base64_to_bytes("abc")


def test_registered_types() -> None:
    class Point(Serializable):
        def __init__(self, x: int) -> None:
            self.x = x

        def to_dict(self) -> dict[str, Any]:
            return {"x": self.x}

        @classmethod
        def from_dict(cls, data: dict[str, Any]) -> Point:
            return cls(data["x"])

    with pytest.raises(TypeError):
        Serializable()  # type: ignore[abstract]
    types = SerializationRegistry()
    types.register("point", Point)
    assert types.get_class("point") is Point
    assert types.serialize(Point(3)) == {"_type": "point", "_data": {"x": 3}}
    assert types.deserialize({"_type": "point", "_data": {"x": 3}}).x == 3
    assert types.deserialize({"_type": "other", "_data": {}}) is types.deserialize({"_type": "point"}) is None
    assert Point.from_json(Point(4).to_json()).x == 4
    with pytest.raises(ValueError, match="not registered"):
        types.serialize(5)
    with pytest.raises(ValueError, match="must implement Serializable"):
        types.register("int", int)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        types.register("text", "text")  # type: ignore[arg-type]
    assert registry.get_class("point") is None
