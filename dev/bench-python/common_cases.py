"""Cases of the package `common`, beside plain Python that keeps the same contract."""

# Values of any type, and names that the package has too.
# ruff: noqa: A002, ANN401

import base64
import copy
import json
import random
import re
import string
import time
import uuid
import zlib
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

import common.core as core
import common.operations as operations
import common.optimization.compression as compression
from bench_case import Case
from common.utils import id_generator, time_utils, type_utils, validation

ROWS = 10_000


class Row(core.BaseRecord):
    """A record with two fields."""

    def __init__(self, id: str, city: str, age: int) -> None:
        """Fields beside the id."""
        super().__init__(id=id)
        self.city = city
        self.age = age

    def to_dict(self) -> dict[str, Any]:
        """With the fields."""
        return {**super().to_dict(), "city": self.city, "age": self.age}


def rows() -> list[Row]:
    """Rows in 100 cities."""
    return [Row(f"row-{number}", f"city-{number % 100}", number % 70) for number in range(ROWS)]


def same(ours: object, plain: object) -> None:
    """Raises when answers differ."""
    assert ours == plain, (ours, plain)


def pair(
    name: str,
    ours: Callable[[], object],
    plain: Callable[[], object],
    operations: int = 1,
    bulk: bool = False,
    check: bool = True,
) -> Case:
    """A case whose check compares the two answers."""
    case = Case(f"common {name}", ours, plain, operations, bulk)
    if check:
        case.check = lambda: same(ours(), plain())
    return case


# Storage


