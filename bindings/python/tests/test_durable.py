"""Databases that a folder keeps: what was acknowledged is there after a kill, and damage is told."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from syncdb.engine import ClosedError, Schema, SyncDb, SyncServer
from syncdb.http import Cancel
from tandemdb.durable import DamagedError, DurableDatabase, LockedError, repair, restore, verify
from vectordb.collections import VectorDb
from vectordb.features import FeatureStore

from syncdb import http

TASKS = Schema("tasks", {"id": int, "title": str}, key="id")

# Writes for ever, and says of each write that it has returned.
WRITERS = {
    "replica": """
db = SyncDb("phone", tables=[TASKS], store=store)
for at in range(10**9):
    db.insert("tasks", {"id": at, "title": f"task {at}"})
    print(at, flush=True)
""",
    "server": """
server = SyncServer([TASKS], store=store)
for at in range(10**9):
    with server.transaction() as transaction:
        transaction.insert("tasks", {"id": at, "title": f"task {at}"})
    print(at, flush=True)
""",
    "collection": """
places = VectorDb(store=store).create_collection("places", 4, {"title": str})
for at in range(10**9):
    places.upsert(at, [at + 1, 0, 0, 1], {"title": f"task {at}"})
    print(at, flush=True)
""",
    "features": """
features = FeatureStore(store=store)
features.create_entity("user", {"id": "int"})
view = features.create_view("v", "user", {"title": "text"})
for at in range(10**9):
    view.upsert(at, {"title": f"task {at}"})
    print(at, flush=True)
""",
}
PREFACE = """
import sys
from syncdb.engine import Schema, SyncDb, SyncServer
from tandemdb.durable import DurableDatabase
from vectordb.collections import VectorDb
from vectordb.features import FeatureStore
TASKS = Schema("tasks", {"id": int, "title": str}, key="id")
store = DurableDatabase(sys.argv[1])
"""


def killed(folder: Path, writer: str, after: int) -> int:
    """The last write that a process had an answer to before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", PREFACE + WRITERS[writer], str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout as lines:
        for line in lines:
            if int(line) >= after:
                break
        process.send_signal(signal.SIGKILL)
        rest = lines.read().split("\n")[:-1]
    assert process.wait(60) == -signal.SIGKILL
    return int(rest[-1]) if rest else after


def titles(store: DurableDatabase, writer: str, last: int) -> list[str]:
    """The texts of rows 0 to `last`, as the writer's package reads them."""
    keys = range(last + 1)
    if writer == "replica":
        db = SyncDb("phone", tables=[TASKS], store=store)
        return [(db.get("tasks", key) or {"title": ""})["title"] for key in keys]
    if writer == "server":
        server = SyncServer([TASKS], store=store)
        return [(server.get("tasks", key) or {"title": ""})["title"] for key in keys]
    if writer == "collection":
        places = VectorDb(store=store).collection("places")
        return [(row or {"title": ""})["title"] for row in places.get_many(keys)]
    view = FeatureStore(store=store).view("v")
    return [view.get(key).values["title"] or "" for key in keys]


@pytest.mark.parametrize("writer", WRITERS)
def test_every_write_that_returned_is_there_after_a_kill(tmp_path: Path, writer: str) -> None:
    for after in (3, 40):
        folder = tmp_path / str(after)
        last = killed(folder, writer, after)
        with DurableDatabase(folder) as store:
            assert not store.recovery["was_closed"]
            assert titles(store, writer, last) == [f"task {at}" for at in range(last + 1)]


def test_an_answer_over_http_is_safe(tmp_path: Path) -> None:
    """What a replica heard from the server is on the server's disk."""
    with DurableDatabase(tmp_path / "server") as store:
        with http.Server(SyncServer([TASKS], store=store)) as running:
            db = SyncDb("phone", tables=[TASKS])
            db.insert("tasks", {"id": 1, "title": "a"})
            http.Client(db, running.url).sync()
            assert store.durable_seq == store.seq
        SyncDb.sync(db, running.server)
        assert store.durable_seq == store.seq
    with DurableDatabase(tmp_path / "server") as store:
        assert store.recovery["was_closed"]
        assert SyncServer([TASKS], store=store).get("tasks", 1) == {"id": 1, "title": "a"}


