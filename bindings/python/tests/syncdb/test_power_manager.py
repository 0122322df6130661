"""Power modes and profiles, deferred operations and the worker that runs them, and the battery-aware client."""

from __future__ import annotations

import gc
import queue
import threading
import time
import weakref
from typing import Any, Callable

import pytest
from syncdb.compression.type_compressor import CompressionLevel
from syncdb.power.power_manager import (
    BatteryAwareClient,
    DeferredOperation,
    OperationPriority,
    PowerManager,
    PowerMode,
    PowerProfile,
)

CRITICAL, HIGH, MEDIUM, LOW, MAINTENANCE = OperationPriority


class Target:
    """Notes what is called."""

    falsy: tuple[()] = ()
    number = 5

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def work(self, *args: Any, **kwargs: Any) -> str:
        self.calls.append((args, kwargs))
        return "done"

    def sync(self, **kwargs: Any) -> bool:
        self.calls.append(kwargs)
        return True

    def fail(self) -> None:
        self.calls.append("fail")
        raise RuntimeError("on purpose")


def wait_for(holds: Callable[[], Any], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("level", "plugged", "mode"),
    [
        (0.0, True, PowerMode.PLUGGED_IN),
        (0.1, False, PowerMode.BATTERY_CRITICAL),
        (0.11, False, PowerMode.BATTERY_LOW),
        (0.2, False, PowerMode.BATTERY_LOW),
        (0.21, False, PowerMode.BATTERY_NORMAL),
        (1, False, PowerMode.BATTERY_NORMAL),
    ],
)
def test_the_mode_follows_the_battery(level: float, plugged: bool, mode: PowerMode) -> None:
    assert PowerMode.from_battery_level(level, plugged) is mode
    manager = PowerManager()
    manager.update_battery_status(level, plugged)
    assert manager.current_mode is mode
    assert manager.current_profile == PowerProfile.get_default_profile(mode)
    assert (manager._battery_level, manager._is_plugged_in) == (level, plugged)


def test_default_profiles_are_new_objects() -> None:
    high = CompressionLevel.HIGH
    assert PowerProfile.get_default_profile(PowerMode.PLUGGED_IN) == PowerProfile(
        60, 100, CompressionLevel.MEDIUM, 4, False
    )
    assert PowerProfile.get_default_profile(PowerMode.BATTERY_NORMAL) == PowerProfile(300, 50, high, 2, False)
    assert PowerProfile.get_default_profile(PowerMode.BATTERY_LOW) == PowerProfile(900, 25, high, 1, True)
    assert PowerProfile.get_default_profile(PowerMode.BATTERY_CRITICAL) == PowerProfile(1800, 10, high, 1, True)
    profile = PowerProfile.get_default_profile(PowerMode.BATTERY_LOW)
    profile.batch_size = 7
    assert PowerProfile.get_default_profile(PowerMode.BATTERY_LOW).batch_size == 25


def test_a_new_manager() -> None:
    manager = PowerManager()
    assert manager.current_mode is PowerMode.BATTERY_NORMAL
    assert manager.custom_profiles == {}
    assert manager.deferred_operations == {priority: [] for priority in OperationPriority}
    assert isinstance(manager.operation_queue, queue.PriorityQueue)
    assert isinstance(manager.stop_event, threading.Event)
    assert manager.worker_thread is None
    assert (manager._last_battery_check, manager._battery_level, manager._is_plugged_in) == (0, 1.0, False)
    assert (manager.get_batch_size(), manager.get_sync_interval()) == (50, 300)
    assert (manager.get_compression_level(), manager.get_max_concurrent_operations()) == (CompressionLevel.HIGH, 2)
    manager.stop_worker()


