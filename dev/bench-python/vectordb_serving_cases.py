"""Transformations and experiments of `vectordb` beside plain Python: dicts, lists, `hashlib`, `statistics`."""

import hashlib
import math
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from bench_case import Case
from vectordb.experiment import ABTester, ExperimentGroup
from vectordb.transform.operations import BaseOperation, MissingValueImputer, Normalizer, OneHotEncoder, Scaler
from vectordb.transform.pipeline import TransformationPipeline

Value = Any
"""What a caller may pass: anything."""
Rows = dict[Value, dict[Value, Value]]


class PlainScaler:
    """Minimum and maximum of each numeric feature."""

    def fit(self, data: Rows) -> None:
        """Learns from rows."""
        values = columns(data, numeric=True)
        self.least = {feature: min(known) for feature, known in values.items()}
        self.greatest = {feature: max(known) for feature, known in values.items()}

    def transform(self, data: Rows) -> Rows:
        """Copies of rows, scaled."""
        out = {}
        for entity, row in data.items():
            copy = row.copy()
            for feature, least in self.least.items():
                value = copy.get(feature)
                width = self.greatest[feature] - least
                if isinstance(value, (int, float)) and width:
                    copy[feature] = 0 + (1 - 0) * ((value - least) / width)
            out[entity] = copy
        return out


class PlainNormalizer:
    """Mean and deviation of each numeric feature."""

    def fit(self, data: Rows) -> None:
        """Learns from rows."""
        self.means, self.stds = {}, {}
        for feature, known in columns(data, numeric=True).items():
            mean = math.fsum(known) / len(known)
            self.means[feature] = mean
            self.stds[feature] = math.sqrt(math.fsum((x - mean) ** 2 for x in known) / len(known))

    def transform(self, data: Rows) -> Rows:
        """Copies of rows, normalised."""
        out = {}
        for entity, row in data.items():
            copy = row.copy()
            for feature, mean in self.means.items():
                value = copy.get(feature)
                if isinstance(value, (int, float)) and self.stds[feature]:
                    copy[feature] = (value - mean) / self.stds[feature]
            out[entity] = copy
        return out


class PlainEncoder:
    """The sorted categories of each feature that is not numeric."""

    def fit(self, data: Rows) -> None:
        """Learns from rows."""
        self.categories = {feature: sorted(set(known)) for feature, known in columns(data, numeric=False).items()}

    def transform(self, data: Rows) -> Rows:
        """Copies of rows, encoded."""
        out = {}
        for entity, row in data.items():
            copy = row.copy()
            for feature, categories in self.categories.items():
                value = copy.get(feature)
                if value is not None:
                    del copy[feature]
                    for category in categories:
                        copy[f"{feature}_{category}"] = 1.0 if value == category else 0.0
            out[entity] = copy
        return out


class PlainImputer:
    """The mean of each feature."""

    def fit(self, data: Rows) -> None:
        """Learns from rows."""
        self.values = {feature: math.fsum(known) / len(known) for feature, known in columns(data, numeric=True).items()}

    def transform(self, data: Rows) -> Rows:
        """Copies of rows without gaps."""
        out = {}
        for entity, row in data.items():
            copy = row.copy()
            for feature, value in self.values.items():
                if feature in copy and copy[feature] is None:
                    copy[feature] = value
            out[entity] = copy
        return out


def columns(data: Rows, numeric: bool) -> dict[Value, list[Value]]:
    """Values of the features whose first value is a number, or of the others."""
    chosen: dict[Value, bool] = {}
    values: dict[Value, list[Value]] = {}
    for row in data.values():
        for feature, value in row.items():
            if value is None:
                continue
            is_number = isinstance(value, (int, float))
            if feature not in chosen:
                chosen[feature] = is_number == numeric
                if chosen[feature]:
                    values[feature] = []
            if chosen[feature] and is_number == numeric:
                values[feature].append(value)
    return values


class PlainPipeline:
    """Operations in a row."""

    def __init__(self, operations: list[Value]) -> None:
        self.operations = operations

    def fit(self, data: Rows) -> None:
        """Fits each on what those before it make."""
        for operation in self.operations:
            operation.fit(data)
            data = operation.transform(data)

    def transform(self, data: Rows) -> Rows:
        """Applies each."""
        for operation in self.operations:
            data = operation.transform(data)
        return data


