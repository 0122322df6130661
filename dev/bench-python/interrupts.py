"""How long after Ctrl-C a long call raises KeyboardInterrupt: signals at random moments of it."""

import json
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from syncdb.client import SyncClient
from syncdb.client import SyncServer as PlainSyncServer
from syncdb.db.schema import Column, DatabaseSchema, TableSchema
from syncdb.engine import Schema, SyncDb, SyncServer
from vectordb import Vector
from vectordb.collections import VectorDb
from vectordb.features import FeatureStore
from vectordb.indexing import ApproximateNearestNeighbor
from vectordb.search import GraphIndex
from vectordb.transform import Scaler, TransformationPipeline
from vectordb.transformers import Steps, clip, scale

ATTEMPTS = 8
"""Signals of each case in a round."""

NOTES = Schema("notes", {"id": int, "title": str, "likes": int}, key="id")


def build_index() -> Callable[[], object]:
    """A graph of 20,000 vectors."""
    rows = np.random.default_rng(1).standard_normal((20_000, 64)).astype(np.float32)
    return lambda: GraphIndex(rows)


def upsert_many() -> Callable[[], object]:
    """The same through a collection, from lists."""
    rows = np.random.default_rng(2).standard_normal((15_000, 64)).astype(np.float32)
    columns = [{"year": at} for at in range(len(rows))]

    def go() -> object:
        films = VectorDb().create_collection("films", 64, {"year": int}, index="graph")
        return films.upsert_many(range(len(rows)), rows, columns)

    return go


def import_file() -> Callable[[], object]:
    """A CSV file into a collection."""
    folder = tempfile.mkdtemp()
    path = Path(folder) / "rows.csv"
    chance = random.Random(3)
    with path.open("w", encoding="ascii") as out:
        out.write("id,vector,year\n")
        for at in range(20_000):
            vector = [round(chance.gauss(0, 1), 3) for _ in range(32)]
            out.write(f'{at},"{json.dumps(vector)}",{at}\n')
    return lambda: VectorDb().create_collection("rows", 32, {"year": int}).import_file(path)


def approximate() -> Callable[[], object]:
    """The index of the drop-in package, from objects of its own."""
    chance = random.Random(4)
    vectors = [Vector([chance.gauss(0, 1) for _ in range(64)], str(at)) for at in range(10_000)]

    def go() -> object:
        index = ApproximateNearestNeighbor(64)
        index.add_batch(vectors)
        return index

    return go


