"""Rows of files come into collections, and what does not fit is told with its line and column."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vectordb.collections import VectorCollection, VectorDb, VectorOptions


def places(**options: Any) -> VectorCollection:
    """A collection with metadata of a few types."""
    fields = {"name": {"type": "text", "nullable": True}, "stars": {"type": "int", "nullable": True}}
    return VectorDb().create_collection("places", 2, fields, **options)


ROWS = [{"id": at, "vector": [float(at), 1.0], "name": f"place {at}", "stars": at % 5} for at in range(1, 31)]


def csv_of(rows: list[dict[str, Any]]) -> str:
    lines = ["id,vector,name,stars"]
    lines += [f'{row["id"]},"{json.dumps(row["vector"])}",{row["name"]},{row["stars"]}' for row in rows]
    return "\n".join(lines) + "\n"


def arrow_table(rows: list[dict[str, Any]]) -> Any:
    pa = pytest.importorskip("pyarrow")
    columns = {
        "id": pa.array([row["id"] for row in rows], pa.int64()),
        "vector": pa.array([row["vector"] for row in rows], pa.list_(pa.float32())),
        "name": pa.array([row["name"] for row in rows], pa.string()),
        "stars": pa.array([row["stars"] for row in rows], pa.int64()),
    }
    return pa.table(columns)


def written(folder: Path, ending: str, rows: list[dict[str, Any]]) -> Path:
    """A file of these rows."""
    path = folder / f"places.{ending}"
    if ending == "csv":
        path.write_text(csv_of(rows), encoding="utf-8")
    elif ending == "csv.gz":
        path.write_bytes(gzip.compress(csv_of(rows).encode()))
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    elif ending == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow_table(rows), path)
    else:
        ipc = pytest.importorskip("pyarrow.ipc")
        table = arrow_table(rows)
        make = ipc.new_file if ending == "feather" else ipc.new_stream
        with make(path, table.schema) as writer:
            writer.write_table(table)
    return path


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "jsonl", "parquet", "arrow", "feather"])
def test_files_of_every_kind_bring_the_same_rows(tmp_path: Path, ending: str) -> None:
    collection = places()
    collection.upsert(3, [9.0, 9.0], {"name": "before"})
    told: list[tuple[int, int]] = []
    done = collection.import_file(
        written(tmp_path, ending, ROWS), progress=lambda done, total: told.append((done, total))
    )
    assert (done.rows, done.refused, done.refusals) == (30, 0, [])
    assert len(collection) == 30
    for row in (ROWS[0], ROWS[2], ROWS[29]):
        found = collection.get(row["id"])
        assert found is not None
        assert found["vector"].tolist() == row["vector"]
        assert (found["name"], found["stars"]) == (row["name"], row["stars"])
    assert [hit.id for hit in collection.search([30.0, 1.0], 2, filter="stars < 5")] == [30, 29]
    assert all(0 <= done <= total for done, total in told)
    assert told[-1] == (30, 30)


def test_files_of_vectors_number_their_rows(tmp_path: Path) -> None:
    vectors = np.arange(1, 21, dtype=np.float32).reshape(10, 2)
    np.save(tmp_path / "v.npy", vectors)
    head = np.full((10, 1), 2, np.int32).view(np.float32)
    np.hstack([head, vectors]).tofile(tmp_path / "v.fvecs")
    for name in ("v.npy", "v.fvecs"):
        collection = places()
        assert collection.import_file(tmp_path / name, first_id=100).rows == 10
        found = collection.get(104)
        assert found is not None
        assert found["vector"].tolist() == [9.0, 10.0]
        assert collection.get(110) is None
    texts = VectorDb().create_collection("texts", 2, key=str)
    with pytest.raises(ValueError, match="ids of collection `texts` are no integers"):
        texts.import_file(tmp_path / "v.npy")


def test_what_does_not_fit_is_told_with_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        'id,vector,name,stars\n1,"[1, 2]",a,5\nx,"[1, 2]",b,5\n3,"[1, 2, 3]",c,5\n4,"[1, 2]",d,many\n'
        '5,,e,5\n1,"[2, 2]",f,1\n',
        encoding="ascii",
    )
    collection = places()
    with pytest.raises(ValueError, match="nothing was imported") as raised:
        collection.import_file(path)
    text = str(raised.value)
    assert "bad.csv: 5 row(s)" in text
    for place in ("line 3, column `id`", "line 4, column `vector`", "line 5, column `stars`", "line 6", "line 7"):
        assert place in text, text
    assert len(collection) == 0
    done = collection.import_file(path, on_invalid="skip")
    assert (done.rows, done.refused) == (1, 5)
    assert [(line, column) for line, column, _ in done.refusals][:3] == [(3, "id"), (4, "vector"), (5, "stars")]
    assert collection.import_file(path, on_invalid="skip", nulls=["many"]).rows == 2
    with pytest.raises(ValueError, match="'refuse' or 'skip'"):
        collection.import_file(path, on_invalid="stop")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one character"):
        collection.import_file(path, delimiter=";;")


def test_vectors_that_the_metric_cannot_compare_are_told_too(tmp_path: Path) -> None:
    rows = [{"id": 1, "vector": [1, 0]}, {"id": 2, "vector": [0, 0]}]
    path = tmp_path / "zero.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    with pytest.raises(ValueError, match=r"line 2: collection `places`, id 2"):
        places(metric="cosine").import_file(path)
    np.save(tmp_path / "zero.npy", np.array([[1, 0], [0, 0]], np.float32))
    collection = places(metric="cosine")
    assert collection.import_file(tmp_path / "zero.npy", on_invalid="skip").refusals[0][0] == 2
    assert len(collection) == 1


@pytest.mark.parametrize("ending", ["jsonl", "npy"])
def test_of_many_rows_that_do_not_fit_the_first_are_told_and_all_counted(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"zero.{ending}"
    if ending == "npy":
        np.save(path, np.vstack([np.zeros((15, 2), np.float32), np.ones((1, 2), np.float32)]))
    else:
        rows = [{"id": at, "vector": [0, 0] if at < 15 else [1, 1]} for at in range(16)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    collection = places(metric="cosine")
    with pytest.raises(ValueError, match=r"15 row\(s\) do not fit(.|\n)*line 10: (.|\n)*and 5 more rows$") as raised:
        collection.import_file(path)
    assert "line 11" not in str(raised.value)
    done = collection.import_file(path, on_invalid="skip")
    assert (done.rows, done.refused, [line for line, _, _ in done.refusals]) == (1, 15, list(range(1, 11)))


def test_a_delimiter_that_is_not_guessed_is_given(tmp_path: Path) -> None:
    path = tmp_path / "waves.csv"
    path.write_text('id~vector~name~stars\n1~"[1, 2]"~a, b; c~5\n', encoding="ascii")
    collection = places()
    assert collection.import_file(path, delimiter="~").rows == 1
    found = collection.get(1)
    assert found is not None
    assert (found["name"], found["stars"]) == ("a, b; c", 5)


def test_columns_that_are_not_those_of_the_collection_are_told(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text('id,vector,colour\n1,"[1, 2]",red\n', encoding="ascii")
    with pytest.raises(ValueError, match=r"no column `colour`; its columns are id, vector, name, stars"):
        places().import_file(path)
    path.write_text("name\na\n", encoding="ascii")
    with pytest.raises(ValueError, match="column `id` of table `places` is missing"):
        places().import_file(path)
    with pytest.raises(FileNotFoundError):
        places().import_file(tmp_path / "nothing.csv")
    with pytest.raises(ValueError, match="unknown kind of file"):
        places().import_file(tmp_path / "places.xlsx")


def test_several_columns_of_vectors_and_sparse_ones(tmp_path: Path) -> None:
    vectors = {"image": VectorOptions(2), "text": VectorOptions(3)}
    collection = VectorDb().create_collection("both", vectors, sparse={"words": 100})
    rows: list[dict[str, Any]] = [
        {"id": 1, "image": [1, 2], "text": [1, 2, 3]},
        {"id": 2, "image": None, "text": [4, 5, 6]},
    ]
    path = tmp_path / "both.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="ascii")
    assert collection.import_file(path).rows == 2
    first, second = collection.get(1), collection.get(2)
    assert first is not None
    assert second is not None
    assert first["image"].tolist() == [1.0, 2.0]
    assert second["image"] is None
    assert second["text"].tolist() == [4.0, 5.0, 6.0]


@pytest.mark.parametrize("ending", ["parquet", "arrow", "feather"])
def test_damaged_files_are_refused(tmp_path: Path, ending: str) -> None:
    whole = written(tmp_path, ending, ROWS).read_bytes()
    path = tmp_path / f"cut.{ending}"
    for length in (0, 5, 9, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        try:
            done = places().import_file(path)
        except ValueError as error:
            assert path.name in str(error)
        else:
            # A stream may end after a whole batch.
            assert ending == "arrow"
            assert done.rows in (0, 30)
