"""The stored bytes of the compressors: the contract's check values, old blobs, and a model of both directions."""

from __future__ import annotations

import contextlib
import datetime
import random
import struct
import zlib
from decimal import Decimal
from typing import Any

import pytest
from syncdb.compression.type_compressor import (
    BinaryCompressor,
    BooleanCompressor,
    CompressionLevel,
    CompressorFactory,
    DateTimeCompressor,
    DictCompressor,
    FloatCompressor,
    IntCompressor,
    ListCompressor,
    NoneCompressor,
    PayloadCompressor,
    TextCompressor,
)

FACTORY = CompressorFactory()
LIST = ListCompressor(FACTORY)
DICT = DictCompressor(FACTORY)


def old_payload(value: Any) -> tuple[int, bytes]:
    """Number and payload as the original wrote them."""
    if value is None:
        return 0, b""
    if isinstance(value, bool):
        return 1, bytes([value])
    if isinstance(value, int):
        for size, code in ((1, ">b"), (2, ">h"), (4, ">i"), (8, ">q")):
            if -(1 << (8 * size - 1)) <= value < 1 << (8 * size - 1):
                return 2, struct.pack(code, value)
        raise ValueError
    if isinstance(value, float):
        return 3, struct.pack(">f", value)
    if isinstance(value, str):
        return 4, value.encode() if len(value) < 10 else zlib.compress(value.encode(), 6)
    if isinstance(value, bytes):
        return 5, value if len(value) < 50 else zlib.compress(value, 6)
    if isinstance(value, list):
        return 6, old_blob(value)
    return 7, old_blob(value)


def old_blob(value: Any) -> bytes:
    """A list or dict as the original wrote it, with the long form from 255 on."""
    if not value:
        return b"\0"
    out = b"\1"
    for key in value:
        element = key
        if isinstance(value, dict):
            name = old_payload(key)[1]
            out += bytes([len(name)]) + name
            element = value[key]
        signature, payload = old_payload(element)
        short = len(payload) < 255
        out += bytes([signature, len(payload) if short else 255])
        out += b"" if short else struct.pack(">I", len(payload))
        out += payload
    return out


def old_read(data: bytes, is_dict: bool) -> Any:
    """What the original read from it, where it read what was written."""
    found: Any = {} if is_dict else []
    at = 1
    while at < len(data):
        key = None
        if is_dict:
            length = data[at]
            key = old_text(data[at + 1 : at + 1 + length])
            at += 1 + length
        signature, length = data[at], data[at + 1]
        at += 2
        if length == 255:
            (length,) = struct.unpack(">I", data[at : at + 4])
            at += 4
        payload = data[at : at + length]
        assert len(payload) == length
        at += length
        value = old_value(signature, payload)
        if is_dict:
            found[key] = value
        else:
            found.append(value)
    return found


def old_text(payload: bytes) -> str:
    try:
        return zlib.decompress(payload).decode()
    except zlib.error:
        return payload.decode()


def old_value(signature: int, payload: bytes) -> Any:
    if signature == 0:
        return None
    if signature == 1:
        return payload != b"\0"
    if signature == 2:
        return int.from_bytes(payload, "big", signed=True)
    if signature == 3:
        return struct.unpack(">f" if len(payload) == 4 else ">d", payload)[0]
    if signature == 4:
        return old_text(payload)
    if signature == 5:
        try:
            return zlib.decompress(payload)
        except zlib.error:
            return payload
    return old_read(payload, signature == 7)


