"""Messages and networks."""

import datetime
import decimal
import json
import random
import time
import uuid
from typing import Any

import pytest
from syncdb.sync.change_tracker import ChangeRecord
from syncdb.sync.sync_protocol import (
    NetworkSimulator,
    SyncRequest,
    SyncResponse,
    read_request,
    read_response,
    write_request,
    write_response,
)


def change(new: Any, key: tuple[Any, ...] = (1,)) -> ChangeRecord:
    """A change of a row."""
    return ChangeRecord(0, "t", key, "update", 1.5, "c", None, new)


def sent(new: Any, key: tuple[Any, ...] = (1,)) -> Any:
    """What arrives of a row."""
    text = write_request(SyncRequest("c", {"t": -1}, {"t": [change(new, key)]}, {}))
    by_hand = SyncRequest.from_dict(json.loads(text))
    arrived = read_request(text)
    assert by_hand.client_changes == arrived.client_changes
    (one,) = arrived.client_changes["t"]
    assert one.primary_key == key
    return one.new_data


PLAIN: dict[str, Any] = {
    "n": None,
    "b": [True, False],
    "i": [0, -1, 2**63 - 1, 2**63, 10**30, -(10**25)],
    "f": [0.0, -0.0, 1.5, 1e300, 1e16, 5e-324, float("inf"), float("-inf"), 0.1],
    "s": ["", "ä€😀", "\ud800", '"\\\n\t\x00\x1f', "$syncdb"],
    "d": {"": {}, "a": [[]]},
}


def test_plain_data_have_their_plain_form() -> None:
    """What Python's `json` reads from the text is what was written."""
    text = write_request(SyncRequest("c", {"t": -1}, {"t": [change(PLAIN)]}, {"t": {"c": 1}}))
    (one,) = json.loads(text)["client_changes"]["t"]
    assert repr(one["new_data"]) == repr(PLAIN)
    assert (one["primary_key"], one["old_record"], one["new_record"]) == ([1], None, PLAIN)
    assert repr(sent(PLAIN)) == repr(PLAIN)
    assert str(sent({"v": float("nan")})) == "{'v': nan}"
    assert sent({7: 1, None: 2, True: 3, 1.5: 4}) == {"7": 1, "true": 3, "null": 2, "1.5": 4}


def test_other_data_arrive_as_they_are() -> None:
    """Tagged, in a form that plain data are never taken for."""
    value = {
        "t": (1, (2, [3])),
        "s": {1, 2},
        "f": frozenset({(1, 2)}),
        "b": b"\x00\xff",
        "y": bytearray(b"x"),
        "d": datetime.datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=datetime.timezone.utc),
        "a": datetime.date(2024, 1, 2),
        "c": datetime.time(1, 2),
        "e": datetime.timedelta(days=-1, microseconds=3),
        "x": decimal.Decimal("1.50"),
        "u": uuid.UUID(int=7),
        "k": {(1, 2): b"x"},
        "mine": {"$syncdb": "tuple", "value": [1]},
        "nested": [{"$syncdb": {"$syncdb": "bytes", "value": "eA=="}}],
    }
    assert sent(value, (b"k", datetime.date(2024, 1, 2))) == value
    assert type(sent(value)["y"]) is bytearray


def test_a_change_that_cannot_be_sent_does_not_hold_up_others(caplog: pytest.LogCaptureFixture) -> None:
    """It is left out and reported."""
    request = SyncRequest("c", {}, {"t": [change({"v": object()}), change({"v": 1}), change({"v": object()})]}, {})
    (one,) = read_request(write_request(request)).client_changes["t"]
    assert one.new_data == {"v": 1}
    assert "object cannot be sent" in caplog.text


def random_value(chance: random.Random, depth: int) -> Any:
    """A nested value that JSON and tags can express."""
    if depth == 0 or chance.random() < 0.3:
        return chance.choice(
            [
                None,
                True,
                chance.randrange(-(2**70), 2**70),
                chance.random() * 10 ** chance.randrange(-9, 30),
                "ä\n",
                b"x",
            ]
        )
    size = chance.randrange(4)
    kind = chance.randrange(3)
    if kind == 0:
        return [random_value(chance, depth - 1) for _ in range(size)]
    if kind == 1:
        return tuple(random_value(chance, depth - 1) for _ in range(size))
    return {
        chance.choice(["a", "b", "$syncdb", "value", "\u20ac"]): random_value(chance, depth - 1) for _ in range(size)
    }


