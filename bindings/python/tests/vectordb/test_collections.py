"""`vectordb.collections`: rows with vectors and metadata, written, searched, saved."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Callable
from uuid import UUID

import numpy as np
import pytest
from vectordb.collections import Search, VectorCollection, VectorDb, VectorOptions

ROWS = np.random.default_rng(3).normal(size=(2500, 8)).astype(np.float32)


def made(index: str = "exact") -> VectorCollection:
    fields = {"title": str, "year": int, "tags": {"type": list, "nullable": True}}
    collection = VectorDb().create_collection("films", 8, fields, index=index)
    rows = [{"title": f"film {i}", "year": 1950 + i % 70, "tags": ["a"] if i % 2 else None} for i in range(2500)]
    assert collection.upsert_many(range(2500), ROWS, rows) == 2500
    return collection


def there(row: dict[str, Any] | None) -> dict[str, Any]:
    assert row is not None
    return row


@pytest.mark.parametrize("index", ["exact", "clustered", "graph"])
def test_filters_are_of_the_engine(index: str) -> None:
    films = made(index)
    keep = [i for i in range(2500) if 1950 + i % 70 >= 2000 and i % 2]
    truth = sorted(keep, key=lambda i: float(np.linalg.norm(ROWS[i] - ROWS[0])))[:6]
    text = "year >= 2000 and tags contains 'a'"
    json = {
        "and": [
            {"compare": {"path": "year", "op": "ge", "value": 2000}},
            {"contains": {"path": "tags", "value": "a"}},
        ]
    }
    for one in (text, json):
        hits = films.search(ROWS[0], 6, filter=one, select=["year"], effort=1000)
        assert [hit.id for hit in hits] == truth
        assert hits[0].row == {"year": 1950 + truth[0] % 70}
        assert hits[0].distance == pytest.approx(np.linalg.norm(ROWS[truth[0]] - ROWS[0]))
    assert films.count(text) == len(keep)
    told = films.explain(ROWS[0], 6, filter=text)
    assert (told.rows, told.matched) == (2500, len(keep))
    assert "rows" in str(told)
    many = films.search_many(ROWS[:3], 1, filter="year < 2030")
    assert [[hit.id for hit in hits] for hits in many] == [[0], [1], [2]]
    assert films.measure_recall(ROWS[:20], 5) > 0.7
    assert films.search(ROWS[4], 2, recall=0.9)[0].id == 4


def test_rows_come_change_and_go() -> None:
    films = made()
    assert there(films.get(7))["title"] == "film 7"
    np.testing.assert_array_equal(there(films.get(7))["vector"], ROWS[7])
    assert films.get(9999) is None
    films.update(7, {"title": "other"})
    films.update_vectors(7, ROWS[8])
    assert there(films.get_many([7, -1])[0])["title"] == "other"
    assert films.get_many([7, -1])[1] is None
    films.upsert(7, ROWS[7], {"title": "seven", "year": 1999})
    assert there(films.get(7))["tags"] is None
    assert films.delete([7, 8, 9999]) == 2
    assert films.delete(filter="year = 1950") == 36
    page, after = films.scroll(3, filter="year = 1951", select=["year"])
    assert page == [(1, {"year": 1951}), (71, {"year": 1951}), (141, {"year": 1951})]
    rest, end = films.scroll(100, filter="year = 1951", after=after)
    assert (len(page) + len(rest), end) == (36, None)
    assert len(films) == films.count() == 2500 - 2 - 36


def test_values_come_back_as_they_went_in() -> None:
    values = {
        "a": True,
        "b": 2**60,
        "c": 0.1,
        "d": "ä",
        "e": b"\0x",
        "f": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc),
        "g": date(1904, 2, 29),
        "h": UUID(int=7),
        "i": [1, None, "x"],
        "j": {"k": [1.5]},
        "k": None,
    }
    fields = {
        name: {"type": type(value) if value is not None else object, "nullable": True} for name, value in values.items()
    }
    things = VectorDb().create_collection("things", 1, fields, key=UUID)
    key = UUID(int=1)
    things.upsert(key, [0.5], values)
    got = things.get(key)
    assert {name: there(got)[name] for name in values} == values
    things.update(key, {"f": datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2))), "b": np.int64(3)})
    assert there(things.get(key))["f"] == datetime(2019, 12, 31, 22, tzinfo=timezone.utc)
    assert there(things.get(key))["b"] == 3


def test_several_vectors_dense_and_sparse_are_fused() -> None:
    db = VectorDb()
    texts = db.create_collection(
        "texts",
        {"meaning": VectorOptions(2, metric="cosine"), "image": VectorOptions(3)},
        {"title": str},
        sparse=["words"],
    )
    texts.upsert(1, {"meaning": [1.0, 0.0], "words": {5: 1.0}}, {"title": "a"})
    texts.upsert_many(
        [2, 3],
        {
            "meaning": np.array([[0.8, 0.6], [0.0, 1.0]]),
            "words": [{9: 1.0}, {9: 0.5}],
            "image": [None, [1.0, 0.0, 0.0]],
        },
        [{"title": "b"}, {"title": "c"}],
    )
    parts = [Search([0.9, 0.1], on="meaning"), Search(sparse={9: 1.0}, on="words", weight=2.0)]
    hits = texts.search_hybrid(parts, 2)
    assert [hit.id for hit in hits] == [2, 3]
    assert hits[0].places == [(2, pytest.approx(texts.search([0.9, 0.1], on="meaning")[1].distance)), (1, -1.0)]
    assert hits[0].score == pytest.approx(1 / 62 + 2 / 61)
    assert [hit.id for hit in texts.search_hybrid(parts, 2, filter="title != 'b'", fusion="weighted_sum")] == [3, 1]
    assert [told.method for told in texts.explain_hybrid(parts)] == ["ScanAll", "Postings"]
    assert [hit.id for hit in texts.search(like=2, on="words")] == [3]
    assert [hit.id for hit in texts.search([1.0, 0.0, 0.0], on="image")] == [3]
    assert there(texts.get(2))["words"] == {9: 1.0}


def test_saved_and_opened(tmp_path: Path) -> None:
    path = tmp_path / "films.tdb"
    with VectorDb() as db:
        films = db.create_collection("films", 8, {"n": int}, index={"kind": "graph", "layout": "fast"}, key=str)
        films.upsert_many([str(i) for i in range(2500)], ROWS, [{"n": i} for i in range(2500)])
        db.save(path)
        with pytest.raises(ValueError, match="vectors"):
            VectorDb().save(path)
    assert db.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        db.names()
    with VectorDb.open(path) as db:
        assert db.names() == ["films"]
        films = db.collection("films")
        assert films.options["vectors"][0]["index"]["layout"] == "fast"
        assert films.search(ROWS[3], 1)[0].id == "3"
        db.drop_collection("films")
        with pytest.raises(KeyError, match="dropped"):
            films.search(ROWS[3], 1)
    with pytest.raises(FileNotFoundError):
        VectorDb.open(tmp_path / "nowhere")


def test_awaiting() -> None:
    async def run() -> None:
        films = made()
        await films.upsert_many_async([1], ROWS[:1], [{"title": "x", "year": 1}])
        one, two = await asyncio.gather(films.search_async(ROWS[0], 1), films.search_async(ROWS[5], 1))
        assert (one[0].id, two[0].id) == (0, 5)

    asyncio.run(run())


def test_mistakes_say_what_to_do() -> None:
    db = VectorDb()
    films = db.create_collection("films", 2, {"year": int})
    loop: list[object] = []
    loop.append(loop)
    refused: list[tuple[Callable[[], object], type[Exception], str]] = [
        (lambda: db.create_collection("films", 2), ValueError, "films"),
        (lambda: db.create_collection("x"), ValueError, "at least one column of vectors"),
        (lambda: db.create_collection("x", 2, index="tree"), ValueError, "tree"),
        (lambda: db.create_collection("x", VectorOptions(2), metric="dot"), TypeError, "metric"),
        (lambda: db.collection("x"), KeyError, "there are: films"),
        (lambda: films.upsert(1, [0.0], {"year": 1}), ValueError, "id 1"),
        (lambda: films.upsert(1, [0.0, 1.0], {"year": "x"}), ValueError, "year"),
        (lambda: films.upsert(1, [0.0, 1.0], {"year": 2**70}), OverflowError, "int"),
        (lambda: films.upsert(1, [0.0, 1.0], {"year": loop}), ValueError, "deep"),
        (lambda: films.upsert(1, [0.0, 1.0], {"year": print}), TypeError, "builtin_function"),
        (lambda: films.upsert_many([1, 2], [[0.0, 1.0]]), ValueError, "2 ids and 1 vectors"),
        (lambda: films.update(1, {"year": 1}), KeyError, "1"),
        (lambda: films.search([0.0, 1.0], filter="year >"), ValueError, "column 7"),
        (lambda: films.search([0.0, 1.0], filter={"year": 1}), ValueError, "not a filter"),
        (lambda: films.search([0.0, 1.0], select=["x"]), KeyError, "x"),
        (lambda: films.search(), TypeError, "one of `vector`"),
        (lambda: films.search_hybrid([]), ValueError, "at least one part"),
        (lambda: films.search_hybrid([Search([0.0, 1.0])], fusion="max"), ValueError, "weighted_sum"),
        (lambda: films.scroll(after="x"), ValueError, "cursor"),
        (lambda: films.delete(), TypeError, "`ids` or `filter`"),
    ]
    for call, kind, message in refused:
        with pytest.raises(kind, match=message):
            call()
    assert len(films) == 0