def some_value(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(9 if depth < 4 else 7)
    if kind == 0:
        return None
    if kind == 1:
        return chance.random() < 0.5
    if kind == 2:
        return chance.randrange(-(1 << 63), 1 << 63) >> chance.randrange(64)
    if kind == 3:
        return struct.unpack(">f", struct.pack(">f", chance.uniform(-1e6, 1e6)))[0]
    if kind == 4:
        return "".join(chance.choices("ab é\n日", k=chance.choice([0, 3, 9, 10, 40, 254, 255, 256, 700])))
    if kind == 5:
        return chance.randbytes(chance.choice([0, 1, 49, 50, 253, 254, 255, 256, 257, 1000]))
    if kind == 6:
        return zlib.compress(chance.randbytes(8))
    if kind == 7:
        return [some_value(chance, depth + 1) for _ in range(chance.randrange(6))]
    return {f"k{chance.randrange(20)}": some_value(chance, depth + 1) for _ in range(chance.randrange(6))}


def test_the_check_values_of_the_format() -> None:
    record = {"a": 1, "b": "hi", "c": None, "d": True, "e": [1, 300], "f": {}}
    expected = "01 0161020101 016204026869 01630000 0164010101 01650608010201010202012c 0166070100".replace(" ", "")
    assert DICT.compress(record).hex() == expected
    assert len(DICT.compress(record)) == 38
    assert DICT.decompress(bytes.fromhex(expected)) == record
    elements = [b"\0\0\0", 2.5, -1, 40000, 2**40]
    expected = "01 0503000000 030440200000 0201ff 020400009c40 02080000010000000000".replace(" ", "")
    assert LIST.compress(elements).hex() == expected
    assert LIST.decompress(bytes.fromhex(expected)) == elements
    assert DICT.compress({}) == LIST.compress([]) == b"\0"


@pytest.mark.parametrize("seed", range(200))
def test_old_blobs_are_read_and_old_readers_read_new_ones(seed: int) -> None:
    chance = random.Random(seed)
    value = [some_value(chance) for _ in range(chance.randrange(1, 8))]
    if b"x\x9c" not in repr(value).encode("latin-1", "replace"):
        assert LIST.decompress(old_blob(value)) in (value, old_read(old_blob(value), False))
    for level in CompressionLevel:
        compressor = PayloadCompressor(level)
        blob = compressor.compress_changes("t", value)
        assert PayloadCompressor().decompress_changes("t", blob) == value
        assert old_read(blob, False) == value or value == []
        record = {str(at): element for at, element in enumerate(value)}
        blob = compressor.compress_record("t", record)
        assert FACTORY.get_compressor_for_signature(7).decompress(blob) == record
        assert old_read(blob, True) == record


def test_integers_take_the_smallest_size() -> None:
    codec = IntCompressor()
    for value, size in [(0, 1), (-128, 1), (128, 2), (-32768, 2), (32768, 4), (2**31, 8), (-(2**63), 8), (True, 1)]:
        assert len(codec.compress(value)) == size
        assert codec.decompress(codec.compress(value)) == value
    for value in (2**63, -(2**63) - 1, 10**40):
        with pytest.raises(struct.error):
            codec.compress(value)
        with pytest.raises(ValueError):
            DICT.compress({"n": value})


def test_a_float_alone_has_four_bytes_and_in_a_record_comes_back_exactly() -> None:
    codec = FloatCompressor()
    assert codec.compress(2.5) == struct.pack(">f", 2.5)
    assert codec.decompress(codec.compress(3.14159)) == pytest.approx(3.14159, abs=1e-4)
    assert codec.decompress(struct.pack(">d", 0.1)) == 0.1
    assert codec.compress(3) == struct.pack(">f", 3)
    with pytest.raises(OverflowError):
        codec.compress(1e300)
    values = [0.1, 1700000000.123456, 1e300, float("inf"), -0.0, 5e-324]
    assert [value.hex() for value in LIST.decompress(LIST.compress(values))] == [value.hex() for value in values]
    assert len(LIST.compress([0.5])) == 1 + 2 + 4
    assert LIST.decompress(LIST.compress([float("nan")]))[0] != 0


def test_texts_and_bytes_deflate_from_their_length_on_when_it_pays() -> None:
    text, binary = TextCompressor(), BinaryCompressor()
    assert text.compress("a" * 9) == b"a" * 9
    assert zlib.decompress(text.compress("a" * 40)) == b"a" * 40
    assert text.compress("abcdefghij") == b"abcdefghij"
    assert binary.compress(b"a" * 49) == b"a" * 49
    assert zlib.decompress(binary.compress(b"a" * 50)) == b"a" * 50
    none = CompressionLevel.NONE
    assert TextCompressor(none).compress("a" * 400) == b"a" * 400
    assert BinaryCompressor(none).compress(b"a" * 400) == b"a" * 400
    for repeats in (2, 5, 20, 60, 200, 1000, 5000):
        for phrase in ("some phrase again, ", "ab", "the quick brown fox jumps over the lazy dog. ", "0123456789\n"):
            sizes = [len(TextCompressor(level).compress(phrase * repeats)) for level in CompressionLevel]
            assert sizes == sorted(sizes, reverse=True), (phrase, repeats)
    # Deflated by the original although it grew.
    assert text.decompress(zlib.compress(b"abcdefghij", 6)) == "abcdefghij"


def test_what_looks_like_a_stream_comes_back_unchanged() -> None:
    stream = zlib.compress(b"hello" * 30)
    for value in (stream, stream + b"tail", stream[:-1], stream * 9, b"x\x9c", b"x\x9c" * 40):
        for level in CompressionLevel:
            codec = BinaryCompressor(level)
            assert codec.decompress(codec.compress(value)) == value
            assert LIST.decompress(LIST.compress([value])) == [value]
    small = zlib.compressobj(6, zlib.DEFLATED, 9)
    text = (small.compress(b"") + small.flush()).decode("latin-1")
    assert TextCompressor().decompress(TextCompressor().compress(text)) == text


def test_times_and_dates() -> None:
    codec = DateTimeCompressor()
    now = datetime.datetime(2024, 2, 29, 12, 30, 15, 123456)
    assert codec.compress(now) == struct.pack(">d", now.timestamp())
    assert codec.decompress(codec.compress(now)) == now
    assert codec.compress(datetime.date(1970, 1, 2)) == b"\0\0\0\1"
    for day in (datetime.date.min, datetime.date(1969, 12, 31), datetime.date.max):
        back = codec.decompress(codec.compress(day))
        assert back == day
        assert type(back) is datetime.date
    aware = datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc)
    assert codec.decompress(codec.compress(aware)).timestamp() == aware.timestamp()
    record = {"at": now, "day": day}
    assert DICT.decompress(DICT.compress(record)) == record
    for bad in ("2024", 5, None):
        with pytest.raises(ValueError):
            codec.compress(bad)