def columns_of_events(count: int) -> dict[str, Any]:
    """Events of 10,000 entities."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    return {
        "user_id": [at % 10_000 for at in range(count)],
        "fare": np.arange(float(count)),
        "event_time": [begin + timedelta(seconds=at) for at in range(count)],
    }


def feature_store() -> tuple[FeatureStore, Any]:
    """A store with one view."""
    store = FeatureStore()
    store.create_entity("user", {"user_id": "int"})
    return store, store.create_view("rides", "user", {"fare": "float"})


def ingest() -> Callable[[], object]:
    """A batch of events."""
    columns = columns_of_events(300_000)

    def go() -> object:
        _, view = feature_store()
        return view.ingest(columns)

    return go


def training_set() -> Callable[[], object]:
    """A training set as of a time for each row."""
    store, view = feature_store()
    columns = columns_of_events(200_000)
    view.ingest(columns)
    retrieval = store.retrieval("rides")
    labels = {name: list(columns[name]) * 3 for name in ("user_id", "event_time")}
    numbers = iter(range(10**9))
    return lambda: store.create_training_set(f"set {next(numbers)}", retrieval, labels, known="ever")


def transform() -> Callable[[], object]:
    """An array of 64 MB, fitted and transformed."""
    rows = np.random.default_rng(6).standard_normal((500_000, 16))
    return lambda: Steps.fit([scale("robust"), clip(-2.0, 2.0)], rows).transform(rows)


def transform_dicts() -> Callable[[], object]:
    """The pipeline of the drop-in package, over dicts."""
    chance = random.Random(7)
    rows = {at: {f"f{feature}": chance.random() for feature in range(8)} for at in range(60_000)}

    def go() -> object:
        pipeline = TransformationPipeline("p", [Scaler()])
        pipeline.fit(rows)
        return pipeline.transform(rows)

    return go


def sync_engine() -> Callable[[], object]:
    """Rows of one replica to a server in this process."""
    rows = [{"id": at, "title": f"note {at}", "likes": at} for at in range(20_000)]

    def go() -> object:
        phone = SyncDb("phone", tables=[NOTES])
        phone.insert_many("notes", rows)
        return phone.sync(SyncServer([NOTES]))

    return go


def sync_plain() -> Callable[[], object]:
    """The same by the drop-in package."""
    columns = [Column("id", int, primary_key=True), Column("title", str), Column("likes", int)]
    schema = DatabaseSchema({"notes": TableSchema("notes", columns)})

    def go() -> object:
        client = SyncClient(schema, "mock://server", "phone", power_aware=False)
        client.sync_engine = PlainSyncServer(schema).sync_engine
        client.server_connected = True
        for at in range(20_000):
            client.insert("notes", {"id": at, "title": f"note {at}", "likes": at})
        return client.sync()

    return go


CASES: dict[str, Callable[[], Callable[[], object]]] = {
    "index: GraphIndex of 20,000 x 64": build_index,
    "index: VectorCollection.upsert_many 15,000 x 64": upsert_many,
    "import: 20,000 rows of CSV into a collection": import_file,
    "index: ApproximateNearestNeighbor.add_batch 10,000 x 64": approximate,
    "ingest: FeatureView.ingest 300,000": ingest,
    "training set: 600,000 rows": training_set,
    "transform: array of 500,000 x 16": transform,
    "transform: TransformationPipeline of 60,000 dicts": transform_dicts,
    "sync: engine, 20,000 rows": sync_engine,
    "sync: SyncClient, 20,000 rows": sync_plain,
}


def threads() -> int:
    """Threads of this process, native ones too."""
    return sum(1 for _ in Path("/proc/self/task").iterdir())


@contextmanager
def signalled(after: float) -> Iterator[list[float]]:
    """Sends Ctrl-C to this process after so many seconds; the list then has the time at which it was sent."""
    sent: list[float] = []
    over = threading.Event()

    def send() -> None:
        if not over.wait(after):
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield sent
    finally:
        over.set()
        sender.join()


def latencies(call: Callable[[], object], attempts: int, chance: random.Random) -> list[float]:
    """Seconds from signals to their exceptions."""
    calm = threads()
    begin = time.perf_counter()
    call()
    length = time.perf_counter() - begin
    found: list[float] = []
    for _ in range(attempts):
        sent: list[float] = []
        try:
            with signalled(chance.uniform(0, length)) as sent:
                call()
            # One that came when the call was over.
            time.sleep(0.05 if sent else 0)
        except KeyboardInterrupt:
            raised = time.perf_counter()
            # Raised by the sleep, it says nothing of the call.
            if sent and raised - sent[0] < 30:
                found.append(raised - sent[0])
        # What was interrupted ends by itself: it may not slow down the next one.
        until = time.perf_counter() + 60
        while threads() > calm and time.perf_counter() < until:
            time.sleep(0.01)
    return found


def report(wanted: list[str], rounds: int, is_json: bool) -> None:
    """Median and greatest of each case, in milliseconds."""
    for name, make in CASES.items():
        if wanted and not any(part in name for part in wanted):
            continue
        found = latencies(make(), rounds * ATTEMPTS, random.Random(1))
        if not found:
            raise SystemExit(f"{name}: no signal came while it ran")
        middle, worst = statistics.median(found) * 1e3, max(found) * 1e3
        if is_json:
            for metric, value in (("interrupt_median", middle), ("interrupt_max", worst)):
                line = {"bench": "python", "case": f"interrupt {name}", "subject": "tandemdb", "metric": metric}
                print(json.dumps({**line, "value": value, "unit": "ms"}), flush=True)
        else:
            print(f"{name:58} {middle:8.1f} ms {worst:8.1f} ms of {len(found)}", flush=True)