@pytest.mark.parametrize("seed", range(200))
def test_random_data_arrive_as_they_are(seed: int) -> None:
    """Any nesting."""
    value = {"v": random_value(random.Random(seed), 5)}
    assert repr(sent(value)) == repr(value)


def test_messages_as_dictionaries() -> None:
    """Both pairs of names, elements of other kinds untouched, defaults for what is missing."""
    plain: Any = {"primary_key": (1,), "anything": 1}
    record = change({"id": 1})
    shown = SyncRequest("c", {"t": 1}, {"t": [record, plain]}, {"t": {"c": 1}}).to_dict()
    assert list(shown) == ["client_id", "table_change_ids", "client_changes", "version_vectors"]
    assert shown["client_changes"]["t"][0] == {**record.to_dict(), "old_record": None, "new_record": {"id": 1}}
    assert shown["client_changes"]["t"][1] is plain
    json.dumps(shown)
    del shown["client_changes"]
    assert SyncRequest.from_dict(shown).client_changes == {}
    for name in list(shown):
        with pytest.raises(KeyError):
            SyncRequest.from_dict({key: value for key, value in shown.items() if key != name})
    aliased = {key: value for key, value in record.to_dict().items() if not key.endswith("_data")}
    aliased.update(old_record=None, new_record={"id": 1}, primary_key=[1])
    assert SyncRequest.from_dict({**shown, "client_changes": {"t": [aliased, 5]}}).client_changes == {"t": [record, 5]}
    assert read_request(json.dumps({**shown, "client_changes": {"t": [aliased]}})).client_changes == {"t": [record]}
    assert read_request(json.dumps({**shown, "client_changes": {"t": [5]}})).client_changes["t"][0] == 5  # type: ignore[comparison-overlap]

    assert SyncResponse.from_dict({"more": 1}) == SyncResponse({}, {}) == read_response("{}")
    response = SyncResponse({"t": [plain]}, {"t": []}, False, "no", {"t": 1}, {"t": {"c": 1}})
    assert list(response.to_dict()) == [
        "server_changes",
        "conflicts",
        "success",
        "error_message",
        "current_change_ids",
        "version_vectors",
    ]
    assert json.loads(write_response(response)) == json.loads(json.dumps(response.to_dict()))


def test_text_that_is_no_message() -> None:
    """`ValueError` for text that is no JSON, `KeyError` for what is missing."""
    for text in ("", "{", "nope", '{"a": 1} x'):
        with pytest.raises(json.JSONDecodeError):
            read_request(text)
    with pytest.raises(KeyError):
        read_request("{}")
    with pytest.raises(KeyError):
        read_request(
            '{"client_id": "c", "table_change_ids": {}, "version_vectors": {},'
            ' "client_changes": {"t": [{"id": 1, "primary_key": [1]}]}}'
        )
    deep = '{"client_id": "c", "table_change_ids": {}, "version_vectors": {}, "x": ' + "[" * 100_000
    with pytest.raises((json.JSONDecodeError, RecursionError)):
        read_request(deep)


def test_networks() -> None:
    """Loss is drawn from `random`, latency is at least what it says."""
    perfect = NetworkSimulator()
    assert (perfect.latency_ms, perfect.packet_loss_percent, perfect.bandwidth_kbps) == (0, 0.0, None)
    assert perfect.send(text := "x" * 3) is text
    assert NetworkSimulator(packet_loss_percent=500).packet_loss_percent == 100
    assert NetworkSimulator(packet_loss_percent=-5).packet_loss_percent == 0
    assert NetworkSimulator(10_000, 100.0).send("x") is None
    half = NetworkSimulator(packet_loss_percent=50)
    random.seed(5)
    arrived = [half.send("x") for _ in range(100)]
    random.seed(5)
    assert arrived == [None if random.random() * 100 < 50 else "x" for _ in range(100)]
    start = time.time()
    NetworkSimulator(20).send("x")
    assert time.time() - start >= 0.02
    start = time.time()
    NetworkSimulator(bandwidth_kbps=1).send("x" * 3)
    assert time.time() - start >= 3 / 128