def test_booleans_and_nothing() -> None:
    codec = BooleanCompressor()
    assert (codec.compress(True), codec.compress(False)) == (b"\1", b"\0")
    assert codec.decompress(b"\1") is True
    assert codec.decompress(b"\0") is False
    assert NoneCompressor().compress(None) == b""
    assert NoneCompressor().decompress(b"") is None


def test_relatives_of_known_types_are_written_as_these_and_strangers_as_none() -> None:
    class Text(str):
        def __str__(self) -> str:
            return "shown"

    class Number(int):
        pass

    class Mapping(dict):  # type: ignore[type-arg]
        pass

    class When(datetime.datetime):
        pass

    value = [(1, "a"), Text("kept"), Number(7), Mapping(a=1), When(2020, 1, 1), Decimal("1.5"), object(), {1}]
    expected = [[1, "a"], "kept", 7, {"a": 1}, datetime.datetime(2020, 1, 1), None, None, None]
    back = LIST.decompress(LIST.compress(value))
    assert back == expected
    assert [type(element) for element in back] == [type(element) for element in expected]


@pytest.mark.parametrize("data", [b"", b"\1", b"\2", b"\0\0", b"\1\2", b"\1\2\5a", b"\1\4\xff\0\0", b"\1\2\3abc"])
def test_malformed_lists_are_value_errors(data: bytes) -> None:
    with pytest.raises(ValueError):
        LIST.decompress(data)
    with pytest.raises(ValueError):
        DICT.decompress(b"\1\1a\6" + bytes([len(data)]) + data)


def test_no_byte_string_does_worse_than_a_value_error() -> None:
    chance = random.Random(5)
    record = {"a": 1, "text": "x" * 300, "list": [1, 2.5, None, {"b": b"z" * 60}], "at": datetime.datetime(2020, 1, 1)}
    blob = DICT.compress(record)
    for end in range(len(blob)):
        with contextlib.suppress(ValueError):
            DICT.decompress(blob[:end])
    for _ in range(3000):
        changed = bytearray(blob)
        for _ in range(chance.randrange(1, 4)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        codec: Any
        for codec in (LIST, DICT):
            with contextlib.suppress(ValueError):
                codec.decompress(bytes(changed))
    single: tuple[Any, ...] = (IntCompressor(), FloatCompressor(), TextCompressor(), BooleanCompressor())
    for codec in (*single, DateTimeCompressor()):
        for length in range(12):
            for byte in (b"\x7f", b"\xff"):
                with contextlib.suppress(ValueError):
                    codec.decompress(byte * length)


def test_streams_and_nesting_have_limits() -> None:
    bomb = zlib.compress(bytes(300 << 20), 9)
    blob = b"\1\5\xff" + struct.pack(">I", len(bomb)) + bomb
    with pytest.raises(ValueError, match="limit"):
        LIST.decompress(blob)
    deep = b"\0"
    for _ in range(5000):
        short = len(deep) < 255
        deep = b"\1\6" + (bytes([len(deep)]) if short else b"\xff" + struct.pack(">I", len(deep))) + deep
    with pytest.raises(ValueError, match="nesting"):
        LIST.decompress(deep)
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        LIST.compress(loop)


def test_keys() -> None:
    assert DICT.decompress(DICT.compress({"": 1, "é" * 127: 2})) == {"": 1, "é" * 127: 2}
    for key in (5, None, b"a", ("a",)):
        with pytest.raises(TypeError):
            DICT.compress({key: 1})
    with pytest.raises(ValueError):
        DICT.compress({"".join(chr(200 + at) for at in range(256)): 1})
    with pytest.raises(ValueError):
        DICT.compress({"a": "\ud800"})


def test_other_holders_of_bytes_are_read() -> None:
    codec: Any = DICT
    blob = codec.compress({"a": 1})
    assert codec.decompress(bytearray(blob)) == codec.decompress(memoryview(blob)) == {"a": 1}
    for bad in ("a", 5, None):
        with pytest.raises(TypeError):
            codec.decompress(bad)