class PlainGroup:
    """Entities and outcomes of an arm."""

    def __init__(self, allocation: float) -> None:
        self.allocation = allocation
        self.entities: set[Value] = set()
        self.outcomes: dict[Value, dict[str, Value]] = {}

    def record_outcome(
        self, entity: Value, value: Value, kind: Value = None, metadata: Value = None, timestamp: Value = None
    ) -> bool:
        """Keeps the outcome of an entity."""
        if entity not in self.entities:
            return False
        self.outcomes[entity] = {
            "value": value,
            "type": kind,
            "timestamp": time.time() if timestamp is None else timestamp,
            "metadata": metadata or {},
        }
        self.last_modified = time.time()
        return True

    def get_outcome(self, entity: Value) -> Value:
        """The outcome of an entity."""
        return self.outcomes.get(entity)

    def calculate_statistics(self, kind: Value = None) -> dict[str, Value]:
        """What numeric outcomes are like."""
        values = [outcome["value"] for outcome in self.outcomes.values() if kind is None or outcome["type"] == kind]
        numbers = [value for value in values if isinstance(value, (int, float))]
        if not numbers:
            return {"count": len(values)}
        described = {"count": len(numbers), "mean": mean(numbers), "min": min(numbers), "max": max(numbers)}
        if len(numbers) > 1:
            variance = spread(numbers)
            described |= {"median": statistics.median(numbers), "stdev": math.sqrt(variance), "variance": variance}
        return described


def mean(values: list[Value]) -> float:
    """Of numbers."""
    return math.fsum(values) / len(values)


def spread(values: list[Value]) -> float:
    """The sample variance."""
    centre = mean(values)
    return math.fsum((x - centre) ** 2 for x in values) / (len(values) - 1)


class PlainTester:
    """Entities to groups by MD5."""

    def __init__(self, salt: str, groups: dict[Value, PlainGroup]) -> None:
        self.salt = salt
        self.groups = groups

    def assign_entity(self, entity: Value) -> Value:
        """The group of an entity, which it joins."""
        digest = hashlib.md5(f"{self.salt}:{entity}".encode()).digest()
        place = int.from_bytes(digest, "big") / 2**128
        total = sum(group.allocation for group in self.groups.values())
        running = 0.0
        chosen = None
        for group_id, group in self.groups.items():
            running += group.allocation / total
            chosen = group_id
            if place < running:
                break
        for group_id, group in self.groups.items():
            if group_id == chosen:
                group.entities.add(entity)
            else:
                group.entities.discard(entity)
        return chosen

    def assign_entities(self, entities: list[Value]) -> dict[Value, Value]:
        """The groups of entities."""
        return {entity: self.assign_entity(entity) for entity in entities}

    def get_entity_group(self, entity: Value) -> Value:
        """The group that an entity is in."""
        for group_id, group in self.groups.items():
            if entity in group.entities:
                return group_id
        return None

    def record_outcome(self, entity: Value, value: Value, kind: Value = None) -> bool:
        """Keeps an outcome in the entity's group."""
        group_id = self.get_entity_group(entity)
        return group_id is not None and self.groups[group_id].record_outcome(entity, value, kind)

    def calculate_lift(self, control: Value, test: Value) -> dict[str, Value]:
        """How far apart two groups are."""
        a, b = ([outcome["value"] for outcome in self.groups[g].outcomes.values()] for g in (control, test))
        a, b = ([value for value in values if isinstance(value, (int, float))] for values in (a, b))
        apart = mean(b) - mean(a)
        margin = 1.96 * math.sqrt(spread(a) / len(a) + spread(b) / len(b))
        return {"absolute_lift": apart, "confidence_interval": (apart - margin, apart + margin)}


def rows_of(count: int) -> Rows:
    """Rows of 8 numbers, one in twenty missing, and 2 categories."""
    draw = random.Random(1)
    names = [f"n{j}" for j in range(8)]
    rows = {}
    for i in range(count):
        row: dict[str, Value] = {
            name: draw.gauss(j, 1) if draw.random() > 0.05 else None for j, name in enumerate(names)
        }
        row["color"] = draw.choice(["red", "green", "blue"])
        row["size"] = draw.choice(["s", "m", "l", "xl"])
        rows[f"e{i}"] = row
    return rows


def same(ours: Callable[[], Value], plain: Callable[[], Value]) -> Callable[[], None]:
    """A check of rows or dicts of numbers."""

    def check() -> None:
        close(ours(), plain())

    return check


def close(a: Value, b: Value) -> None:
    """Raises unless numbers in both are equal but for rounding."""
    if isinstance(b, dict):
        assert list(a) == list(b)
        for key in b:
            close(a[key], b[key])
    elif isinstance(b, float):
        assert math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9), (a, b)
    else:
        assert a == b