def test_custom_profiles_are_used_by_reference() -> None:
    manager = PowerManager()
    profile = PowerProfile(0.1, 1, CompressionLevel.NONE, 1, True)
    manager.set_custom_profile(PowerMode.BATTERY_LOW, profile)
    assert manager.current_profile is not profile
    manager.set_power_mode(PowerMode.BATTERY_LOW)
    assert manager.current_profile is profile
    manager.set_custom_profile(PowerMode.BATTERY_LOW, PowerProfile(1, 1, CompressionLevel.LOW, 1, False))
    assert manager.get_compression_level() is CompressionLevel.LOW


def test_what_is_deferred() -> None:
    manager = PowerManager()
    deferring = PowerProfile(1, 1, CompressionLevel.LOW, 1, True)
    expected = {
        PowerMode.PLUGGED_IN: [],
        PowerMode.BATTERY_NORMAL: [LOW, MAINTENANCE],
        PowerMode.BATTERY_LOW: [HIGH, MEDIUM, LOW, MAINTENANCE],
        PowerMode.BATTERY_CRITICAL: [HIGH, MEDIUM, LOW, MAINTENANCE],
    }
    for mode, deferred in expected.items():
        manager.set_custom_profile(mode, deferring)
        manager.set_power_mode(mode)
        assert [priority for priority in OperationPriority if manager.should_defer_operation(priority)] == deferred
        manager.set_custom_profile(mode, PowerProfile(1, 1, CompressionLevel.LOW, 1, False))
        assert not any(manager.should_defer_operation(priority) for priority in OperationPriority)


