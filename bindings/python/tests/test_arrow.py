"""Tables in and out by Arrow's PyCapsule interface."""

from __future__ import annotations

import gc
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from tandemdb.arrow import ArrowTable

COLUMNS = {"id": [1, 2, 3], "name": ["x", None, "z"], "price": [1.5, float("inf"), None]}


@pytest.mark.parametrize(
    "given",
    [
        pa.table(COLUMNS),
        pa.record_batch(COLUMNS),
        pl.DataFrame(COLUMNS),
        pd.DataFrame(
            {"id": [1, 2, 3], "name": pd.Series(["x", None, "z"], dtype="str"), "price": [1.5, float("inf"), None]}
        ),
        pa.RecordBatchReader.from_batches(pa.table(COLUMNS).schema, pa.table(COLUMNS).to_batches(max_chunksize=2)),
    ],
    ids=["pyarrow", "batch", "polars", "pandas", "stream"],
)
def test_a_table_comes_back_as_it_went_in(given: Any) -> None:
    """Whoever made it, and however often it is read."""
    table = ArrowTable(given)
    assert (len(table), table.num_columns, table.column_names) == (3, 3, ["id", "name", "price"])
    for _ in range(2):
        read = pa.table(table)
        assert read.column("id").to_pylist() == COLUMNS["id"]
        assert read.column("name").to_pylist() == COLUMNS["name"]
    assert pl.DataFrame(table).rows() == pl.DataFrame(COLUMNS).rows()
    assert pa.schema(table).names == table.column_names


def test_an_empty_table_and_one_without_columns() -> None:
    """Have a schema still."""
    table = ArrowTable(pa.table({"a": pa.array([], pa.int64())}))
    assert (len(table), pa.table(table).schema) == (0, pa.schema([("a", pa.int64())]))
    assert len(ArrowTable(pa.table({}))) == 0


def test_memory_is_given_back_by_who_held_it() -> None:
    """Data live as long as a table of ours does; capsules that nobody read let go of theirs."""
    gc.collect()
    before = pa.total_allocated_bytes()
    given = pa.table({"a": pa.array(range(100_000), pa.int64())})
    table = ArrowTable(given)
    del given
    assert pa.table(table).column("a")[99_999].as_py() == 99_999
    unread = [table.__arrow_c_stream__(), table.__arrow_c_schema__()]
    assert pa.total_allocated_bytes() > before
    del table
    assert pa.total_allocated_bytes() > before
    del unread
    gc.collect()
    assert pa.total_allocated_bytes() == before


def test_a_capsule_is_read_once() -> None:
    """The second reader is told."""

    class Once:
        def __init__(self, capsule: Any) -> None:
            self.capsule = capsule

        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return self.capsule

    once = Once(pa.table(COLUMNS).__arrow_c_stream__())
    assert len(ArrowTable(once)) == 3
    with pytest.raises(ValueError, match="released"):
        ArrowTable(once)
    with pytest.raises((TypeError, ValueError)):
        ArrowTable(Once(pa.table(COLUMNS).schema.__arrow_c_schema__()))
    with pytest.raises(TypeError):
        ArrowTable(Once(None))


def test_what_is_no_table_is_refused() -> None:
    """With what is wanted."""
    with pytest.raises(TypeError, match="__arrow_c_stream__"):
        ArrowTable([1, 2])
    with pytest.raises(ValueError, match="one column"):
        ArrowTable(pa.chunked_array([[1, 2]]))


def test_an_error_of_the_producer_is_passed_on() -> None:
    """A stream may fail at any batch."""

    def batches() -> Any:
        yield pa.record_batch({"a": [1]})
        raise RuntimeError("the disk is gone")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int64())]), batches())
    with pytest.raises(ValueError, match="the disk is gone"):
        ArrowTable(reader)


def test_duckdb_reads_tables_and_makes_them() -> None:
    """Both ways without a copy by somebody else's library."""
    ours = ArrowTable(pa.table(COLUMNS))
    with duckdb.connect() as db:
        db.register("ours", ours)
        assert db.sql("select sum(id), count(name) from ours").fetchall() == [(6, 2)]
        made = ArrowTable(db.sql("select id * 2 as twice, name from ours order by id"))
    assert pa.table(made).to_pydict() == {"twice": [2, 4, 6], "name": ["x", None, "z"]}
