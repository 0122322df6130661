"""`syncdb.engine.power`, `syncdb.engine.payload` and `syncdb.simulation`."""

from __future__ import annotations

import datetime as dt
import random

import pytest
from syncdb.engine import ClosedError, CorruptError, Field, InvalidError, NotFoundError, Schema, SyncDb, SyncServer
from syncdb.engine.payload import LEVELS, SharedDictionary, decode_rows, encode_rows, statistics
from syncdb.engine.power import Scheduler, Waiting
from syncdb.simulation import PROFILES, Network

NOTES = Schema("notes", {"id": int, "text": str, "stars": Field(float, nullable=True)}, key="id")
START = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
PHONE = {"battery": 0.15, "network": "cellular", "foreground": False}


def after(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def test_a_scheduler_lets_wait_what_can_wait() -> None:
    """And what is urgent takes it along."""
    scheduler, waiting = Scheduler(), Waiting()
    scheduler.start(START, waiting, PHONE)
    scheduler.finish(START, None)
    scheduler = Scheduler()
    waiting.add(START, "medium")
    decision = scheduler.decide(START, waiting, PHONE)
    assert not decision
    assert (decision.why, decision.until) == ("deferred", after(240))
    waiting.add(after(20), "critical")
    decision = scheduler.decide(after(20), waiting, PHONE)
    assert (decision.is_sync, decision.why, decision.profile) == (True, "urgent", "low")
    cloud = SyncServer([NOTES])
    scheduler.start(after(20), waiting, PHONE)
    report = SyncDb("phone").sync(cloud, budget=decision.budget)
    cost = scheduler.finish(after(21), report, random=7)
    assert cost["woke"]
    assert cost["radio_mj"] > 10_000
    assert scheduler.totals["syncs"] == 1
    assert scheduler.decide(after(22), Waiting(), {"network": "offline"}).why == "offline"
    with pytest.raises(InvalidError, match="device"):
        scheduler.decide(START, waiting, {"battery": "full"})
    with pytest.raises(TypeError, match="datetime"):
        scheduler.decide(5, waiting)  # type: ignore[arg-type]


def test_profiles_come_from_dicts_and_toml() -> None:
    """And are in force when they say, or when they are chosen."""
    toml = '[[profile]]\nname = "festival"\nbase = "low"\n[profile.when]\nbattery_below = 0.5\n'
    scheduler = Scheduler(toml=toml)
    assert scheduler.profile({"battery": 0.4})["name"] == "festival"
    mine = {**scheduler.profile({"battery": 0.9}), "name": "mine"}
    scheduler = Scheduler(profiles=[(mine, None)])
    scheduler.choose("mine")
    assert scheduler.profile()["name"] == "mine"
    with pytest.raises(NotFoundError, match="nobody"):
        scheduler.choose("nobody")


def test_rows_are_packed_and_come_back() -> None:
    """At every level, and in fewer bytes with what both sides know."""
    draw = random.Random(7)
    rows = [
        {"id": at, "text": f"user-{at:06d} likes item {draw.randrange(50)}", "stars": draw.choice([None, 0.5, 4.0])}
        for at in range(2000)
    ]
    sizes = []
    for level in LEVELS:
        block = encode_rows(NOTES, rows, level=level)  # type: ignore[arg-type]
        assert decode_rows(NOTES, block) == rows
        sizes.append(len(block))
    assert sizes[0] > sizes[1] >= sizes[3]
    assert statistics(NOTES, block)["id"] == {"nulls": 0, "least": 0, "most": 1999}
    shared = SharedDictionary.from_bytes(bytes(SharedDictionary.train(NOTES, rows)))
    few = rows[:3]
    block = encode_rows(NOTES, few, dictionary=shared)
    assert len(block) < len(encode_rows(NOTES, few))
    assert decode_rows(NOTES, block, dictionary=shared) == few
    with pytest.raises(NotFoundError, match=shared.id):
        decode_rows(NOTES, block)
    with pytest.raises(CorruptError):
        decode_rows(NOTES, encode_rows(NOTES, rows)[:-5])
    with pytest.raises(NotFoundError, match="stats"):
        encode_rows(NOTES, [{"id": 1, "text": "x", "stats": 1}])


def day(seed: int) -> tuple[int, float, dict[str, int], list[str]]:
    """Two replicas that sync over bad links until both hold the same."""
    network = Network(seed, ["cloud", "phone", "laptop"])
    cloud = SyncServer([NOTES], clock=network.clock("cloud"), seed=seed)
    network.keep_trace(1000)
    network.set_link("phone", "cloud", "edge")
    network.set_link("laptop", "cloud", {"latency_ms": 20, "loss": 0.3, "damage": 0.1, "cut": 0.1})
    network.clock("phone").jump(-3600.0)
    replicas = {name: SyncDb(name, tables=[NOTES], clock=network.clock(name)) for name in ("phone", "laptop")}
    for at, (name, one) in enumerate(replicas.items()):
        one.insert_many("notes", ({"id": 10 * at + n, "text": name} for n in range(10)))
    for _ in range(2):
        for name, one in replicas.items():
            connection = network.connect(name, "cloud", cloud)
            while True:
                try:
                    assert connection.sync(one, retries=3).converged
                    break
                except ValueError:
                    network.note(name, "again")
    assert replicas["phone"].digest() == replicas["laptop"].digest() == cloud.digest()
    assert cloud.count("notes") == 20
    return network.fingerprint, network.now, network.statistics(), network.trace()


def test_a_simulated_network_fails_by_seed() -> None:
    """The same each time, and in no time of its own."""
    assert day(3) == day(3)
    fingerprint, now, statistics_of, trace = day(4)
    assert fingerprint != day(3)[0]
    assert now > 0.4
    assert statistics_of["lost"] > 0
    assert any("is lost" in line for line in trace)


def test_faults_are_injected() -> None:
    """One certain thing to the next message."""
    cloud, phone = SyncServer([NOTES]), SyncDb("phone")
    network = Network(1, ["cloud", "phone"])
    connection = network.connect("phone", "cloud", cloud, timeout_seconds=2.0)
    network.inject("phone", "cloud", "lose")
    with pytest.raises(ClosedError, match="no answer"):
        connection.sync(phone)
    assert network.now == 2.0
    network.inject("phone", "cloud", "lose")
    assert connection.sync(phone, retries=1).converged
    network.partition("phone", "cloud")
    with pytest.raises(ClosedError):
        connection.sync(phone)
    network.heal("phone", "cloud")
    for profile in PROFILES[:-1]:
        network.set_link("phone", "cloud", profile)
    with pytest.raises(InvalidError, match="loss"):
        network.set_link("phone", "cloud", {"loss": 2})
    with pytest.raises(NotFoundError, match="nobody"):
        network.heal("nobody", "cloud")
    with pytest.raises(InvalidError, match="explode"):
        network.inject("phone", "cloud", "explode")