def transforms(rows: Rows) -> list[Case]:
    """Operations and pipelines."""
    cases = []
    one = {"e0": rows["e0"]}
    pairs: list[tuple[str, Callable[[], Value], Callable[[], Value]]] = [
        ("Scaler", Scaler, PlainScaler),
        ("Normalizer", Normalizer, PlainNormalizer),
        ("OneHotEncoder", OneHotEncoder, PlainEncoder),
        ("MissingValueImputer", MissingValueImputer, PlainImputer),
        (
            "TransformationPipeline",
            lambda: TransformationPipeline("p", [MissingValueImputer(), Normalizer(), Scaler(), OneHotEncoder()]),
            lambda: PlainPipeline([PlainImputer(), PlainNormalizer(), PlainScaler(), PlainEncoder()]),
        ),
    ]
    for name, make, make_plain in pairs:
        ours, plain = make(), make_plain()
        ours.fit(rows)
        plain.fit(rows)

        def check(ours: Value = ours, plain: Value = plain) -> None:
            close(ours.transform(rows), plain.transform(rows))

        cases += [
            Case(
                f"vectordb {name}.fit 10k",
                partial(ours.fit, rows),
                partial(plain.fit, rows),
                operations=len(rows),
                bulk=True,
                check=check,
            ),
            Case(
                f"vectordb {name}.transform 10k",
                partial(ours.transform, rows),
                partial(plain.transform, rows),
                operations=len(rows),
                bulk=True,
            ),
            Case(
                f"vectordb {name}.transform one row",
                partial(ours.transform, one),
                partial(plain.transform, one),
            ),
        ]
    scaler = BaseOperation.from_dict(Scaler().to_dict())
    scaler.fit(rows, ["absent"])
    cases.append(
        Case(
            "vectordb transform 10k unchanged",
            lambda: scaler.transform(rows),
            lambda: {entity: row.copy() for entity, row in rows.items()},
            operations=len(rows),
            bulk=True,
        )
    )
    return cases


def experiments() -> list[Case]:
    """Assignments, outcomes and statistics."""
    ids = [f"user{i}" for i in range(10_000)]
    shares = {"control": 0.5, "blue": 0.25, "green": 0.25}
    ours = ABTester("e", groups={group: ExperimentGroup(group, allocation=share) for group, share in shares.items()})
    plain = PlainTester("e", {group: PlainGroup(share) for group, share in shares.items()})
    draw = random.Random(2)
    ours.assign_entities(ids)
    plain.assign_entities(ids)
    for entity in ids:
        value = draw.gauss(10, 2)
        ours.record_outcome(entity, value)
        plain.record_outcome(entity, value)
    group, plain_group = ours.get_group("control"), plain.groups["control"]
    one = ids[7]
    holder, plain_holder = ours.get_group(ours.get_entity_group(one)), plain.groups[plain.get_entity_group(one)]

    def lift(tester: Value) -> dict[str, Value]:
        found = tester.calculate_lift("control", "blue")
        return {key: found[key] for key in ("absolute_lift", "confidence_interval")}

    def check_lift() -> None:
        a, b = lift(ours), lift(plain)
        close(a["absolute_lift"], b["absolute_lift"])
        close(dict(enumerate(a["confidence_interval"])), dict(enumerate(b["confidence_interval"])))

    return [
        Case(
            "vectordb ABTester.assign_entity",
            lambda: ours.assign_entity("user7"),
            lambda: plain.assign_entity("user7"),
            check=lambda: close(ours.assign_entity("user7"), plain.assign_entity("user7")),
        ),
        Case(
            "vectordb ABTester.assign_entities 10k",
            lambda: ours.assign_entities(ids),
            lambda: plain.assign_entities(ids),
            operations=len(ids),
            bulk=True,
            check=same(lambda: ours.assign_entities(ids), lambda: plain.assign_entities(ids)),
        ),
        Case(
            "vectordb ABTester.get_entity_group",
            lambda: ours.get_entity_group(one),
            lambda: plain.get_entity_group(one),
        ),
        Case(
            "vectordb ABTester.record_outcome",
            lambda: ours.record_outcome(one, 1.5, "score"),
            lambda: plain.record_outcome(one, 1.5, "score"),
        ),
        Case(
            "vectordb ExperimentGroup.record_outcome",
            lambda: holder.record_outcome(one, 1.5, "score"),
            lambda: plain_holder.record_outcome(one, 1.5, "score"),
        ),
        Case(
            "vectordb ExperimentGroup.get_outcome",
            lambda: holder.get_outcome(one),
            lambda: plain_holder.get_outcome(one),
        ),
        Case(
            "vectordb ExperimentGroup.calculate_statistics 5k",
            lambda: group.calculate_statistics(),
            lambda: plain_group.calculate_statistics(),
            bulk=True,
            check=same(lambda: group.calculate_statistics(), lambda: plain_group.calculate_statistics()),
        ),
        Case(
            "vectordb ABTester.calculate_lift 7.5k",
            lambda: ours.calculate_lift("control", "blue"),
            lambda: plain.calculate_lift("control", "blue"),
            bulk=True,
            check=check_lift,
        ),
    ]


def cases() -> list[Case]:
    """All of them."""
    return transforms(rows_of(10_000)) + experiments()