def test_a_replica_goes_on_where_it_was(tmp_path: Path) -> None:
    """Its queue, what it pulled and how far it is."""
    server = SyncServer([TASKS])
    server.insert("tasks", {"id": 9, "title": "theirs"})
    with DurableDatabase(tmp_path / "phone") as store:
        db = SyncDb("phone", tables=[TASKS], store=store)
        db.sync(server)
        db.insert_many("tasks", [{"id": at, "title": "mine"} for at in range(3)])
    with DurableDatabase(tmp_path / "phone") as store:
        db = SyncDb("phone", tables=[TASKS], store=store)
        assert db.pending == 3
        assert db.get("tasks", 9) == {"id": 9, "title": "theirs"}
        assert db.sync(server).rows_received == 0
        assert db.digest() == server.digest()


def test_one_store_has_all_packages(tmp_path: Path) -> None:
    """And no index is built again: the saved one has been searched before."""
    rng = np.random.default_rng(1)
    vectors = rng.standard_normal((2_000, 16)).astype(np.float32)
    with DurableDatabase(tmp_path / "all", durability=0.5) as store:
        server = SyncServer([TASKS], store=store)
        server.insert("tasks", {"id": 1, "title": "a"})
        features = FeatureStore(store=store)
        features.create_entity("user", {"id": "int"})
        view = features.create_view("v", "user", {"n": "float"})
        view.ingest({"id": list(range(1_000)), "n": np.arange(1_000.0)})
        with VectorDb(store=store) as db:
            places = db.create_collection("places", 16, index="graph")
            places.upsert_many(range(2_000), vectors)
            found = [hit.id for hit in places.search(vectors[7], 5)]
        assert (tmp_path / "all" / "vectors.indexes").exists()
    with DurableDatabase(tmp_path / "all") as store:
        assert SyncServer([TASKS], store=store).get("tasks", 1) == {"id": 1, "title": "a"}
        assert FeatureStore(store=store).view("v").get(5).values["n"] == 5.0
        with VectorDb(store=store) as db:
            assert [hit.id for hit in db.collection("places").search(vectors[7], 5)] == found


def test_folders_in_use_and_damaged_ones_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    with DurableDatabase(folder) as store:
        db = SyncDb("phone", tables=[TASKS], store=store)
        for at in range(20):
            db.insert("tasks", {"id": at, "title": "x" * 100})
        with pytest.raises(LockedError, match="another"):
            DurableDatabase(folder)
        with pytest.raises(LockedError):
            verify(folder)
    # Closed: free for others, while what used it still reads.
    assert verify(folder)["seq"] == store.seq
    assert db.get("tasks", 3) == {"id": 3, "title": "x" * 100}
    with pytest.raises((ClosedError, OSError, ValueError)):
        db.insert("tasks", {"id": 99, "title": "late"})
    with pytest.raises(RuntimeError, match="closed"):
        store.checkpoint()
    segment = max(folder.glob("log-*"), key=lambda path: path.stat().st_size)
    whole = segment.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    segment.write_bytes(damaged)
    with pytest.raises(DamagedError, match=segment.name):
        DurableDatabase(folder)
    cut, kept = repair(folder)
    assert cut > 0
    assert all(path.exists() for path in kept)
    with DurableDatabase(folder) as store:
        assert 0 < SyncDb("phone", tables=[TASKS], store=store).count("tasks") < 20
    with pytest.raises(KeyError, match="database"):
        verify(tmp_path / "nothing")


