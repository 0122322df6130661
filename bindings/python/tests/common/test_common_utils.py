"""Ids, time, types and nested values of `common`."""

from __future__ import annotations

import math
import os
import random
import re
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from common.utils.id_generator import generate_id, generate_uuid
from common.utils.time_utils import format_timestamp, get_timestamp, parse_timestamp, time_since
from common.utils.type_utils import (
    get_nested_value,
    is_collection,
    is_numeric,
    safe_cast,
    set_nested_value,
    to_bool,
    to_float,
    to_int,
    to_string,
)


def test_ids() -> None:
    made = {generate_uuid() for _ in range(2000)}
    assert len(made) == 2000
    for text in made:
        assert str(uuid.UUID(text, version=4)) == text
    before = int(time.time() * 1000)
    match = re.fullmatch(r"user-(\d+)-([A-Za-z0-9]{12})", generate_id("user", 12))
    assert match
    assert before <= int(match[1]) <= time.time() * 1000
    assert re.fullmatch(r"\d+-", generate_id("", length=0))
    random.seed(1)
    first = generate_id()
    random.seed(1)
    assert generate_id().partition("-")[2] != first.partition("-")[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_makes_ids_of_its_own() -> None:
    generate_uuid()
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writable, generate_uuid().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(readable, 100).decode() != generate_uuid()


@pytest.fixture(params=["UTC", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if not hasattr(time, "tzset"):
        pytest.skip("the zone cannot be changed here")
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_local_time_is_pythons() -> None:
    rng = random.Random(2)
    for _ in range(3000):
        at = rng.choice([rng.uniform(0, 4e9), rng.uniform(1.6e9, 1.7e9), float(rng.randrange(1, 10**9)) + 0.9999999])
        local = datetime.fromtimestamp(at)
        for form in ("%Y-%m-%d %H:%M:%S", "%d.%m.%y %H", "%j %A", "100%% %M"):
            assert format_timestamp(at, form) == local.strftime(form)
        assert format_timestamp(at) == local.strftime("%Y-%m-%d %H:%M:%S")
        for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y"):
            text = local.strftime(form)
            assert parse_timestamp(text) == datetime.strptime(text, form).timestamp(), text
        exact = local.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        aware = local.replace(tzinfo=timezone.utc)
        assert parse_timestamp(exact) == aware.timestamp()
        assert parse_timestamp(aware.isoformat()) == aware.timestamp()


def test_timestamps() -> None:
    assert format_timestamp(-86400.0, "%Y") == datetime.fromtimestamp(-86400).strftime("%Y")
    assert parse_timestamp("2023-01-30T10:00:00+02:30") == datetime(2023, 1, 30, 7, 30, tzinfo=timezone.utc).timestamp()
    assert parse_timestamp("1/2/2023") == datetime(2023, 1, 2).timestamp()
    assert parse_timestamp("30.01.2023", "%d.%m.%Y") == datetime(2023, 1, 30).timestamp()
    assert parse_timestamp("1675036800.5") == 1675036800.5
    assert parse_timestamp("2023-01-30T10:00:00.250000") == datetime(2023, 1, 30, 10, 0, 0, 250000).timestamp()
    for wrong in ("", "no time", "2023-13-01", "2023-02-30", "2023-01-30 25:00:00"):
        with pytest.raises(ValueError):
            parse_timestamp(wrong)
    with pytest.raises(ValueError):
        parse_timestamp("2023-01-30", "%Y")
    with pytest.raises(TypeError):
        parse_timestamp(5)  # type: ignore[arg-type]
    before = get_timestamp()
    assert before <= time.time()
    assert isinstance(before, float)


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (-100, "just now"),
        (59, "just now"),
        (61, "1 minute ago"),
        (3599, "59 minutes ago"),
        (7300, "2 hours ago"),
        (86400 * 1.5, "1 day ago"),
        (86400 * 13, "1 week ago"),
        (86400 * 29, "4 weeks ago"),
        (86400 * 61, "2 months ago"),
        (86400 * 800, "2 years ago"),
    ],
)
def test_time_since(passed: float, text: str) -> None:
    assert time_since(time.time() - passed) == text


@pytest.mark.parametrize(
    ("value", "as_int", "as_float", "as_bool"),
    [
        (None, "d", "d", "d"),
        (True, 1, 1.0, True),
        (12.9, 12, 12.9, True),
        (-12.9, -12, -12.9, True),
        (0, 0, 0.0, False),
        (" 12.9 ", 12, 12.9, "d"),
        ("1e3", 1000, 1000.0, "d"),
        ("1_000", 1000, 1000.0, "d"),
        ("9" * 30, int("9" * 30), float("9" * 30), "d"),
        ("-0012", -12, -12.0, "d"),
        ("", "d", "d", "d"),
        ("  ", "d", "d", "d"),
        ("x", "d", "d", "d"),
        ("1e", "d", "d", "d"),
        ("+-1.5", "d", "d", "d"),
        ("٣", 3, 3.0, "d"),
        ("inf", "d", float("inf"), "d"),
        ("1e400", "d", float("inf"), "d"),
        (float("inf"), "d", float("inf"), True),
        (10**400, 10**400, "d", True),
        (" YES ", "d", "d", True),
        ("n", "d", "d", False),
        ("0", 0, 0.0, False),
        ([], "d", "d", "d"),
        (Decimal(5), "d", "d", "d"),
    ],
)
def test_casts(value: Any, as_int: Any, as_float: Any, as_bool: Any) -> None:
    for cast, wanted, kind in ((to_int, as_int, int), (to_float, as_float, float), (to_bool, as_bool, bool)):
        for answer in (cast(value, "d"), safe_cast(value, kind, "d")):
            assert answer == wanted
            assert type(answer) is type(wanted)


def test_texts_to_numbers_as_python_reads_them() -> None:
    rng = random.Random(4)
    for _ in range(20_000):
        text = "".join(rng.choices("0123456789+-.eE_ ", k=rng.randrange(1, 7)))
        try:
            wanted = float(text)
        except ValueError:
            assert to_float(text) is None
            assert to_int(text) is None
            assert not is_numeric(text)
            continue
        assert to_float(text) == wanted
        assert to_int(text) == (None if math.isinf(wanted) else int(wanted))
        assert is_numeric(text)


def test_other_types() -> None:
    assert (to_string(None, "d"), to_string(5), to_string("x")) == ("d", "5", "x")
    assert safe_cast("5", Decimal) == Decimal(5)
    assert safe_cast([1], tuple) == (1,)
    assert safe_cast(5, list, "d") == "d"
    with pytest.raises(ZeroDivisionError):
        safe_cast(0, lambda value: 1 / value)
    numbers: list[Any] = [1, 1.5, True, "nan", " 1 ", "x", "", None]
    assert [is_numeric(value) for value in numbers] == [
        True,
        True,
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    collections: list[Any] = [[], (), set(), {}, frozenset(), ""]
    assert [is_collection(value) for value in collections] == [True] * 4 + [False] * 2


def test_nested_values() -> None:
    data: dict[str, Any] = {"a": {"b": {"c": 1, "n": None}}, "x": 5}
    assert get_nested_value(data, "a.b.c") == 1
    assert get_nested_value(data, "a.b.n", 7) is None
    assert get_nested_value(data, "a.z.c", 7) == get_nested_value(data, "x.y", 7) == 7
    assert get_nested_value(data, "a/b", separator="/") is data["a"]["b"]
    set_nested_value(data, "a.b.d.e", 2)
    set_nested_value(data, "a.b.c.f", 3)
    assert data["a"]["b"] == {"c": {"f": 3}, "n": None, "d": {"e": 2}}
    set_nested_value(data, "a|new", 4, "|", False)
    assert data["a"]["new"] == 4
    for path in ("q.r", "x.y"):
        with pytest.raises(KeyError):
            set_nested_value(data, path, 1, create_path=False)
    assert "q" not in data
    assert data["x"] == 5


def test_an_id_has_a_most_length() -> None:
    with pytest.raises(ValueError, match="16777216"):
        generate_id(length=2**24 + 1)
