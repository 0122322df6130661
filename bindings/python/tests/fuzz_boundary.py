"""Calls everything that the packages offer with whatever Python can hold.

Each call may return or raise an `Exception`. A panic of the native module, a `SystemError` or the end of the process is
a failure. `python fuzz_boundary.py --seed 7 --calls 100000` repeats a run; `--leaks 1000000` looks for references that
calls keep, well-formed and failing ones.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import decimal
import enum
import faulthandler
import gc
import importlib
import inspect
import io
import os
import pkgutil
import random
import resource
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Callable

MEMORY_BYTES_MAX = 6 << 30
POOL_MAX = 400

# Those never return, or start what outlives the call.
SKIPPED = {
    "_worker_loop",
    "start_worker",
    "start_sync_timer",
    "_sync_callback",
    "_arm",
    "run",
    "mro",
    "_setup_battery_aware_client",
    "serve_forever",
    "sync_async",
}

# As many Python objects are made as these say.
SIZES = {"dimensions", "n_projections", "length"}
SIZE_MAX = 1000

# What parameters of these names usually take.
USUAL: dict[str, Callable[[random.Random], Any]] = {
    "table_name": lambda chance: chance.choice(["t", "u", "unknown"]),
    "table": lambda chance: chance.choice(["t", "u", "unknown"]),
    "row": lambda chance: {"id": chance.randrange(20), "name": chance.choice(["n", None, 5])},
    "changes": lambda chance: {"name": chance.choice(["m", None, b"b"])},
    "key": lambda chance: chance.randrange(20),
    "column": lambda chance: chance.choice(["name", "data", "unknown"]),
    "filter": lambda chance: chance.choice(["id > 3", "name ==", {"id": 1}, {"unknown": None}, "name like $x"]),
    "record": lambda chance: {"id": chance.randrange(20), "name": "n", "data": [1, {"a": 2.5}]},
    "primary_key": lambda chance: (chance.randrange(20),),
    "primary_key_values": lambda chance: [chance.randrange(20)],
    "client_id": lambda chance: chance.choice(["c", "d", None]),
    "name": lambda chance: chance.choice(["t", "n", "id"]),
    "dimension": lambda _: 3,
    "dimensions": lambda _: 3,
    "vector": lambda chance: vector(chance),
    "other": lambda chance: vector(chance),
    "v1": lambda chance: vector(chance),
    "v2": lambda chance: vector(chance),
    "query": lambda chance: vector(chance),
    "vectors": lambda chance: [vector(chance) for _ in range(4)],
    "values": lambda chance: [chance.random() for _ in range(3)],
    "data": lambda chance: chance.choice([rows_of_features(chance), [[chance.random() for _ in range(3)]] * 4]),
    "rows": lambda chance: list(rows_of_features(chance).values()),
    "feature_names": lambda chance: chance.choice([None, ["a", "c"], ["unknown"]]),
    "entity_id": lambda chance: f"e{chance.randrange(5)}",
    "entity_ids": lambda chance: [f"e{chance.randrange(5)}" for _ in range(3)],
    "feature_name": lambda chance: chance.choice(["a", "v", "unknown"]),
    "group_id": lambda chance: chance.choice(["g", "h", "unknown"]),
    "allocations": lambda chance: {"g": chance.random(), "h": chance.random() / 2},
    "groups": lambda _: None,
    "operations": lambda _: None,
    "operation": lambda chance: chance.choice(["add", "mean", "normalize", "subtract"]),
    "distance_metric": lambda chance: chance.choice(["euclidean", "cosine", "manhattan", "Angular"]),
    "filter_fn": lambda chance: chance.choice([None, lambda *_: True, lambda *_: chance.random() < 0.5]),
    "timestamp": lambda chance: chance.choice([None, 0, 1e9, float("nan"), float("-inf")]),
    "field_type": lambda chance: chance.choice(["string", "integer", "float", "array", "object", "any", "none such"]),
    "constraints": lambda chance: {chance.choice(["minimum", "max_length", "pattern", "unique_items", "t"]): 1},
    "codec": lambda chance: chance.choice(["none", "lz4", "zstd", "t"]),
    "format": lambda chance: chance.choice(["json", "msgpack", "protobuf", "arrow", "t"]),
    "level": lambda chance: chance.choice([-1, 0, 6, 9]),
    "prefix": lambda _: None,
    "length": lambda chance: chance.randrange(40),
    "n_projections": lambda chance: chance.randrange(12),
    "n_tables": lambda chance: chance.randrange(12),
    "X": lambda chance: [[chance.random() for _ in range(3)] for _ in range(4)],
    "k": lambda chance: chance.randrange(5),
    "n": lambda chance: chance.randrange(5),
    "id": lambda chance: f"v{chance.randrange(9)}",
    "metadata": lambda chance: {"color": chance.choice(["red", "blue"])},
    "priority": lambda _: None,
    "data_type": lambda chance: chance.choice([int, str, float, list]),
    "source_version": lambda _: 1,
    "target_version": lambda _: 2,
}


def vector(chance: random.Random) -> Any:
    """A vector that fits the others, mostly."""
    from vectordb import Vector

    values = [
        chance.choice([chance.random(), 0.0, -0.0, 1e308, float("nan")]) for _ in range(chance.choice([3, 3, 3, 2]))
    ]
    return Vector(values, chance.choice([None, f"v{chance.randrange(9)}"]), {"color": "red"})


def rows_of_features(chance: random.Random) -> dict[Any, Any]:
    """What transformations take."""
    values = [1, 2.5, None, True, "x", float("nan"), 10**400, "\ud800"]
    return {f"e{row}": {name: chance.choice(values) for name in ("a", "b", "c")} for row in range(chance.randrange(7))}


def recursive() -> Any:
    loop: list[Any] = []
    loop.append({"again": loop})
    return loop


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class Awkward:
    """Raises wherever it is asked."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no equality")

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __bool__(self) -> bool:
        raise RuntimeError("no truth")

    def __len__(self) -> int:
        return -1

    def __iter__(self) -> Iterator[Any]:
        raise RuntimeError("no elements")

    def __float__(self) -> float:
        raise RuntimeError("no number")

    def __deepcopy__(self, memo: Any) -> Any:
        raise RuntimeError("no copy")


