"""Serves Feast, polars and NumPy to the benchmark `features`.

One JSON object a line comes in and one goes out. The first argument is the folder where the benchmark has put its
events and labels as plain arrays, and where answers go.
"""

import atexit
import datetime
import json
import logging
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

FOLDER = Path(sys.argv[1])


def nanoseconds(work: Callable[[], Any], seconds: float) -> float:
    """Of one call, from as many calls as take `seconds`."""
    calls = 0
    begin = time.perf_counter()
    while True:
        work()
        calls += 1
        taken = time.perf_counter() - begin
        if taken >= seconds:
            return taken * 1e9 / calls


class Redis:
    """A Redis server that keeps nothing on disk, on a port of its own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        atexit.register(self.process.kill)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"redis-server does not listen on port {self.port}")


class Feast:
    """A store whose online store is a file of SQLite, which is Feast's own default, or a Redis server."""

    def __init__(self, online: str, entities: int, features: int) -> None:
        if online == "redis":
            self.redis = Redis()
            online_store = {"type": "redis", "connection_string": f"127.0.0.1:{self.redis.port}"}
        else:
            online_store = {"type": "sqlite", "path": str(FOLDER / "online.db")}
        names = [f"f{j}" for j in range(features)]
        now = datetime.datetime.now(tz=datetime.UTC)
        rows = pd.DataFrame({"user": np.arange(entities, dtype=np.int64), "event_timestamp": now})
        values = {name: rows["user"] * 1000.0 + j + 0.25 for j, name in enumerate(names)}
        frame = pd.concat([rows, pd.DataFrame(values)], axis=1)
        path = FOLDER / "feast.parquet"
        frame.head(1).to_parquet(path)
        self.store = FeatureStore(
            config=RepoConfig(
                project="bench",
                provider="local",
                registry=str(FOLDER / f"registry-{online}.db"),
                online_store=online_store,
                entity_key_serialization_version=3,
            )
        )
        user = Entity(name="user", join_keys=["user"], value_type=ValueType.INT64)
        view = FeatureView(
            name="view",
            entities=[user],
            schema=[Field(name=name, dtype=Float64) for name in names],
            source=FileSource(path=str(path), timestamp_field="event_timestamp"),
            ttl=datetime.timedelta(days=365),
        )
        self.store.apply([user, view])
        for begin in range(0, entities, 100):
            self.store.write_to_online_store("view", frame.iloc[begin : begin + 100])

    def get(self, keys: list[int], features: int) -> dict[str, list[Any]]:
        names = [f"view:f{j}" for j in range(features)]
        entity_rows = [{"user": key} for key in keys]
        answer: dict[str, list[Any]] = self.store.get_online_features(features=names, entity_rows=entity_rows).to_dict()
        return answer


class Joins:
    """Events and labels of the benchmark, joined as of the time of each label."""

    def __init__(self, features: int) -> None:
        keys = np.fromfile(FOLDER / "event_keys", dtype=np.int64)
        times = np.fromfile(FOLDER / "event_times", dtype=np.int64)
        values = np.fromfile(FOLDER / "event_values", dtype=np.float64).reshape(-1, features)
        self.label_keys = np.fromfile(FOLDER / "label_keys", dtype=np.int64)
        self.label_times = np.fromfile(FOLDER / "label_times", dtype=np.int64)
        columns = {f"f{j}": values[:, j] for j in range(features)}
        # `join_asof` takes both sides in order of time.
        self.events = pl.DataFrame({"k": keys, "t": times, **columns}).sort("t")
        labels = pl.DataFrame({"k": self.label_keys, "t": self.label_times})
        self.labels = labels.with_row_index("row").sort("t")
        # One number in the order of key and time.
        order = np.lexsort((times, keys))
        self.sorted_keys = keys[order]
        self.sorted = keys[order] << 32 | times[order]
        self.values = np.ascontiguousarray(values[order])

    def polars(self) -> pl.DataFrame:
        return self.labels.join_asof(self.events, on="t", by="k", strategy="backward")

    def polars_answer(self) -> np.ndarray[Any, Any]:
        joined = self.polars().sort("row").drop("row", "k", "t")
        return joined.fill_null(float("nan")).to_numpy()

    def numpy(self) -> np.ndarray[Any, Any]:
        at = np.searchsorted(self.sorted, self.label_keys << 32 | self.label_times, side="right") - 1
        found = self.values[at]
        found[(at < 0) | (self.sorted_keys[at] != self.label_keys)] = np.nan
        return found


class Rivals:
    """What the benchmark asks for."""

    feast: Feast
    joins: Joins

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        seconds = command.get("seconds", 0.0)
        match command["command"]:
            case "feast":
                begin = time.perf_counter()
                self.feast = Feast(command["online"], command["entities"], command["features"])
                return {"seconds": time.perf_counter() - begin}
            case "feast_get":
                keys, features = command["keys"], command["features"]
                if seconds == 0.0:
                    found = self.feast.get(keys, features)
                    return {"rows": [list(row) for row in zip(*(found[f"f{j}"] for j in range(features)), strict=True)]}
                return {"nanoseconds": nanoseconds(lambda: self.feast.get(keys, features), seconds)}
            case "joins":
                self.joins = Joins(command["features"])
                return {}
            case "polars" | "numpy" as subject:
                if seconds == 0.0:
                    found = self.joins.polars_answer() if subject == "polars" else self.joins.numpy()
                    np.ascontiguousarray(found).tofile(FOLDER / "answer")
                    return {}
                work: Callable[[], Any] = self.joins.polars if subject == "polars" else self.joins.numpy
                return {"nanoseconds": nanoseconds(work, seconds)}
            case other:
                raise ValueError(f"there is no command {other}")


def main() -> None:
    """Answers until nothing comes any more."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rivals = Rivals()
    for line in sys.stdin:
        print(json.dumps(rivals.answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
