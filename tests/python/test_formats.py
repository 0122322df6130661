"""The golden files of rows, read by other people's libraries: what is written is what the formats say."""

import base64
import datetime
import json
import math
import uuid
from pathlib import Path
from typing import Any

import msgpack
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

GOLDEN = Path(__file__).parents[2] / "testdata" / "golden"


def expected() -> list[dict[str, Any]]:
    """The rows as JSON lines, with the plain columns in Python's own types."""
    rows = []
    for line in (GOLDEN / "rows.jsonl").read_text(encoding="utf-8").split("\n"):
        if not line:
            continue
        row = json.loads(line)
        if row["bytes"] is not None:
            row["bytes"] = base64.b64decode(row["bytes"])
        if row["uuid"] is not None:
            row["uuid"] = uuid.UUID(row["uuid"])
        if row["map"] is not None:
            row["map"] = list(row["map"].items())
        if row["extension"] is not None:
            row["extension"] = base64.b64decode(row["extension"])
        rows.append(row)
    return rows


def micros(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time in UTC."""
    time = datetime.datetime.fromisoformat(text)
    return (time - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)


def days(text: str) -> int:
    """Days since 1970 of an ISO date."""
    return (datetime.date.fromisoformat(text) - datetime.date(1970, 1, 1)).days


def check(table: pa.Table) -> None:
    """Compares a table with the JSON lines, column by column."""
    rows = expected()
    assert table.num_rows == len(rows) > 1
    for name in ("id", "flag", "float", "text", "bytes", "uuid", "list", "map", "extension"):
        found = table.column(name).to_pylist()
        for row, value in zip(rows, found, strict=True):
            wanted = row[name]
            if name == "float" and isinstance(wanted, str):
                wanted = float(wanted)
            same_nan = (
                isinstance(value, float) and isinstance(wanted, float) and math.isnan(value) and math.isnan(wanted)
            )
            assert same_nan or value == wanted, (name, row["id"])
    assert table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    for row, value in zip(rows, table.column("time").cast(pa.int64()).to_pylist(), strict=True):
        # A time that no calendar has is written as its number.
        assert value == (micros(row["time"]) if isinstance(row["time"], str) else row["time"])
    for row, value in zip(rows, table.column("day").cast(pa.int32()).to_pylist(), strict=True):
        assert value == (days(row["day"]) if isinstance(row["day"], str) else row["day"])
    assert table.column("f32").to_pylist()[0] == rows[0]["f32"]
    assert table.column("i8").to_pylist()[0] == rows[0]["i8"]


def test_parquet_read_by_pyarrow() -> None:
    """Parquet."""
    check(pa.parquet.read_table(GOLDEN / "rows.parquet.bin"))


def test_arrow_stream_read_by_pyarrow() -> None:
    """Arrow IPC."""
    with pa.ipc.open_stream((GOLDEN / "rows.arrow.bin").read_bytes()) as reader:
        check(reader.read_all())


def test_message_pack_read_by_msgpack() -> None:
    """MessagePack: the schema's id, then the rows by position."""
    with (GOLDEN / "rows.msgpack.bin").open("rb") as file:
        # 0: a time as seconds and nanoseconds, because not every time of ours fits Python's own type.
        documents = list(msgpack.Unpacker(file, timestamp=0, strict_map_key=False))
    text = repr(documents)
    first = expected()[0]
    flat: list[Any] = []

    def flatten(value: object) -> None:
        if isinstance(value, list | tuple) and not isinstance(value, msgpack.ExtType):
            for item in value:
                flatten(item)
        else:
            flat.append(value)

    flatten(documents)
    for name in ("id", "flag", "float", "text", "bytes"):
        assert first[name] in flat, (name, text)
    times = [value for value in flat if isinstance(value, msgpack.Timestamp)]
    assert any(time.seconds * 1_000_000 + time.nanoseconds // 1_000 == micros(first["time"]) for time in times)
