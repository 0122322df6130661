"""Ctrl-C does not wait for native work, whatever that is at."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from syncdb.engine import ClosedError, Field, Lineage, Schema, Step, SyncDb, SyncServer
from vectordb.features import FeatureStore

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


def interrupt() -> None:
    """As Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


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
