"""The engine's feature store: against pandas, through Arrow, on disk, and what it refuses."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
import weakref
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from vectordb.features import STATUSES, AsOf, FeatureStore, FeatureView
from vectordb.lineage import LineageNode
from vectordb.transformers import ColumnTransformer, Steps, column_plan, encode, impute, route, scale

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


def at(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def rides(store: FeatureStore, **options: Any) -> FeatureView:
    store.create_entity("user", {"user_id": "int"})
    return store.create_view("rides", "user", {"fare": "float", "km": "float"}, **options)


def test_a_join_answers_as_merge_asof() -> None:
    """For random events and labels, from a dict, pandas, polars and pyarrow."""
    random = np.random.default_rng(7)
    events = pd.DataFrame(
        {
            "user_id": random.integers(0, 30, 2_000),
            "event_time": np.datetime64("2026-01-01", "us")
            + random.permutation(2_000_000)[:2_000].astype("timedelta64[s]"),
            "fare": random.normal(size=2_000),
            "km": random.normal(size=2_000),
        }
    )
    labels = pd.DataFrame(
        {
            "user_id": random.integers(0, 33, 500),
            "event_time": np.datetime64("2026-01-01", "us")
            + random.integers(0, 2_100_000, 500).astype("timedelta64[s]"),
            "label": random.integers(0, 2, 500),
        }
    )
    expected = (
        pd.merge_asof(
            labels.reset_index().sort_values("event_time"),
            events.sort_values("event_time"),
            on="event_time",
            by="user_id",
        )
        .sort_values("index")[["fare", "km"]]
        .to_numpy()
    )
    store = FeatureStore()
    assert rides(store).ingest(events).events == 2_000
    retrieval = store.retrieval({"rides": ["fare", "km"]})
    columns = {name: labels[name].to_numpy() for name in labels}
    for rows in (labels, columns, pl.from_pandas(labels), pa.Table.from_pandas(labels), labels.to_dict("records")):
        joined = retrieval.join(rows, known="ever")
        np.testing.assert_array_equal(joined.values, expected)
        np.testing.assert_array_equal(joined.is_present, ~np.isnan(expected[:, 0]))
    table = retrieval.join(pl.from_pandas(labels), known="ever")
    frame = pl.DataFrame(table)
    assert frame.columns == ["user_id", "event_time", "label", "fare", "km"]
    assert frame["fare"].null_count() == np.isnan(expected[:, 0]).sum()
    chunks = pa.Table.from_batches(pa.Table.from_pandas(labels).to_batches(max_chunksize=70))
    np.testing.assert_array_equal(pa.table(retrieval.join(chunks, known="ever"))["fare"].to_numpy(), expected[:, 0])
    as_dict = retrieval.join(columns, known="ever").to_table()
    np.testing.assert_array_equal(as_dict["km"], expected[:, 1])
    assert as_dict["label"] is columns["label"]
    # What was served then: nothing was known before it was ingested, which is now.
    assert retrieval.join(labels).present == 0


def test_reads_are_as_of_a_time_with_states() -> None:
    """Present, expired, unknown, deleted; late data count when they became known."""
    store = FeatureStore()
    view = rides(store, ttl_seconds=3_600)
    view.ingest({"user_id": [1, 2], "fare": [9.5, 7.0], "km": [3.0, None]}, at=at(0), known=at(5))
    retrieval = store.retrieval("rides")
    read = retrieval.get_many([1, 2, 9], at(10))
    np.testing.assert_array_equal(read.values, [[9.5, 3.0], [7.0, np.nan], [np.nan, np.nan]])
    assert [STATUSES[code] for code in read.statuses[:, 0]] == ["present", "present", "unknown"]
    assert (read.present, read.incomplete, read.columns) == (2, 1, ["fare", "km"])
    assert retrieval.get(1, at(4))[1] == "unknown"
    assert retrieval.get(1, AsOf.event(at(4)))[1] == "present"
    assert view.get(1, at(61)).status == "expired"
    view.delete(1, at(20))
    assert view.get(1, AsOf.event(at(21))).status == "missing"
    assert [row.status for row in view.history(1)] == ["present", "missing"]
    row = view.get(1, at(10))
    assert (row.values, row["fare"], row.event_time, row.known_time) == ({"fare": 9.5, "km": 3.0}, 9.5, at(0), at(5))
    assert view.forget([1]) == 2
    assert view.history(1) == []
    thin = retrieval.get_many(np.array([2, 2]), at(10), dtype="float32", order="F")
    assert (thin.values.dtype, thin.values.flags.f_contiguous, thin.values[0, 0]) == (np.float32, True, 7.0)
    assert retrieval.get_many([2] * 5, deadline=0.0).unread == 5


def test_keys_of_several_columns_and_of_texts() -> None:
    """As tuples, or as a table."""
    store = FeatureStore()
    store.create_entity("taste", {"user": "text", "item": "int"})
    view = store.create_view("likes", "taste", {"score": "float"})
    view.ingest([{"user": "a", "item": 1, "score": 0.5}, {"user": "b", "item": 1, "score": 0.25}])
    retrieval = store.retrieval("likes")
    assert retrieval.get_many([("b", 1), ("a", 2)]).values[0, 0] == 0.25
    assert retrieval.get_many({"user": ["a"], "item": [1]}).values.tolist() == [[0.5]]
    assert retrieval.get_many(pl.DataFrame({"item": [1], "user": ["b"]})).values.tolist() == [[0.25]]
    assert view.get(("a", 1))["score"] == 0.5


def test_values_of_every_type_come_back() -> None:
    """As they went in."""
    store = FeatureStore()
    store.create_entity("user", {"user_id": "int"})
    features = {"f": "float", "i": "int", "b": "bool", "t": "text", "w": "timestamp", "d": "date"}
    view = store.create_view("all", "user", features)
    row = {"f": 1.5, "i": -3, "b": True, "t": "Ää", "w": at(1), "d": at(0).date()}
    view.upsert(1, row)
    assert view.get(1).values == row
    arrow = pa.table({"user_id": [2], **{name: [value] for name, value in row.items()}})
    view.ingest(arrow)
    assert view.get(2).values == row
    assert view.get(3).values == dict.fromkeys(row)


def test_rules_refuse_skip_or_blank() -> None:
    """Whole batches, events or values, with their places."""
    store = FeatureStore()
    store.create_entity("user", {"user_id": "int"})
    features = {
        "age": {"type": "int", "rules": [{"range": {"min": 0, "max": 150}}]},
        "plan": {"type": "text", "default": "free"},
    }
    view = store.create_view("profile", "user", features)
    rows = {"user_id": [1, 2], "age": [30, 200]}
    with pytest.raises(ValueError, match="event 1 of the batch"):
        view.ingest(rows)
    assert len(view) == 0
    done = view.ingest(rows, on_invalid="skip")
    assert (done.events, [place for place, _ in done.skipped]) == (1, [1])
    done = view.ingest(rows, on_invalid="missing")
    assert [missing[:2] for missing in done.missing] == [(1, "age")]
    assert view.get(2).values == {"age": None, "plan": "free"}
    with pytest.raises(KeyError, match="no feature `agee`"):
        view.upsert(1, {"agee": 1})
    with pytest.raises(ValueError, match="no column `user_id`"):
        view.ingest({"age": [1]})
    with pytest.raises(ValueError, match="has 1 rows"):
        view.ingest({"user_id": [1, 2], "age": [1]})
    with pytest.raises(TypeError, match="of the type object"):
        view.ingest({"user_id": [1], "age": [object()]})


def test_a_training_set_is_made_again_after_back_fills(tmp_path: Path) -> None:
    """Also by another process, which opens the file."""
    path = tmp_path / "features.db"
    labels = {"user_id": [1, 1], "event_time": [at(1), at(60)], "label": [0, 1]}
    with FeatureStore(path) as store:
        view = rides(store)
        view.ingest({"user_id": [1, 1], "event_time": [at(0), at(30)], "fare": [1.0, 2.0], "km": [5.0, 6.0]})
        made = store.create_training_set("first", store.retrieval("rides"), labels, known="ever")
        assert made.to_table()["fare"].tolist() == [1.0, 2.0]
        view.upsert(1, {"fare": 99.0, "km": 0.0}, at(0.5))
        tag = store.tag("release")
    with FeatureStore(path) as store:
        again = store.training_set(made.id)
        np.testing.assert_array_equal(again.values, made.values)
        assert again.to_table()["user_id"] == labels["user_id"]
        assert again.to_table()["event_time"] == labels["event_time"]
        assert pl.DataFrame(again)["fare"].to_list() == [1.0, 2.0]
        assert store.tagged("release") == tag == store.tags()["release"]
        store.view("rides").forget([1])
        with pytest.raises(ValueError, match="cannot be made again"):
            store.training_set(made.id)
    with FeatureStore(path, read_only=True) as store, pytest.raises(ValueError, match="no file"):
        store.save()


def test_a_block_that_fails_is_not_saved(tmp_path: Path) -> None:
    """And the file is free again."""
    path = tmp_path / "features.db"

    def fail() -> None:
        with FeatureStore(path) as store:
            rides(store)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with FeatureStore(path) as store:
        assert store.views() == []


def test_a_transformer_goes_along_with_reads() -> None:
    """As scikit-learn would have done it, with texts, saved and loaded."""
    store = FeatureStore()
    store.create_entity("user", {"user_id": "int"})
    view = store.create_view("profile", "user", {"age": "float", "city": "text"})
    data = {"user_id": [1, 2, 3], "age": [20.0, np.nan, 40.0], "city": ["Oulu", "Turku", None]}
    view.ingest(data)
    plan = column_plan(
        [
            route("scaled", ["age"], steps=[impute("mean"), scale("min_max")]),
            route("place", ["city"], encode(unknown="ignore", missing="ignore")),
        ],
        numbers=["age"],
        texts=["city"],
    )
    fitted = ColumnTransformer.fit(plan, data)
    wanted: list[dict[str, Any]] = [{}, {"materialised": True}]
    for options in wanted:
        read = store.retrieval("profile", transformer=fitted, **options).get_many([1, 2, 3, 4])
        assert read.columns == ["scaled__age", "place__city_Oulu", "place__city_Turku"]
        np.testing.assert_array_equal(read.values, [[0, 1, 0], [0.5, 0, 1], [1, 0, 0], [0.5, 0, 0]])
    version = store.save_transformer("profile", fitted)
    assert (store.transformer("profile"), fitted.version) == (fitted, version)
    with pytest.raises(ValueError, match="text"):
        store.retrieval("profile")
    with pytest.raises(ValueError, match="1 columns"):
        store.retrieval({"profile": ["age", "age"]}, transformer=Steps.fit([scale()], [[1.0], [2.0]]))


def test_views_have_versions_and_old_handles_say_so() -> None:
    """Events are kept."""
    store = FeatureStore()
    view = rides(store)
    view.upsert(1, {"fare": 1.0})
    retrieval = store.retrieval("rides")
    wider = store.alter_view("rides", "user", {"fare": "float", "tip": {"type": "float", "default": 0.5}})
    assert (wider.version, store.versions("rides"), wider.features) == (2, [1, 2], ["fare", "tip"])
    assert [field["name"] for field in store.definition("rides", 1)["features"]] == ["fare", "km"]
    assert wider.get(1).values == {"fare": 1.0, "tip": 0.5}
    with pytest.raises(RuntimeError, match="altered"):
        retrieval.get_many([1])
    document = {"entities": [], "views": [{**wider.definition, "ttl_seconds": 60}]}
    assert store.apply(document)["views"][0]["change"] == "altered"
    store.drop_view("rides")
    with pytest.raises(KeyError, match="rides"):
        store.view("rides")


def test_drift_is_that_of_scipy() -> None:
    """Kolmogorov-Smirnov of the values before and after; profiles as NumPy has them."""
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(1)
    old, new = random.normal(size=300), random.normal(1.0, size=300)
    store = FeatureStore()
    view = rides(store)
    view.ingest({"user_id": range(300), "fare": old}, at=at(0), known=at(0))
    view.ingest({"user_id": range(300), "fare": new}, at=at(10), known=at(10))
    drift = view.drift(at(5), at(15))[0]
    assert drift["distance"] == pytest.approx(stats.ks_2samp(old, new).statistic, abs=1e-12)
    profile = view.profile(at(5))[0]
    assert profile["numbers"]["quartiles"] == pytest.approx(np.quantile(old, [0, 0.25, 0.5, 0.75, 1]), abs=1e-12)


def test_lineage_tells_where_a_value_comes_from() -> None:
    """From the value to the file; as DOT and OpenLineage."""
    store = FeatureStore()
    view = rides(store)
    source = LineageNode("source", "rides.parquet", "sha256:9f2c", parameters={"rows": 1})
    view.ingest({"user_id": [1], "fare": [9.5]}, run="nightly", source=source)
    why = store.why("rides", "fare", 1)
    assert (why.value, why.status, why.run and why.run.name) == (9.5, "present", "nightly")
    assert "rides.parquet" in [found.node.name for found in why.made_of]
    lineage = store.lineage
    model = lineage.record(LineageNode("model", "fares", "7"), [why.definition.id])
    assert [found.node.name for found in lineage.ancestors(model)] == ["rides"]
    assert model in [found.node.id for found in lineage.descendants(why.definition.id)]
    assert lineage.parents(model) == [why.definition.id]
    assert lineage.node(source.id).parameters == {"rows": 1}
    assert lineage.to_dot(model).startswith("digraph")
    assert why.run is not None
    event = lineage.to_open_lineage(why.run.id, "here")
    assert (event["job"]["name"], event["job"]["namespace"]) == ("run.nightly", "here")
    with pytest.raises(ValueError, match="cycle"):
        lineage.link(model, why.definition.id)


def test_reads_can_be_awaited() -> None:
    """Without blocking the loop."""
    store = FeatureStore()
    rides(store).ingest({"user_id": [1], "fare": [9.5], "km": [1.0]})

    async def read() -> Any:
        retrieval = store.retrieval("rides")
        rows = {"user_id": [1], "event_time": [datetime.now(timezone.utc)]}
        return await asyncio.gather(
            store.retrieve_async("rides", [1]),
            retrieval.get_many_async(keys=[1]),
            retrieval.join_async(rows, known="ever"),
        )

    assert [read.values[0, 0] for read in asyncio.run(read())] == [9.5, 9.5, 9.5]


def test_batches_are_streamed_and_observed() -> None:
    """One after the other, each told of; an observer that fails holds nothing up."""
    store = FeatureStore()
    rides(store).ingest(
        {"user_id": np.arange(100), "fare": np.arange(100.0), "km": np.ones(100)}, known=at(0), at=at(0)
    )
    seen: list[tuple[dict[str, int], float]] = []
    retrieval = store.retrieval({"rides": ["fare"]}, observer=lambda report, seconds: seen.append((report, seconds)))
    stream = retrieval.stream((np.arange(from_, from_ + 50) for from_ in (0, 50, 100)), dtype="float32")
    assert not seen
    assert next(stream).values[1, 0] == 1.0
    assert len(seen) == 1
    assert [read.present for read in stream] == [50, 0]
    assert [report for report, _ in seen] == [
        {"present": 50, "incomplete": 0, "unread": 0},
        {"present": 50, "incomplete": 0, "unread": 0},
        {"present": 0, "incomplete": 50, "unread": 0},
    ]
    assert all(seconds >= 0 for _, seconds in seen)
    with pytest.raises(TypeError, match="keyword"):
        next(retrieval.stream([[1]], colour="red"))  # type: ignore[call-arg]

    class Failing:
        def __call__(self, *_: object) -> None:
            raise InterruptedError

    failing = Failing()
    failing.retrieval = store.retrieval("rides", observer=failing)  # type: ignore[attr-defined]
    hooked: list[object] = []
    sys.unraisablehook, before = lambda raised: hooked.append(raised.exc_type), sys.unraisablehook
    try:
        assert failing.retrieval.get_many([1]).present == 1  # type: ignore[attr-defined]
    finally:
        sys.unraisablehook = before
    assert hooked == [InterruptedError]
    end = weakref.ref(failing)
    del failing
    gc.collect()
    assert end() is None


def test_progress_is_told_and_may_stop_a_batch() -> None:
    """Nothing of it is kept then."""
    store = FeatureStore()
    view = rides(store)
    batch = {"user_id": np.arange(1_000_000), "fare": np.ones(1_000_000)}
    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        raise InterruptedError(f"{done} of {total}")

    with pytest.raises(InterruptedError, match="of 1000000"):
        view.ingest(batch, progress=stop)
    assert len(view) == 0
    small = {name: column[:10_000] for name, column in batch.items()}
    view.ingest(small, progress=lambda done, total: seen.append((done, total)))
    assert (seen[-1], seen, len(view)) == ((10_000, 10_000), sorted(seen), 10_000)


def test_a_callback_may_write_and_waits_for_the_batch() -> None:
    """Nobody holds up anybody for ever; other threads go on."""
    store = FeatureStore()
    view = rides(store)
    view.upsert(-1, {"fare": 1.0})
    seen: list[float] = []

    def callback(_done: int, _total: int) -> None:
        if not seen:
            view.upsert(-2, {"fare": 2.0})
        seen.append(view.get(-1)["fare"])

    view.ingest({"user_id": np.arange(100_000)}, progress=callback)
    assert (set(seen), len(view)) == ({1.0}, 100_002)
    threads = [threading.Thread(target=view.ingest, args=({"user_id": np.arange(5_000)},)) for _ in range(3)]
    for thread in threads:
        thread.start()
    store.save_transformer("t", Steps.fit([scale()], [[1.0], [2.0]]))
    for thread in threads:
        thread.join()
    assert len(view) == 115_002


@pytest.mark.skipif(not hasattr(signal, "SIGINT") or os.name == "nt", reason="signals of Unix")
def test_an_interrupt_ends_a_batch() -> None:
    """And leaves nothing behind."""
    store = FeatureStore()
    view = rides(store)
    batch = {"user_id": np.arange(3_000_000), "fare": np.ones(3_000_000)}
    started = threading.Event()

    def interrupt() -> None:
        started.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        view.ingest(batch, progress=lambda _done, _total: started.set())
    thread.join()
    assert len(view) == 0
