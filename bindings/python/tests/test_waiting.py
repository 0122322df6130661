"""Ctrl-C does not wait for native work, whatever that is at."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from syncdb.engine import ClosedError, Field, Lineage, Schema, Step, SyncDb, SyncServer
from vectordb.features import FeatureStore
from vectordb.statistics import bootstrap
from vectordb.transformers import ColumnFit, ColumnTransformer, EncoderFit, Steps, StepsFit

from vectordb import transformers

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


def interrupt() -> None:
    """As Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


def assert_interrupted(call: Callable[[], object]) -> None:
    """Ctrl-C is heard while a call works, and ends it: the second time, as it is pressed again when it was heard.

    Where signals wait for the end of the work, they are heard once, however often they came.
    """
    heard = threading.Semaphore(0)
    over = threading.Event()
    times = iter((1, 2))

    def on_interrupt(_signal: int, _frame: object) -> None:
        heard.release()
        if next(times, None) == 2:
            raise KeyboardInterrupt

    def press() -> None:
        time.sleep(0.005)
        while not over.is_set():
            interrupt()
            if not heard.acquire(timeout=60):
                return
            # A call that has ended is back before: it need not wait for the interpreter, as this thread does.
            over.wait(0.01)

    before = signal.signal(signal.SIGINT, on_interrupt)
    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
            over.set()
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGINT, before)


ROWS = np.random.default_rng(1).normal(size=(300_000, 10))
TEXTS = {"city": [f"city {at % 50}" for at in range(600_000)]}
MORE_TEXTS = {"city": TEXTS["city"] * 4}
CITIES = transformers.column_plan([transformers.route("city", ["city"], transformers.encode())], texts=["city"])
MANY = [transformers.power()] * 40


def cities() -> ColumnTransformer:
    return ColumnTransformer.fit(CITIES, {"city": TEXTS["city"][:50]})


def wide() -> Steps:
    """Steps that take their time."""
    return Steps.fit(MANY, np.linspace(0.5, 2.0, 40).reshape(4, 10))


LONG_CALLS: dict[str, Callable[[], Callable[[], object]]] = {
    "Steps.fit": lambda: lambda: Steps.fit([transformers.quantile(1000)] * 4, ROWS),
    "Steps.transform": lambda: partial(wide().transform, ROWS),
    "Steps.inverse": lambda: partial(wide().inverse, ROWS),
    "StepsFit.partial_fit": lambda: partial(StepsFit([transformers.scale()], 10).partial_fit, np.tile(ROWS, (8, 1))),
    "StepsFit.finish": lambda: StepsFit([transformers.scale("robust")], 10).partial_fit(np.tile(ROWS, (4, 1))).finish,
    "ColumnTransformer.fit": lambda: lambda: ColumnTransformer.fit(CITIES, MORE_TEXTS),
    "ColumnTransformer.transform": lambda: partial(cities().transform, TEXTS),
    "ColumnTransformer.inverse": lambda: partial(cities().inverse, np.zeros((1_000_000, 50))),
    "ColumnFit.partial_fit": lambda: partial(ColumnFit(CITIES).partial_fit, MORE_TEXTS),
    "EncoderFit.partial_fit": lambda: partial(EncoderFit().partial_fit, MORE_TEXTS["city"]),
    "Encoder.transform": lambda: partial(
        EncoderFit().partial_fit(TEXTS["city"]).finish().transform, MORE_TEXTS["city"]
    ),
    "bootstrap": lambda: lambda: bootstrap(ROWS[:, 0], ROWS[:, 1], resamples=1_000_000),
}


@pytest.mark.parametrize("name", LONG_CALLS)
def test_long_calls_end_by_ctrl_c(name: str) -> None:
    assert_interrupted(LONG_CALLS[name]())


def test_a_deployment_is_not_waited_for_and_goes_on() -> None:
    """Until its script lets it."""
    go_on = threading.Event()
    interrupts = iter([interrupt])

    def slow(cents: int) -> float:
        for first_time in interrupts:
            first_time()
        go_on.wait(60)
        return cents / 100

    people = Schema("people", {"id": int, "cents": int}, key="id")
    first = Lineage([people], scripts={"euros": (slow, lambda euros: round(euros * 100))})
    cloud = SyncServer(lineage=first)
    cloud.insert("people", {"id": 1, "cents": 250})
    second = first.then(Step.script("people", "cents", {"euros": float}, "euros"))
    with pytest.raises(KeyboardInterrupt):
        cloud.deploy(second)
    with pytest.raises(ClosedError, match="being deployed"):
        cloud.query("people")
    go_on.set()
    rows: list[dict[str, Any]] = []
    while not rows:
        try:
            rows = cloud.query("people")
        except ClosedError:
            time.sleep(0.01)
    assert [row["euros"] for row in rows] == [2.5]