class Lying(dict):  # type: ignore[type-arg]
    """A dict that shows other keys than it has."""

    def keys(self) -> Any:
        return ["x", 5, None]

    def __getitem__(self, key: Any) -> Any:
        raise KeyError(key)


def arrays(chance: random.Random) -> Any:
    """Arrays of wrong types, shapes and orders, read-only ones and empty ones."""
    import numpy

    shape = chance.choice([(), (0,), (1,), (3,), (4, 3), (3, 4), (0, 3), (2, 2, 3), (3, 0)])
    kind = chance.choice(["f4", "f8", ">f8", "f2", "i1", "i8", "u8", "?", "c16", "O", "U3", "S3", "M8[s]", "f4,i4"])
    array = numpy.zeros(shape, kind)
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        array[...] = chance.choice([1, -1.5, float("nan"), float("inf")])
    if chance.random() < 0.3:
        array = numpy.asfortranarray(array)
    if chance.random() < 0.3:
        array = array[..., ::-1] if array.ndim else array
    if chance.random() < 0.3:
        array.flags.writeable = False
    return array


class Fuzzer:
    """Objects made so far, and calls on them."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.pool: list[Any] = []
        self.callables: list[tuple[str, Any]] = []
        self.classes: list[type] = []
        self.raised = self.returned = 0
        for package in ("syncdb", "vectordb", "common"):
            root = importlib.import_module(package)
            names = [package] + [found.name for found in pkgutil.walk_packages(root.__path__, f"{package}.")]
            for name in names:
                module = importlib.import_module(name)
                for member in vars(module).values():
                    if getattr(member, "__module__", None) != name:
                        continue
                    if inspect.isclass(member) and member not in self.classes:
                        self.classes.append(member)
                    elif callable(member):
                        self.callables.append((f"{name}.{getattr(member, '__name__', '?')}", member))
        self._fill()

    def _fill(self) -> None:
        from syncdb.client import SyncClient, SyncServer
        from syncdb.db.database import Database
        from syncdb.db.schema import Column, DatabaseSchema, TableSchema

        columns = [Column("id", int, primary_key=True), Column("name", str), Column("data", object, default=[1])]
        tables = {name: TableSchema(name, [Column(**vars(column)) for column in columns]) for name in ("t", "u")}
        schema = DatabaseSchema(tables)
        server, client = SyncServer(schema), SyncClient(schema, "mock://server", power_aware=False)
        client.sync_engine = server.sync_engine
        client.server_connected = True
        self.pool += [schema, Database(schema), server, client, *self._objects()]
        from syncdb.engine import Field, Schema, SyncDb
        from syncdb.engine import SyncServer as EngineServer

        rows = Schema("t", {"id": int, "name": Field(str, nullable=True), "data": Field(object, nullable=True)}, "id")
        replica, cloud = SyncDb("a", tables=[rows]), EngineServer([rows])
        replica.sync(cloud)
        self.pool += [rows, replica, cloud, replica.transaction()]
        for kind in self.classes:
            if not issubclass(kind, enum.Enum):
                self.call(kind.__name__, kind)
        for kind in self.classes:
            if issubclass(kind, enum.Enum):
                self.pool += list(kind)

    def _objects(self) -> list[Any]:
        """Of `vectordb` and `common`, with something in them."""
        from vectordb.feature_store import LineageTracker
        from vectordb.indexing import ApproximateNearestNeighbor

        from common import BaseRecord, ChangeTracker, InMemoryStorage, Schema, SchemaField, extensions
        from vectordb import ABTester, BatchProcessor, FeatureStore, TransformationPipeline, Vector, VectorIndex
        from vectordb.transform import MissingValueImputer, Normalizer, OneHotEncoder, Scaler

        chance = self.chance
        indexes: list[Any] = [VectorIndex(), VectorIndex("cosine"), ApproximateNearestNeighbor(3)]
        vectors = [Vector([chance.random() for _ in range(3)], f"v{at}") for at in range(20)]
        for index in indexes:
            index.add_batch(vectors)
        store = FeatureStore(3)
        for at in range(5):
            store.set_feature(f"e{at}", "a", at)
            store.set_feature(f"e{at}", "v", [1.0, 2.0, at], parent_features=[("e0", "a")], transformation="t")
        tester = ABTester("x")
        for name in ("g", "h"):
            tester.add_group(name, allocation=0.5)
        for at in range(5):
            tester.assign_entity(f"e{at}")
            tester.record_outcome(f"e{at}", at)
        steps = [MissingValueImputer(), Scaler(), Normalizer(), OneHotEncoder()]
        rows = {"e0": {"a": 1.0, "b": "x", "c": None}, "e1": {"a": 2, "b": "y", "c": 5}}
        pipeline = TransformationPipeline("p", steps)
        pipeline.fit(rows)
        storage: InMemoryStorage[Any] = InMemoryStorage()
        storage.add_index("name")
        tracker: ChangeTracker[Any] = ChangeTracker()
        for at in range(5):
            record = BaseRecord(at, {"name": f"n{at}"})
            storage.add(record)
            tracker.record_create(record)
        lineage = LineageTracker()
        lineage.add_node("feature", node_id="a")
        fields = [SchemaField("id", "integer"), SchemaField("name", "string"), SchemaField("data", "any")]
        schema = Schema("t", fields)
        table = extensions.Table(schema, "id")
        table.insert({"id": 1, "name": "n", "data": [1]})
        others = [store, BatchProcessor(store), tester, pipeline, storage, tracker, lineage, schema, table]
        return [*indexes, *vectors[:3], *steps, *others]

    def value(self, depth: int = 0) -> Any:
        """Anything."""
        chance = self.chance
        kind = chance.randrange(30)
        if kind < 6 and self.pool:
            return chance.choice(self.pool)
        if kind < 8:
            return arrays(chance)
        if kind < 11 and depth < 3:
            return [self.value(depth + 1) for _ in range(chance.randrange(4))]
        if kind < 13 and depth < 3:
            keys = ["id", "name", "data", 5, None, 2.5, (1,), b"k", "\ud800", True]
            return {chance.choice(keys): self.value(depth + 1) for _ in range(chance.randrange(4))}
        if kind < 14 and depth < 3:
            return tuple(self.value(depth + 1) for _ in range(chance.randrange(3)))
        hard: list[Callable[[], Any]] = [Awkward, Lying, recursive, partial(deep, 3000), partial(deep, 200)]
        functions: list[Any] = [len, print, lambda *_: None, lambda: 1 / 0, iter(()), range(3), {1}, frozenset()]
        simple: list[Callable[[], Any]] = [
            lambda: None,
            lambda: chance.choice([True, False]),
            lambda: chance.choice([0, 1, -1, 3, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**40]),
            lambda: chance.choice([0.0, -0.0, 1.5, -1e308, 1e308, float("nan"), float("inf"), 5e-324]),
            lambda: chance.choice(["", "t", "id", "\0", "\ud800", "é" * 300, "[", "{}", "null", '{"id": 1}']),
            lambda: chance.choice([b"", b"\0", b"\1\7", b"x\x9c", b"\xff" * 300, bytearray(b"a"), memoryview(b"a")]),
            lambda: chance.choice([int, str, float, list, dict, object, type(None), Awkward]),
            lambda: chance.choice(functions),
            lambda: chance.choice([datetime.datetime.max, datetime.date.min, decimal.Decimal("NaN"), 1j]),
            lambda: chance.choice(hard)(),
        ]
        return chance.choice(simple)()

    def arguments(self, function: Any) -> tuple[list[Any], dict[str, Any]]:
        """Arguments that may fit, more often than not."""
        chance = self.chance
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):
            return [self.value() for _ in range(chance.randrange(3))], {}
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in parameters:
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.default is not parameter.empty and chance.random() < 0.5:
                continue
            usual = USUAL.get(parameter.name)
            value = usual(chance) if usual and chance.random() < 0.6 else self.value()
            if parameter.name in SIZES and isinstance(value, int) and value > SIZE_MAX:
                value %= SIZE_MAX
            kwargs[parameter.name] = value
        if chance.random() < 0.02:
            kwargs["unheard_of"] = self.value()
        for parameter in parameters:
            if parameter.kind is not parameter.POSITIONAL_ONLY or parameter.name not in kwargs:
                break
            args.append(kwargs.pop(parameter.name))
        return args, kwargs

    def call(self, name: str, function: Any) -> None:
        """One call, which may do anything but end badly."""
        args, kwargs = self.arguments(function)
        given = [type(arg).__name__ for arg in args] + [f"{key}: {type(kwargs[key]).__name__}" for key in kwargs]
        note(f"{name}({', '.join(given)})")
        try:
            result = function(*args, **kwargs)
        except SystemError:
            raise
        except Exception:
            self.raised += 1
            return
        self.returned += 1
        if type(result).__module__.split(".")[0] in ("syncdb", "vectordb", "common"):
            if len(self.pool) < POOL_MAX:
                self.pool.append(result)
            else:
                self.pool[self.chance.randrange(4, POOL_MAX)] = result

    def step(self) -> None:
        """Makes an object, calls a function, or calls a method of an object."""
        chance = self.chance
        dice = chance.random()
        if dice < 0.15:
            kind = chance.choice(self.classes)
            self.call(kind.__name__, kind)
        elif dice < 0.2 and self.callables:
            self.call(*chance.choice(self.callables))
        else:
            target = chance.choice(self.pool)
            names = [name for name in dir(type(target)) if not name.startswith("__") or name in SPECIAL]
            name = chance.choice(names)
            if name in SKIPPED or "file" in name or "save" in name or "load" in name or "export" in name:
                return
            note(f"{type(target).__name__}.{name}")
            try:
                method = getattr(target, name)
            except SystemError:
                raise
            except Exception:
                return
            if callable(method) and not inspect.isclass(method):
                self.call(f"{type(target).__name__}.{name}", method)


SPECIAL = {"__eq__", "__repr__", "__lt__", "__len__", "__iter__", "__getitem__", "__add__", "__mul__", "__contains__"}
JOURNAL: list[int] = []


def note(text: str) -> None:
    """Leaves what is about to happen where it can be read after an abort."""
    if JOURNAL:
        os.pwrite(JOURNAL[0], text.encode("utf-8", "replace")[:500].ljust(501), 0)


def fuzz(seed: int, calls: int) -> Fuzzer:
    """That many steps, the same for the same seed."""
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, resource.RLIM_INFINITY))
    time.sleep = lambda _seconds: None
    threading.excepthook = lambda _: None
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        fuzzer = Fuzzer(seed)
        for _ in range(calls):
            fuzzer.step()
        os.chdir("/")
    return fuzzer


def scenarios() -> dict[str, Callable[[], Any]]:
    """Calls that leave things as they were."""
    from syncdb.compression.type_compressor import PayloadCompressor
    from syncdb.db.database import Database
    from syncdb.db.schema import Column, DatabaseSchema, TableSchema
    from syncdb.schema.schema_manager import ColumnChange, SchemaMigrator, TableChange
    from vectordb.collections import VectorDb
    from vectordb.search import ExactIndex

    index = ExactIndex([[float(at), 1.0] for at in range(50)])
    films = VectorDb().create_collection("films", 2, {"title": str})
    films.upsert_many(range(50), [[float(at), 1.0] for at in range(50)], [{"title": "t" * at} for at in range(50)])

    def search_and_change() -> None:
        index.search([3.0, 1.0], 5, among=[1, 2, 3])
        index.remove(index.insert([3.0, 2.0]))

    payload = PayloadCompressor()
    record = {"id": 1, "name": "n" * 60, "list": [1.5, None, (True, b"x" * 70)], "at": datetime.datetime(2020, 1, 1)}
    blob = payload.compress_record("t", record)
    schema = DatabaseSchema({"t": TableSchema("t", [Column("id", int, primary_key=True), Column("name", str)])})
    database, other = Database(schema), Database(schema)
    row = {"id": 1, "name": "n"}
    for at in range(3):
        other.insert("t", {"id": at})
    migrator = SchemaMigrator(None)
    add = TableChange("modify", "t", [ColumnChange("add", "x", Column("x", list, default=[1]))])
    remove = TableChange("modify", "t", [ColumnChange("remove", "x")])

    def failing(function: Callable[..., Any], *args: Any) -> Callable[[], None]:
        def call() -> None:
            try:
                function(*args)
            except Exception:
                return
            raise AssertionError("it was to fail")

        return call

    def write() -> None:
        database.insert("t", row)
        database.delete("t", (1,))
        database.tables["t"].change_log.clear()

    def migrate() -> None:
        migrator._apply_table_change(other, add, {})
        migrator._apply_table_change(other, remove, {})

    def broken(_row: Any, _schema: Any) -> None:
        raise ValueError

    return {
        "search and change an index": search_and_change,
        "search an index for what is no vector": failing(index.search, [1.0, "x"]),
        "search a collection": lambda: films.search([3.0, 1.0], 5, filter="title != 'ttt'"),
        "search a collection with a wrong filter": failing(partial(films.search, filter={"eq": None}), [3.0, 1.0]),
        "compress": lambda: payload.compress_record("t", record),
        "decompress": lambda: payload.decompress_record("t", blob),
        "compress a key that is no text": failing(payload.compress_record, "t", {"a": [1, {5: 1}]}),
        "compress a great integer": failing(payload.compress_record, "t", {"a": 2**70}),
        "decompress a part": failing(payload.decompress_record, "t", blob[:-3]),
        "write": write,
        "read": lambda: other.query("t", {"id": 1}),
        "insert what is there": failing(other.insert, "t", {"id": 1}),
        "insert what is invalid": failing(other.insert, "t", {"id": 9, "unknown": 1}),
        "migrate": migrate,
        "migrate with a function that fails": failing(migrator._apply_table_change, other, add, {"t": broken}),
    }


def leaks(calls: int) -> list[str]:
    """Scenarios after which more memory is in use than before, by more than a hundredth of a block a call."""
    found = []
    for name, call in scenarios().items():
        each = max(1, calls // len(scenarios()))
        for _ in range(min(each, 2_000)):
            call()
        gc.collect()
        before, resident = sys.getallocatedblocks(), resident_bytes()
        for _ in range(each):
            call()
        gc.collect()
        blocks, grown = sys.getallocatedblocks() - before, resident_bytes() - resident
        if blocks > 200 + each // 100 or grown > (16 << 20) + 8 * each:
            found.append(f"{name}: {blocks} blocks and {grown} bytes more after {each} calls")
    return found


def resident_bytes() -> int:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def main() -> None:
    """Fuzzes by seed, or looks for leaks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--leaks", type=int, default=0, help="look for leaks in that many calls instead")
    parser.add_argument("--journal", help="a file that holds the last call, for runs that abort")
    options = parser.parse_args()
    faulthandler.enable()
    if options.journal:
        JOURNAL.append(os.open(options.journal, os.O_WRONLY | os.O_CREAT, 0o600))
    if options.leaks:
        found = leaks(options.leaks)
        print("\n".join(found) or "no leaks")
        sys.exit(bool(found))
    fuzzer = fuzz(options.seed, options.calls)
    print(f"seed {options.seed}: {fuzzer.returned} calls returned, {fuzzer.raised} raised")


if __name__ == "__main__":
    main()