@pytest.mark.parametrize(("priority", "limit"), [(HIGH, 60), (MEDIUM, 300), (LOW, 1800), (MAINTENANCE, 3600)])
def test_a_deferred_operation_runs_once_it_has_waited(
    priority: OperationPriority, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = PowerManager(PowerMode.BATTERY_LOW)
    monkeypatch.setattr(time, "time", lambda: 1e6)
    assert manager._should_execute_now(DeferredOperation("work", CRITICAL, 1e6)) is True
    assert manager._should_execute_now(DeferredOperation("work", priority, 1e6 - limit + 1)) is False
    assert manager._should_execute_now(DeferredOperation("work", priority, 1e6 - limit)) is True
    manager.set_power_mode(PowerMode.PLUGGED_IN)
    assert manager._should_execute_now(DeferredOperation("work", priority, 1e6)) is True


def test_battery_drain_follows_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = PowerManager()
    monkeypatch.setattr(time, "time", lambda: 1000.0)
    manager.update_battery_status(0.5, False)
    monkeypatch.setattr(time, "time", lambda: 1100.0)
    manager.simulate_battery_drain(0.004)
    assert manager._battery_level == pytest.approx(0.1)
    assert manager.current_mode is PowerMode.BATTERY_CRITICAL
    assert manager._last_battery_check == 1100.0
    manager.simulate_battery_drain(1.0)
    assert manager._battery_level == pytest.approx(0.1)
    monkeypatch.setattr(time, "time", lambda: 9999.0)
    manager.simulate_battery_drain(1.0)
    assert manager._battery_level == 0
    manager.update_battery_status(0.4, True)
    manager.simulate_battery_drain(1.0)
    assert manager._battery_level == 0.4


def test_operations_are_ordered_and_executed() -> None:
    first, second = DeferredOperation("work", HIGH, 2.0), DeferredOperation("work", LOW, 1.0)
    assert first < second
    assert not second < first
    assert DeferredOperation("work", LOW, 0.5) < second
    results: list[Any] = []
    target = Target()
    operation = DeferredOperation("work", LOW, 1.0, (1,), {"a": 2}, results.append)
    assert operation.execute(target) == "done"
    assert (target.calls, results) == ([((1,), {"a": 2})], ["done"])
    with pytest.raises(ValueError):
        DeferredOperation("missing", LOW, 1.0).execute(target)


def test_what_is_enqueued_is_visible_and_then_runs_in_order() -> None:
    manager, target = PowerManager(PowerMode.PLUGGED_IN), Target()
    results: list[Any] = []
    manager.enqueue_operation("work", LOW, 1, callback=results.append, key="k")
    manager.enqueue_operation("work", CRITICAL, 2)
    manager.enqueue_operation("fail", HIGH)
    assert manager.operation_queue.qsize() == 3
    (operation,) = manager.deferred_operations[LOW]
    assert (operation.operation_type, operation.args, operation.kwargs) == ("work", (1,), {"key": "k"})
    manager.start_worker(target)
    wait_for(lambda: results)
    assert target.calls == [((2,), {}), "fail", ((1,), {"key": "k"})]
    assert manager.operation_queue.qsize() == 0
    assert not any(manager.deferred_operations.values())
    worker = manager.worker_thread
    assert worker is not None
    assert worker.daemon
    manager.start_worker(target)
    assert manager.worker_thread is worker
    manager.stop_worker()
    assert not worker.is_alive()
    manager.enqueue_operation("work", LOW, 3)
    manager.start_worker(target)
    wait_for(lambda: len(target.calls) == 4)
    manager.stop_worker()
    manager.stop_worker()


def test_deferred_operations_wait_without_work_until_the_mode_changes() -> None:
    manager, target = PowerManager(PowerMode.BATTERY_CRITICAL), Target()
    for priority in (HIGH, MEDIUM, LOW, MAINTENANCE):
        manager.enqueue_operation("work", priority, priority.name)
    asked: list[Any] = []
    judge = manager._should_execute_now
    manager._should_execute_now = lambda operation: asked.append(operation) or judge(operation)  # type: ignore[method-assign,func-returns-value]
    manager.start_worker(target)
    manager.enqueue_operation("work", CRITICAL, "CRITICAL")
    wait_for(lambda: target.calls)
    time.sleep(0.3)
    assert len(asked) < 60
    assert target.calls == [(("CRITICAL",), {})]
    assert manager.operation_queue.qsize() == 4
    manager.set_power_mode(PowerMode.PLUGGED_IN)
    wait_for(lambda: len(target.calls) == 5)
    assert [args[0] for args, _ in target.calls[1:]] == ["HIGH", "MEDIUM", "LOW", "MAINTENANCE"]
    manager.stop_worker()


def test_an_old_operation_overtakes_deferred_ones() -> None:
    manager, target = PowerManager(PowerMode.BATTERY_LOW), Target()
    manager.enqueue_operation("work", HIGH, "young")
    manager.operation_queue.put(DeferredOperation("work", LOW, time.time() - 1801, ("old",)))
    manager.start_worker(target)
    wait_for(lambda: target.calls)
    assert target.calls == [(("old",), {})]
    manager.stop_worker()


def test_a_profile_that_is_edited_releases_operations() -> None:
    manager, target = PowerManager(PowerMode.BATTERY_LOW), Target()
    manager.enqueue_operation("work", LOW)
    manager.start_worker(target)
    time.sleep(0.05)
    assert target.calls == []
    manager.current_profile.defer_non_critical = False
    wait_for(lambda: target.calls)
    manager.stop_worker()


def test_a_callback_may_use_the_manager_and_stop_it() -> None:
    manager, target = PowerManager(PowerMode.PLUGGED_IN), Target()

    def again(_result: Any) -> None:
        manager.set_power_mode(PowerMode.BATTERY_NORMAL)
        manager.enqueue_operation("work", HIGH, "second", callback=lambda _: manager.stop_worker())

    manager.enqueue_operation("work", HIGH, "first", callback=again)
    manager.start_worker(target)
    wait_for(lambda: manager.worker_thread is not None and not manager.worker_thread.is_alive())
    assert [args for args, _ in target.calls] == [("first",), ("second",)]


def test_a_loop_of_a_subclass_is_used() -> None:
    class Mine(PowerManager):
        def _worker_loop(self, target_obj: Any) -> None:
            target_obj.work("mine")

    manager, target = Mine(), Target()
    manager.start_worker(target)
    wait_for(lambda: target.calls)
    manager.stop_worker()


def test_a_manager_that_nobody_holds_ends_its_worker() -> None:
    manager = PowerManager()
    manager.start_worker(Target())
    worker, held = manager.worker_thread, weakref.ref(manager)
    assert worker is not None
    time.sleep(0.05)
    del manager
    gc.collect()
    assert held() is None
    worker.join(timeout=5)
    assert not worker.is_alive()


def test_the_client_passes_calls_on_or_defers_them() -> None:
    manager, target = PowerManager(PowerMode.PLUGGED_IN), Target()
    client = BatteryAwareClient(target, manager)
    assert client.work(1, a=2) == "done"
    assert client.work(priority=LOW) == "done"
    assert target.calls == [((1,), {"a": 2}), ((), {})]
    manager.set_power_mode(PowerMode.BATTERY_LOW)
    assert client.work(3, b=4) is None
    assert client.work(5, priority=CRITICAL) == "done"
    (operation,) = manager.deferred_operations[MEDIUM]
    assert (operation.operation_type, operation.args, operation.kwargs) == ("work", (3,), {"b": 4})
    for name in ("missing", "falsy", "number"):
        with pytest.raises(AttributeError):
            getattr(client, name)
    assert (client.client, client.power_manager, client.default_priority) == (target, manager, MEDIUM)
    assert (client._sync_timer, client._last_sync_time) == (None, 0)
    target.extra = lambda: "set on the instance"  # type: ignore[attr-defined]
    assert client.extra(priority=CRITICAL) == "set on the instance"


def test_the_client_forces_syncs() -> None:
    target = Target()
    client = BatteryAwareClient(target, PowerManager())
    assert client.force_sync() is True
    assert target.calls == [{"priority": HIGH}]
    assert BatteryAwareClient(object(), PowerManager()).force_sync() is None


def timed(target: Any, interval: float) -> BatteryAwareClient:
    manager = PowerManager()
    manager.current_profile.sync_interval_seconds = interval
    return BatteryAwareClient(target, manager)


def test_the_timer_fires_again_and_again_also_after_an_error() -> None:
    class Failing(Target):
        def sync(self, **kwargs: Any) -> bool:
            super().sync(**kwargs)
            raise RuntimeError("on purpose")

    target = Failing()
    client = timed(target, 0.02)
    client.stop_sync_timer()
    client.start_sync_timer()
    client.start_sync_timer()
    assert client._sync_timer is not None
    assert client._sync_timer.daemon
    wait_for(lambda: len(target.calls) >= 3)
    client.stop_sync_timer()
    assert client._sync_timer is None
    assert target.calls[0] == {"priority": MEDIUM}


def test_a_stop_during_a_sync_is_final() -> None:
    class Stopping(Target):
        def sync(self, **kwargs: Any) -> bool:
            client.stop_sync_timer()
            return super().sync(**kwargs)

    target = Stopping()
    client = timed(target, 0.02)
    client.start_sync_timer()
    wait_for(lambda: target.calls)
    time.sleep(0.1)
    assert len(target.calls) == 1
    assert client._sync_timer is None


def test_a_shorter_interval_takes_effect_before_the_next_firing() -> None:
    target = Target()
    client = timed(target, 600)
    client.start_sync_timer()
    client.power_manager.current_profile.sync_interval_seconds = 0.1
    wait_for(lambda: target.calls)
    client.stop_sync_timer()


def test_a_client_that_nobody_holds_ends_its_timer() -> None:
    client = timed(Target(), 600)
    client.start_sync_timer()
    timer, held = client._sync_timer, weakref.ref(client)
    assert timer is not None
    time.sleep(0.05)
    del client
    gc.collect()
    assert held() is None
    timer.join(timeout=5)
    assert not timer.is_alive()


def test_the_callback_can_be_called_by_hand() -> None:
    target = Target()
    client = timed(target, 600)
    client._sync_callback()
    assert target.calls == [{"priority": MEDIUM}]
    assert client._sync_timer is not None
    client.stop_sync_timer()
