"""`vectordb.features`: what is known of entities, now and at points in the past."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from bench_case import Case
from vectordb.features import FeatureStore

ENTITIES = 1_000
EVENTS = 20_000
LABELS = 10_000
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
NAMES = ("fare", "km", "tip")

Event = tuple[int, datetime, tuple[float, ...]]


class PlainStore:
    """Events of each entity in the order of their times."""

    def __init__(self, events: Iterable[Event]) -> None:
        self.times: dict[int, list[datetime]] = {}
        self.values: dict[int, list[tuple[float, ...]]] = {}
        for key, time, values in sorted(events, key=lambda event: event[1]):
            self.times.setdefault(key, []).append(time)
            self.values.setdefault(key, []).append(values)

    def get(self, key: int, as_of: datetime) -> dict[str, float] | None:
        """The last values of an entity by name."""
        at = bisect_right(self.times.get(key, []), as_of)
        return dict(zip(NAMES, self.values[key][at - 1], strict=True)) if at else None

    def get_many(self, keys: list[int], as_of: datetime) -> list[list[float]]:
        """A row for each entity, NaN where nothing is known."""
        return self.join(keys, [as_of] * len(keys))

    def join(self, keys: list[int], as_of: list[datetime]) -> list[list[float]]:
        """A row for each entity and time."""
        rows = []
        for key, time in zip(keys, as_of, strict=True):
            at = bisect_right(self.times.get(key, []), time)
            rows.append(list(self.values[key][at - 1]) if at else [float("nan")] * len(NAMES))
        return rows


def same(ours: np.ndarray, plain: list[list[float]]) -> None:
    """Whether an array holds what the rows hold."""
    np.testing.assert_array_equal(ours, np.array(plain))


def cases() -> list[Case]:
    """One entity, many, and a training set with a time for each row."""
    chance = random.Random(5)
    events: list[Event] = [
        (at % ENTITIES, BEGIN + timedelta(seconds=60 * at), tuple(chance.random() for _ in NAMES))
        for at in range(EVENTS)
    ]
    store = FeatureStore()
    store.create_entity("user", {"user_id": "int"})
    view = store.create_view("rides", "user", dict.fromkeys(NAMES, "float"))
    columns: dict[str, list[Any]] = {"user_id": [key for key, _, _ in events]}
    for at, name in enumerate(NAMES):
        columns[name] = [values[at] for _, _, values in events]
    times = [time for _, time, _ in events]
    view.ingest({**columns, "event_time": times, "known_at": times})
    plain = PlainStore(events)
    retrieval = store.retrieval("rides")
    now = BEGIN + timedelta(days=30)
    keys = [chance.randrange(ENTITIES) for _ in range(1_000)]
    label_keys = [chance.randrange(ENTITIES) for _ in range(LABELS)]
    label_times = [BEGIN + timedelta(seconds=chance.randrange(60 * EVENTS)) for _ in range(LABELS)]
    labels = {"user_id": label_keys, "event_time": label_times}

    def check_one() -> None:
        if dict(view.get(7, now).values) != plain.get(7, now):
            raise AssertionError("the values differ")

    return [
        Case("vectordb features FeatureView.get", lambda: view.get(7, now), lambda: plain.get(7, now), check=check_one),
        Case(
            "vectordb features Retrieval.get_many 1,000",
            lambda: retrieval.get_many(keys, now),
            lambda: plain.get_many(keys, now),
            operations=len(keys),
            bulk=True,
            check=lambda: same(retrieval.get_many(keys, now).values, plain.get_many(keys, now)),
        ),
        Case(
            "vectordb features Retrieval.join 10,000",
            lambda: retrieval.join(labels, known="ever"),
            lambda: plain.join(label_keys, label_times),
            operations=LABELS,
            bulk=True,
            check=lambda: same(retrieval.join(labels, known="ever").values, plain.join(label_keys, label_times)),
        ),
    ]