def interrupt_when_written(folder: Path) -> threading.Thread:
    """Interrupts as soon as something is written into a folder."""

    def watch() -> None:
        while not any(folder.iterdir()):
            time.sleep(0.001)
        interrupt()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_save_is_not_waited_for(tmp_path: Path) -> None:
    """Its file is there as a whole later, or never."""
    store = FeatureStore()
    store.create_entity("user", {"user_id": "int"})
    view = store.create_view("rides", "user", {"fare": "float", "tip": "float"})
    rows = np.arange(600_000)
    view.ingest({"user_id": rows, "fare": rows * 1.5, "tip": rows * 0.5})
    path = tmp_path / "features.tdb"
    thread = interrupt_when_written(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        store.save(path)
    was_there = path.exists()
    thread.join()
    assert not was_there


def test_many_rows_are_not_waited_for() -> None:
    """And none of them is there."""
    db = SyncDb("phone", tables=[Schema("notes", {"id": int, "text": Field(str)}, key="id")])
    started = threading.Event()

    def rows() -> Any:
        for at in range(200_000):
            yield {"id": at, "text": "x"}
        started.set()

    def interrupt_soon() -> None:
        started.wait()
        time.sleep(0.02)
        interrupt()

    thread = threading.Thread(target=interrupt_soon)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        db.insert_many("notes", rows())
    thread.join()
    assert db.count("notes") == 0


NOTES = Schema("notes", {"id": int, "text": Field(str)}, key="id")
NOTE_ROWS = [
    [{"id": at, "text": f"note {at}"} for at in range(part, part + 20_000)] for part in range(0, 160_000, 20_000)
]


@pytest.mark.parametrize("is_full", ["replica", "server"])
def test_a_sync_in_one_process_ends_by_ctrl_c_and_goes_on_later(is_full: str) -> None:
    """It leaves both sides whole."""
    phone, cloud = SyncDb("phone", tables=[NOTES]), SyncServer([NOTES])
    # A server gives its rows away faster than it takes them in.
    if is_full == "replica":
        parts = NOTE_ROWS[:2]
        for rows in parts:
            phone.insert_many("notes", rows)
    else:
        parts = NOTE_ROWS
        for rows in parts:
            cloud.insert_many("notes", rows)
    assert_interrupted(lambda: phone.sync(cloud))
    told: list[tuple[int, int]] = []
    report = phone.sync(cloud, progress=lambda done, total: told.append((done, total)))
    assert report.converged
    assert phone.count("notes") == cloud.count("notes") == 20_000 * len(parts)
    assert phone.digest() == cloud.digest() == report.digest_server
    # What was begun may have brought all by now.
    passed = report.rows_sent + report.rows_received
    assert told == sorted(told)
    assert told[-1:] == [(passed, passed)] * (passed > 0)


def test_a_sync_that_takes_longer_than_it_looked_is_one_all_the_same() -> None:
    """It begins in the caller's thread and goes on in another: its report and its progress are of both."""
    phone, cloud = SyncDb("phone", tables=[NOTES]), SyncServer([NOTES])
    phone.sync(cloud)
    for at in range(250):
        phone.insert("notes", {"id": at, "text": "x" * 1_000})
    told: list[tuple[int, int]] = []
    report = phone.sync(cloud, progress=lambda done, total: told.append((done, total)), budget={"mutations_max": 2})
    assert report.converged
    assert (report.rows_sent, report.round_trips >= 125) == (250, True)
    assert report.outcomes == {"applied": 250}
    assert told == sorted(told)
    assert {total for _, total in told} == {250}
    assert told[-1] == (250, 250)


def test_long_queries_end_by_ctrl_c() -> None:
    phone = SyncDb("phone", tables=[NOTES])
    for rows in NOTE_ROWS:
        phone.insert_many("notes", rows)
    anything = " or ".join(f"text like '%x{at}%'" for at in range(400))
    assert_interrupted(lambda: phone.query("notes", anything))
    assert_interrupted(lambda: phone.count("notes", anything))
    assert phone.count("notes", "id >= 50000") == 110_000
    assert phone.query("notes", "id == 7") == [{"id": 7, "text": "note 7"}]