class PlainIndex:
    """Ids by value."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ids: dict[Any, set[Any]] = {}

    def value(self, record: Any) -> Any:
        """Attribute, else metadata."""
        found = getattr(record, self.name, None)
        return record.metadata.get(self.name) if found is None else found

    def add(self, record: Any) -> None:
        """Files a record."""
        value = self.value(record)
        if value is not None:
            self.ids.setdefault(value, set()).add(record.id)

    def remove(self, record: Any) -> None:
        """Takes it out."""
        value = self.value(record)
        if value is not None and value in self.ids:
            self.ids[value].discard(record.id)
            if not self.ids[value]:
                del self.ids[value]

    def find(self, value: Any) -> set[Any]:
        """A copy."""
        return set(self.ids.get(value, ()))


class PlainStorage:
    """Records in a dict, and indices that follow."""

    def __init__(self) -> None:
        self.records: dict[Any, Any] = {}
        self.indices: dict[str, PlainIndex] = {}
        self.modified = time.time()

    def add_index(self, name: str) -> None:
        """Indexes what is there."""
        index = PlainIndex(name)
        for record in self.records.values():
            index.add(record)
        self.indices[name] = index

    def add(self, record: Any) -> Any:
        """Stores and files."""
        if record.id is None:
            raise ValueError("Record must have an ID")
        for index in self.indices.values():
            hash(index.value(record))
        before = self.records.get(record.id)
        for index in self.indices.values():
            if before is not None:
                index.remove(before)
            index.add(record)
        self.records[record.id] = record
        self.modified = time.time()
        return record.id

    def get(self, record_id: Any) -> Any:
        """By id."""
        return self.records.get(record_id)

    def update(self, record_id: Any, **attributes: Any) -> Any:
        """Sets what is there, refiles."""
        record = self.records.get(record_id)
        if record is None:
            return None
        for index in self.indices.values():
            index.remove(record)
        for name, value in attributes.items():
            if hasattr(record, name):
                setattr(record, name, value)
        for index in self.indices.values():
            index.add(record)
        record.updated_at = self.modified = time.time()
        return record

    def delete(self, record_id: Any) -> bool:
        """Takes out."""
        record = self.records.get(record_id)
        if record is None:
            return False
        for index in self.indices.values():
            index.remove(record)
        del self.records[record_id]
        self.modified = time.time()
        return True

    def query(self, name: str, value: Any) -> list[Any]:
        """By index or one after the other."""
        if name in self.indices and value is not None:
            return [self.records[record_id] for record_id in self.indices[name].find(value)]
        found = []
        for record in self.records.values():
            own = getattr(record, name, None)
            if own is None:
                own = record.metadata.get(name)
            if own == value:
                found.append(record)
        return found


def storages() -> tuple[core.InMemoryStorage[Row], PlainStorage]:
    """Both with the same records and one index."""
    ours: core.InMemoryStorage[Row] = core.InMemoryStorage()
    plain = PlainStorage()
    for storage in (ours, plain):
        for row in rows():
            storage.add(row)
        storage.add_index("city")
    return ours, plain


def ids_of(records: list[Any]) -> list[Any]:
    """Sorted, as sets have no order."""
    return sorted(record.id for record in records)


def storage_cases() -> list[Case]:
    """Single operations and batches."""
    ours, plain = storages()
    added = rows()
    one = Row("row-7", "city-7", 7)

    def fill(storage: Any, indexed: bool) -> int:
        if indexed:
            storage.add_index("city")
            storage.add_index("age")
        if isinstance(storage, PlainStorage):
            for row in added:
                storage.add(row)
            return len(storage.records)
        storage.batch_add(added)
        return len(storage)

    def churn(storage: Any) -> None:
        storage.delete("row-7")
        storage.add(one)

    def update_all(storage: Any) -> int:
        updates = [(f"row-{number}", {"age": number}) for number in range(ROWS)]
        if isinstance(storage, PlainStorage):
            return len([storage.update(record_id, **attributes) for record_id, attributes in updates])
        return len(storage.batch_update(updates))

    cases = [
        pair("InMemoryStorage.get", lambda: bool(ours.get("row-5")), lambda: bool(plain.get("row-5"))),
        pair("InMemoryStorage.add indexed", lambda: ours.add(one), lambda: plain.add(one)),
        pair("InMemoryStorage.delete and add", lambda: churn(ours), lambda: churn(plain)),
        pair(
            "InMemoryStorage.update indexed",
            lambda: bool(ours.update("row-9", city="city-9")),
            lambda: bool(plain.update("row-9", city="city-9")),
        ),
        pair(
            "Index.find 100", lambda: ours._indices["city"].find("city-3"), lambda: plain.indices["city"].find("city-3")
        ),
        pair(
            "InMemoryStorage.query indexed 100",
            lambda: ours.query("city", "city-3"),
            lambda: plain.query("city", "city-3"),
            check=False,
        ),
        pair(
            "InMemoryStorage.query scan 10,000",
            lambda: ours.query("age", 3),
            lambda: plain.query("age", 3),
            ROWS,
            True,
            False,
        ),
        pair(
            "InMemoryStorage.batch_add 10,000",
            lambda: fill(core.InMemoryStorage(), False),
            lambda: fill(PlainStorage(), False),
            ROWS,
            True,
        ),
        pair(
            "InMemoryStorage.batch_add 10,000, 2 indices",
            lambda: fill(core.InMemoryStorage(), True),
            lambda: fill(PlainStorage(), True),
            ROWS,
            True,
        ),
        pair("InMemoryStorage.batch_update 10,000", lambda: update_all(ours), lambda: update_all(plain), ROWS, True),
    ]
    cases[5].check = lambda: same(ids_of(ours.query("city", "city-3")), ids_of(plain.query("city", "city-3")))
    cases[6].check = lambda: same(ids_of(ours.query("age", 3)), ids_of(plain.query("age", 3)))
    return cases


# Versions


class PlainVersion:
    """A version."""

    def __init__(self, metadata: Any = None) -> None:
        self.version_id = str(uuid.uuid4())
        self.timestamp = time.time()
        self.metadata = metadata or {}


class PlainChange:
    """A change."""

    def __init__(
        self, change_type: Any, record_id: Any, before: Any, after: Any, before_data: Any, after_data: Any
    ) -> None:
        self.change_id = str(uuid.uuid4())
        self.change_type = change_type
        self.record_id = record_id
        self.before_version = before
        self.after_version = after
        self.timestamp = time.time()
        self.metadata: dict[str, Any] = {}
        self.before_data = before_data
        self.after_data = after_data


class PlainTracker:
    """A tracker."""

    def __init__(self) -> None:
        self.node_id = str(uuid.uuid4())
        self.vector: dict[str, int] = defaultdict(int)
        self.changes: list[PlainChange] = []
        self.current: dict[Any, PlainVersion] = {}

    def record_create(self, record: Any) -> None:
        """A new record."""
        self.vector[self.node_id] += 1
        version = PlainVersion({"node_id": self.node_id})
        self.changes.append(PlainChange(core.ChangeType.CREATE, record.id, None, version, None, record.to_dict()))
        self.current[record.id] = version

    def record_update(self, before: Any, after: Any) -> None:
        """A new state."""
        if before.id != after.id:
            raise ValueError("Record IDs must match")
        self.vector[self.node_id] += 1
        old = self.current.get(before.id) or PlainVersion({"node_id": self.node_id})
        version = PlainVersion({"node_id": self.node_id})
        self.changes.append(
            PlainChange(core.ChangeType.UPDATE, after.id, old, version, before.to_dict(), after.to_dict())
        )
        self.current[after.id] = version

    def since(self, at: float) -> list[PlainChange]:
        """Later ones."""
        return [change for change in self.changes if change.timestamp > at]

    def conflicts(self, others: list[PlainChange]) -> list[Any]:
        """Latest of both sides."""
        sides: list[dict[Any, PlainChange]] = [{}, {}]
        for side, changes in zip(sides, (self.changes, others), strict=True):
            for change in changes:
                known = side.get(change.record_id)
                if known is None or change.timestamp >= known.timestamp:
                    side[change.record_id] = change
        found = []
        for record_id, own in sides[0].items():
            other = sides[1].get(record_id)
            if other is None or not own.after_version or not other.after_version:
                continue
            if own.after_version.timestamp != other.after_version.timestamp:
                found.append((own, other))
        return found

    def merge(self, other: "PlainTracker") -> int:
        """Takes over."""
        conflicts = self.conflicts(other.changes)
        left = {change.change_id for _, change in conflicts} | {change.change_id for change in self.changes}
        for change in other.changes:
            if change.change_id not in left:
                self.changes.append(copy.deepcopy(change))
        for node, count in other.vector.items():
            self.vector[node] = max(self.vector[node], count)
        for record_id, version in other.current.items():
            known = self.current.get(record_id)
            if known is None or version.timestamp > known.timestamp:
                self.current[record_id] = version
        return len(self.changes)


def plain_compare(own: dict[str, int], other: dict[str, int]) -> int:
    """-1, 0 or 1."""
    less = more = False
    for node in set(own) | set(other):
        left, right = own.get(node, 0), other.get(node, 0)
        less = less or left < right
        more = more or left > right
    return more - less


def version_cases() -> list[Case]:
    """Trackers and vectors."""
    row = Row("row-1", "city-1", 1)
    tracker: core.ChangeTracker[Row] = core.ChangeTracker()
    plain = PlainTracker()
    source: core.ChangeTracker[Row] = core.ChangeTracker()
    plain_source = PlainTracker()
    for other in rows()[:2000]:
        source.record_create(other)
        plain_source.record_create(other)

    def create(target: Any) -> None:
        target.record_create(row)
        target.changes.clear()

    def update(target: Any) -> None:
        target.record_update(row, row)
        target.changes.clear()

    def merged() -> int:
        target: core.ChangeTracker[Row] = core.ChangeTracker()
        target.merge(source)
        return len(target.changes)

    def vector(count: int) -> core.VersionVector:
        made = core.VersionVector("node-0")
        for node in range(10):
            made.vector[f"node-{node}"] = count
        return made

    low, high = vector(3), vector(4)
    middle = source.changes[1000].timestamp
    plain_middle = plain_source.changes[1000].timestamp
    return [
        pair("ChangeTracker.record_create", lambda: create(tracker), lambda: create(plain)),
        pair("ChangeTracker.record_update", lambda: update(tracker), lambda: update(plain)),
        pair(
            "ChangeTracker.get_changes_since 2,000",
            lambda: len(source.get_changes_since(middle)),
            lambda: len(plain_source.since(plain_middle)),
            2000,
            True,
            False,
        ),
        pair(
            "ChangeTracker.detect_conflicts 2,000",
            lambda: len(source.detect_conflicts(source.changes)),
            lambda: len(plain_source.conflicts(plain_source.changes)),
            2000,
            True,
        ),
        pair("ChangeTracker.merge 2,000", merged, lambda: PlainTracker().merge(plain_source), 2000, True),
        pair("VersionVector.compare 10", lambda: low.compare(high), lambda: plain_compare(low.vector, high.vector)),
    ]


# Schemas


def plain_field(name: str, kind: str, constraints: dict[str, Any], value: Any) -> tuple[bool, str | None]:
    """One value against a field."""
    if value is None:
        return True, None
    if kind == "string":
        if not isinstance(value, str):
            return False, f"Field '{name}' must be a string"
        if "min_length" in constraints and len(value) < constraints["min_length"]:
            return False, f"Field '{name}' must be at least {constraints['min_length']} characters long"
        if "max_length" in constraints and len(value) > constraints["max_length"]:
            return False, f"Field '{name}' must be at most {constraints['max_length']} characters long"
        if "pattern" in constraints and not re.match(constraints["pattern"], value):
            return False, f"Field '{name}' must match pattern {constraints['pattern']}"
    elif kind == "integer":
        if not isinstance(value, int) or isinstance(value, bool):
            return False, f"Field '{name}' must be an integer"
        if "minimum" in constraints and value < constraints["minimum"]:
            return False, f"Field '{name}' must be greater than or equal to {constraints['minimum']}"
        if "maximum" in constraints and value > constraints["maximum"]:
            return False, f"Field '{name}' must be less than or equal to {constraints['maximum']}"
    return True, None


FIELDS: list[tuple[str, str, dict[str, Any]]] = [
    ("name", "string", {"min_length": 1, "max_length": 40}),
    ("city", "string", {"pattern": "[a-z]+"}),
    ("age", "integer", {"minimum": 0, "maximum": 150}),
    ("score", "integer", {}),
    ("note", "string", {}),
]
DATA = {"name": "somebody", "city": "berlin", "age": 33, "score": 12, "note": "nothing"}


def plain_schema(data: dict[str, Any]) -> tuple[bool, list[str]]:
    """All fields."""
    known = {name: (kind, constraints) for name, kind, constraints in FIELDS}
    errors = [f"Required field '{name}' is missing" for name, _, _ in FIELDS if name not in data]
    for name, value in data.items():
        if name not in known:
            errors.append(f"Additional property '{name}' is not allowed")
            continue
        valid, message = plain_field(name, *known[name], value)
        if not valid and message:
            errors.append(message)
    return not errors, errors


DEEP: dict[str, dict[str, Any]] = {
    "name": {"type": "string", "required": True, "min_length": 1},
    "age": {"type": "integer", "minimum": 0},
    "tags": {"type": "array", "items": {"type": "string"}},
}
DEEP_DATA: dict[str, Any] = {"name": "somebody", "age": 33, "tags": ["a", "b", "c"]}


def plain_deep(data: dict[str, Any], schema: dict[str, dict[str, Any]]) -> tuple[bool, list[str]]:
    """The part of `deep_validate` that the case needs."""
    errors: list[str] = []
    for name, spec in schema.items():
        if spec.get("required") and data.get(name) is None:
            errors.append(f"Required field '{name}' is missing")
    types: dict[str, type[Any]] = {"string": str, "integer": int, "array": list}
    for name, value in data.items():
        if name not in schema:
            errors.append(f"Additional property '{name}' is not allowed")
            continue
        spec = schema[name]
        kind = spec.get("type", "any")
        fits = isinstance(value, types[kind])
        if not fits or (kind == "integer" and isinstance(value, bool)):
            errors.append(f"{name} must be of type {kind}")
        elif kind == "string" and spec.get("min_length") is not None and len(value) < spec["min_length"]:
            errors.append(f"{name} must be at least {spec['min_length']} characters long")
        elif kind == "integer" and spec.get("minimum") is not None and value < spec["minimum"]:
            errors.append(f"{name} must be greater than or equal to {spec['minimum']}")
        elif kind == "array" and spec.get("items"):
            for place, item in enumerate(value):
                if not isinstance(item, types[spec["items"]["type"]]):
                    errors.append(f"{name}[{place}]: Value must be of type {spec['items']['type']}")
    return not errors, errors


def schema_cases() -> list[Case]:
    """Checks of data."""
    fields = [core.SchemaField(name, kind, required=True, constraints=bounds) for name, kind, bounds in FIELDS]
    schema = core.Schema("people", fields)
    return [
        pair(
            "SchemaField.validate", lambda: fields[0].validate("somebody"), lambda: plain_field(*FIELDS[0], "somebody")
        ),
        pair("Schema.validate 5 fields", lambda: schema.validate(DATA), lambda: plain_schema(DATA)),
        pair("deep_validate", lambda: validation.deep_validate(DEEP_DATA, DEEP), lambda: plain_deep(DEEP_DATA, DEEP)),
    ]


# Queries


def plain_matches(name: str, kind: object, value: Any, record: Any) -> bool:
    """One condition."""
    if isinstance(record, dict):
        own = record.get(name)
    else:
        own = getattr(record, name, None)
        if own is None and hasattr(record, "metadata"):
            own = record.metadata.get(name)
    if own is None:
        return False
    if kind == operations.QueryType.EXACT:
        return bool(own == value)
    if kind == operations.QueryType.RANGE:
        return isinstance(value, (list, tuple)) and len(value) == 2 and value[0] <= own <= value[1]
    if kind == operations.QueryType.PREFIX:
        return isinstance(own, str) and own.startswith(value)
    if kind == operations.QueryType.REGEX:
        return isinstance(own, str) and re.search(value, own) is not None
    return False


def query_cases() -> list[Case]:
    """Conditions on a record and on a dict."""
    kinds = operations.QueryType
    row = Row("row-1", "city-1", 1)
    cases = []
    conditions: list[tuple[str, operations.QueryType, Any]] = [
        ("city", kinds.EXACT, "city-1"),
        ("age", kinds.RANGE, [0, 9]),
        ("city", kinds.PREFIX, "ci"),
        ("city", kinds.REGEX, "y-[0-9]"),
    ]
    for name, kind, value in conditions:
        condition = operations.FilterCondition(name, kind, value)
        for label, record in (("record", row), ("dict", {"city": "city-1", "age": 1})):
            cases.append(
                pair(
                    f"FilterCondition.matches {kind.value} {label}",
                    partial(condition.matches, record),
                    partial(plain_matches, name, kind, value, record),
                )
            )
    return cases


# Compression


def plain_pack(value: Any) -> tuple[str, bytes]:
    """A value in the bytes of its type."""
    if value is None:
        return "none", b""
    if isinstance(value, bool):
        return "boolean", b"1" if value else b"0"
    if isinstance(value, (int, float)):
        return "numeric", repr(value).encode()
    if isinstance(value, str):
        return "string", value.encode() if len(value) < 20 else zlib.compress(value.encode(), 6)
    if isinstance(value, bytes):
        packed = zlib.compress(value, 6) if len(value) >= 20 else value
        return "binary", min(packed, value, key=len)
    if isinstance(value, list):
        pairs: Any = [plain_pair(item) for item in value]
        kind = "list"
    else:
        pairs = {key: plain_pair(item) for key, item in value.items()}
        kind = "dict"
    return kind, zlib.compress(json.dumps(pairs, separators=(",", ":")).encode(), 6)


def plain_pair(value: Any) -> list[str]:
    """A format and base64 text."""
    kind, data = plain_pack(value)
    return [kind, base64.b64encode(data).decode()]


def plain_unpack(kind: str, data: bytes) -> Any:
    """Inverse of `plain_pack`."""
    if kind == "none":
        return None
    if kind == "boolean":
        return data == b"1"
    if kind == "numeric":
        text = data.decode()
        return float(text) if "." in text or "e" in text else int(text)
    if kind in ("string", "binary"):
        with suppress(zlib.error):
            data = zlib.decompress(data)
        return data.decode() if kind == "string" else data
    pairs = json.loads(zlib.decompress(data))
    if kind == "list":
        return [plain_unpack(item, base64.b64decode(text)) for item, text in pairs]
    return {key: plain_unpack(item, base64.b64decode(text)) for key, (item, text) in pairs.items()}


def compression_cases() -> list[Case]:
    """Streams and values."""
    words = "the quick brown fox jumps over the lazy dog and runs away from it "
    text = words * 2
    large = "".join(random.Random(5).choice(words) for _ in range(100_000)).encode()
    document = [
        {"id": number, "name": f"name {number}", "score": number / 3, "on": number % 2 == 0} for number in range(100)
    ]
    aware = compression.TypeAwareCompressor()
    packed_text, packed_large = zlib.compress(text.encode()), zlib.compress(large)
    kind, packed = aware.compress(document)
    plain_kind, plain_packed = plain_pack(document)
    return [
        pair(
            "compress_string 132",
            lambda: zlib.decompress(compression.compress_string(text)) and 1,
            lambda: zlib.decompress(zlib.compress(text.encode(), 6)) and 1,
        ),
        pair(
            "compress_bytes 132",
            lambda: compression.compress_bytes(text.encode()),
            lambda: zlib.compress(text.encode(), 6),
            check=False,
        ),
        pair(
            "compress_bytes 100,000",
            lambda: compression.compress_bytes(large),
            lambda: zlib.compress(large, 6),
            1,
            True,
            False,
        ),
        pair(
            "decompress_string 132",
            lambda: compression.decompress_string(packed_text),
            lambda: zlib.decompress(packed_text).decode(),
        ),
        pair(
            "decompress_bytes 100,000",
            lambda: compression.decompress_bytes(packed_large),
            lambda: zlib.decompress(packed_large),
            1,
            True,
        ),
        pair(
            "compress_json 100 objects",
            lambda: compression.compress_json(document),
            lambda: zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 6),
            check=False,
        ),
        pair("TypeAwareCompressor.compress int", lambda: aware.compress(12)[1], lambda: plain_pack(12)[1]),
        pair(
            "TypeAwareCompressor.compress 100 objects",
            lambda: aware.compress(document),
            lambda: plain_pack(document),
            100,
            True,
            False,
        ),
        pair(
            "TypeAwareCompressor.decompress 100 objects",
            lambda: aware.decompress(kind, packed),
            lambda: plain_unpack(plain_kind, plain_packed),
            100,
            True,
        ),
    ]


# Utilities


def plain_id() -> str:
    """Milliseconds and letters."""
    letters = string.ascii_letters + string.digits
    return f"{int(time.time() * 1000)}-{''.join(random.choice(letters) for _ in range(10))}"


def plain_parse(text: str) -> float:
    """Formats in turn."""
    for form in (
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%dT%H:%M:%S.%fZ",
        "%Y-%m-%d",
        "%m/%d/%Y %H:%M:%S",
        "%m/%d/%Y",
    ):
        try:
            return datetime.strptime(text, form).timestamp()
        except ValueError:
            continue
    return datetime.fromisoformat(text).timestamp()


def plain_to_int(value: Any, default: Any = None) -> Any:
    """Numbers and texts."""
    if value is None:
        return default
    try:
        if isinstance(value, (bool, int, float)):
            return int(value)
        if isinstance(value, str) and value.strip():
            return int(float(value))
    except (ValueError, OverflowError):
        pass
    return default


def plain_to_bool(value: Any, default: Any = None) -> Any:
    """Words."""
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return bool(value)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in ("true", "yes", "y", "1"):
            return True
        if word in ("false", "no", "n", "0"):
            return False
    return default


def plain_nested(data: Any, path: str, default: Any = None) -> Any:
    """Walks dicts."""
    for part in path.split("."):
        if not isinstance(data, dict) or part not in data:
            return default
        data = data[part]
    return data


def plain_validate_string(value: Any, low: Any, high: Any, name: str = "Value") -> tuple[bool, str | None]:
    """Length of a text."""
    if not isinstance(value, str):
        return False, f"{name} must be a string"
    if low is not None and len(value) < low:
        return False, f"{name} must be at least {low} characters long"
    if high is not None and len(value) > high:
        return False, f"{name} must be at most {high} characters long"
    return True, None


def utility_cases() -> list[Case]:
    """Ids, time, types, validation."""
    now = time.time()
    nested = {"a": {"b": {"c": 5}}}
    text = "2023-01-30T12:30:00"
    blob = bytes(range(200))
    return [
        pair("generate_uuid", id_generator.generate_uuid, lambda: str(uuid.uuid4()), check=False),
        pair("generate_id", id_generator.generate_id, plain_id, check=False),
        pair("get_timestamp", time_utils.get_timestamp, lambda: time.time(), check=False),
        pair(
            "format_timestamp",
            lambda: time_utils.format_timestamp(now),
            lambda: datetime.fromtimestamp(now).strftime("%Y-%m-%d %H:%M:%S"),
        ),
        pair("parse_timestamp", lambda: time_utils.parse_timestamp(text), lambda: plain_parse(text)),
        pair("to_int text", lambda: type_utils.to_int(" 12 "), lambda: plain_to_int(" 12 ")),
        pair("to_int decimals", lambda: type_utils.to_int("12.9"), lambda: plain_to_int("12.9")),
        pair("to_bool text", lambda: type_utils.to_bool("Yes"), lambda: plain_to_bool("Yes")),
        pair(
            "get_nested_value",
            lambda: type_utils.get_nested_value(nested, "a.b.c"),
            lambda: plain_nested(nested, "a.b.c"),
        ),
        pair(
            "validate_string",
            lambda: validation.validate_string("abc", 1, 5),
            lambda: plain_validate_string("abc", 1, 5),
        ),
        pair("bytes_to_base64 200", lambda: core.bytes_to_base64(blob), lambda: base64.b64encode(blob).decode("ascii")),
    ]


def cases() -> list[Case]:
    """All of the package."""
    return [
        *storage_cases(),
        *version_cases(),
        *schema_cases(),
        *query_cases(),
        *compression_cases(),
        *utility_cases(),
    ]