def test_backups_and_restores_to_a_commit(tmp_path: Path) -> None:
    with DurableDatabase(tmp_path / "db", archive=tmp_path / "archive") as store:
        server = SyncServer([TASKS], store=store)
        server.insert("tasks", {"id": 1, "title": "first"})
        assert store.backup(tmp_path / "backup") > 0
        with pytest.raises(LockedError):
            store.backup(tmp_path / "backup")
        server.insert("tasks", {"id": 2, "title": "second"})
        wanted = store.seq
        server.insert("tasks", {"id": 3, "title": "third"})
        assert store.checkpoint() > 0
        store.flush()
        assert store.failure is None
    logs = [tmp_path / "archive", tmp_path / "db"]
    assert restore(tmp_path / "backup", logs, tmp_path / "then", seq=wanted) == wanted
    with DurableDatabase(tmp_path / "then") as store:
        assert SyncServer([TASKS], store=store).count("tasks") == 2
    with pytest.raises(TypeError, match="not both"):
        restore(tmp_path / "backup", logs, tmp_path / "other", seq=1, time=1)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"durability": "sometimes"}, ValueError, "every_commit"),
        ({"durability": 0}, ValueError, "above 0"),
        ({"durability": -1.0}, ValueError, "above 0"),
        ({"durability": float("nan")}, ValueError, "above 0"),
        ({"durability": []}, TypeError, "durability"),
    ],
)
def test_options_that_say_nothing_are_refused(
    tmp_path: Path, options: dict[str, object], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        DurableDatabase(tmp_path, **options)  # type: ignore[arg-type]


def test_a_store_and_a_file_exclude_each_other(tmp_path: Path) -> None:
    with DurableDatabase(tmp_path / "db") as store:
        for make in (
            lambda: SyncServer([TASKS], path=tmp_path / "file", store=store),
            lambda: VectorDb(tmp_path / "file", store=store),
            lambda: FeatureStore(tmp_path / "file", store=store),
        ):
            with pytest.raises(TypeError, match="store"):
                make()


def test_threads_share_syncs_and_the_interpreter_goes_on(tmp_path: Path) -> None:
    """Writers wait for the disk without the interpreter."""
    with DurableDatabase(tmp_path / "db") as store:
        server = SyncServer([TASKS], store=store)

        def write(first: int) -> None:
            for at in range(first, 200, 8):
                server.insert("tasks", {"id": at, "title": "a"})

        threads = [threading.Thread(target=write, args=(first,)) for first in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert server.count("tasks") == 200
        assert store.durable_seq == store.seq


def test_a_flush_waits_for_what_other_threads_wrote(tmp_path: Path) -> None:
    with DurableDatabase(tmp_path / "db") as store:
        server, over = SyncServer([TASKS], store=store), threading.Event()

        def write() -> None:
            at = 0
            while not over.is_set():
                server.insert("tasks", {"id": at, "title": "a"})
                at += 1

        thread = threading.Thread(target=write)
        thread.start()
        try:
            while server.count("tasks") < 300:
                seq = store.seq
                store.flush()
                assert store.durable_seq >= seq
        finally:
            over.set()
            thread.join(60)


def test_an_import_is_awaited(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": 1, "vector": [1, 2]}\n', encoding="ascii")
    with DurableDatabase(tmp_path / "db") as store, VectorDb(store=store) as db:
        places = db.create_collection("places", 2)
        assert asyncio.run(places.import_file_async(tmp_path / "a.jsonl")).rows == 1
        assert store.durable_seq == store.seq


def test_nothing_leaves_a_replica_before_it_is_on_the_disk(tmp_path: Path) -> None:
    """A kill right after a request does not make the replica forget what it has sent."""
    cloud = SyncServer([TASKS])
    with DurableDatabase(tmp_path / "phone") as store:
        phone = SyncDb("phone", tables=[TASKS], store=store)
        ahead: list[int] = []

        def carry(request: bytes) -> bytes:
            ahead.append(store.seq - store.durable_seq)
            return cloud.handle(request)

        for at in range(30):
            phone.insert("tasks", {"id": at, "title": "mine"})
            phone.sync(carry)
            assert store.durable_seq == store.seq
        assert len(ahead) >= 30
        assert not any(ahead)


def test_what_a_live_sync_tells_is_on_the_disk(tmp_path: Path) -> None:
    with (
        http.Server(SyncServer([TASKS])) as running,
        DurableDatabase(tmp_path / "phone") as store,
    ):
        phone = SyncDb("phone", tables=[TASKS], store=store)
        client, cancel = http.Client(phone, running.url), Cancel()
        behind: list[int] = []
        came = threading.Event()

        def synced(_report: object) -> None:
            behind.append(store.seq - store.durable_seq)
            came.set()

        changed: list[int] = []
        watch = phone.watch(lambda _changes: changed.append(store.seq - store.durable_seq), "tasks")
        thread = threading.Thread(target=lambda: client.keep_in_sync(synced=synced, cancel=cancel))
        thread.start()
        for at in range(30):
            assert came.wait(60)
            came.clear()
            running.server.insert("tasks", {"id": at, "title": "theirs"})
        cancel.cancel()
        thread.join(60)
        watch.close()
        assert len(behind) >= 30
        assert changed
        assert not any(behind + changed)


def test_a_feature_store_opens_beside_snapshots(tmp_path: Path) -> None:
    """Opening lays its tables out, which no snapshot may meet: one waits for the other."""
    with DurableDatabase(tmp_path / "db") as store:
        features = FeatureStore(store=store)
        features.create_entity("user", {"id": "int"})
        view = features.create_view("v", "user", {"n": "float"})
        view.ingest({"id": list(range(20_000)), "n": np.arange(20_000.0)})
    for _ in range(5):
        with DurableDatabase(tmp_path / "db") as store:
            over = threading.Event()

            def save(store: DurableDatabase = store, over: threading.Event = over) -> None:
                while not over.is_set():
                    store.checkpoint()

            thread = threading.Thread(target=save)
            thread.start()
            try:
                assert FeatureStore(store=store).view("v").get(5).values["n"] == 5.0
            finally:
                over.set()
                thread.join(60)
