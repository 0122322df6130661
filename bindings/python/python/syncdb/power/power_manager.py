"""Power modes, what each allows, and work that waits for a better one."""

from __future__ import annotations

import contextlib
import enum
import heapq
import queue
import threading
import time
import weakref
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable

from syncdb.compression.type_compressor import CompressionLevel

__all__ = [
    "BatteryAwareClient",
    "CompressionLevel",
    "DeferredOperation",
    "OperationPriority",
    "PowerManager",
    "PowerMode",
    "PowerProfile",
]

_LOOK_AGAIN_SECONDS = 0.25
"""How long the worker leaves deferred operations alone when nobody wakes it: profiles can change unnoticed."""
_IDLE_SECONDS = 1.0
"""How long a thread sleeps when nobody wakes it: it looks whether it is still wanted."""


class PowerMode(enum.Enum):
    """Where the power comes from, and how much of it is left."""

    PLUGGED_IN = 1
    BATTERY_NORMAL = 2
    BATTERY_LOW = 3
    BATTERY_CRITICAL = 4

    @classmethod
    def from_battery_level(cls, level: float, is_plugged_in: bool) -> PowerMode:
        """The mode at a level from 0 to 1: critical up to 0.1, low up to 0.2; plugged in wins."""
        if is_plugged_in:
            return cls.PLUGGED_IN
        if level <= 0.1:
            return cls.BATTERY_CRITICAL
        if level <= 0.2:
            return cls.BATTERY_LOW
        return cls.BATTERY_NORMAL


class OperationPriority(enum.Enum):
    """How urgent an operation is; CRITICAL ones are never deferred."""

    CRITICAL = 1
    HIGH = 2
    MEDIUM = 3
    LOW = 4
    MAINTENANCE = 5


# Members by names of the module's own, which are found faster than those of the class.
_CRITICAL, _LOW, _MAINTENANCE = OperationPriority.CRITICAL, OperationPriority.LOW, OperationPriority.MAINTENANCE
_ON_NORMAL, _ON_LOW, _ON_CRITICAL = PowerMode.BATTERY_NORMAL, PowerMode.BATTERY_LOW, PowerMode.BATTERY_CRITICAL

_WAIT_LIMITS = {"HIGH": 60.0, "MEDIUM": 300.0, "LOW": 1800.0, "MAINTENANCE": 3600.0}
"""After so many seconds a deferred operation runs in any mode."""


@dataclass
class PowerProfile:
    """What a power mode allows."""

    sync_interval_seconds: float
    batch_size: int
    compression_level: CompressionLevel
    max_concurrent_operations: int
    defer_non_critical: bool

    @classmethod
    def get_default_profile(cls, mode: PowerMode) -> PowerProfile:
        """A new profile with what the mode allows by default."""
        return cls(*_DEFAULTS[mode])


_DEFAULTS = {
    PowerMode.PLUGGED_IN: (60, 100, CompressionLevel.MEDIUM, 4, False),
    PowerMode.BATTERY_NORMAL: (300, 50, CompressionLevel.HIGH, 2, False),
    PowerMode.BATTERY_LOW: (900, 25, CompressionLevel.HIGH, 1, True),
    PowerMode.BATTERY_CRITICAL: (1800, 10, CompressionLevel.HIGH, 1, True),
}


@dataclass
class DeferredOperation:
    """A call that waits: of the method `operation_type`, on an object that is given later."""

    operation_type: str
    priority: OperationPriority
    creation_time: float
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    callback: Callable[[Any], Any] | None = None

    def __lt__(self, other: DeferredOperation) -> bool:
        """More urgent first, then older first."""
        mine, theirs = self.priority, other.priority
        if mine is theirs:
            return self.creation_time < other.creation_time
        return (mine.value, self.creation_time) < (theirs.value, other.creation_time)

    def execute(self, target_obj: Any) -> Any:
        """Calls the method, hands its result to the callback, and returns it; `ValueError` if there is no method."""
        method = getattr(target_obj, self.operation_type, None)
        if method is None:
            raise ValueError(f"{type(target_obj).__name__} has no operation {self.operation_type}")
        result = method(*self.args, **self.kwargs)
        if self.callback:
            self.callback(result)
        return result


class PowerManager:
    """Keeps the power mode and its profile, and runs what was deferred in one thread of its own.

    The thread sleeps until an operation may run; it ends when the manager is no longer referenced.
    """

    def __init__(self, initial_mode: PowerMode = PowerMode.BATTERY_NORMAL) -> None:
        self.current_mode = initial_mode
        self.current_profile = PowerProfile.get_default_profile(initial_mode)
        self.custom_profiles: dict[PowerMode, PowerProfile] = {}
        self.deferred_operations: dict[OperationPriority, list[DeferredOperation]] = {
            priority: [] for priority in OperationPriority
        }
        self.operation_queue: queue.PriorityQueue[DeferredOperation] = queue.PriorityQueue()
        self.stop_event = threading.Event()
        self.worker_thread: threading.Thread | None = None
        self._last_battery_check: float = 0
        self._battery_level = 1.0
        self._is_plugged_in = False
        self._worker_target: Any = None
        self._worker_lock = threading.Lock()
        self._changes = 0

    def set_power_mode(self, mode: PowerMode) -> None:
        """Switches the mode, with the custom profile of that mode if there is one."""
        self.current_mode = mode
        self.current_profile = self.custom_profiles.get(mode) or PowerProfile.get_default_profile(mode)
        self._wake_worker()

    def set_custom_profile(self, mode: PowerMode, profile: PowerProfile) -> None:
        """Uses this profile object in that mode, at once if it is the current one."""
        self.custom_profiles[mode] = profile
        if mode == self.current_mode:
            self.current_profile = profile
            self._wake_worker()

    def update_battery_status(self, level: float, is_plugged_in: bool) -> None:
        """Takes note of the battery's level, from 0 to 1, and switches the mode when it follows another."""
        self._battery_level = level
        self._is_plugged_in = is_plugged_in
        self._last_battery_check = time.time()
        mode = PowerMode.from_battery_level(level, is_plugged_in)
        if mode is not self.current_mode:
            self.set_power_mode(mode)

    def simulate_battery_drain(self, drain_rate: float = 0.0001) -> None:
        """Lowers the level by `drain_rate` for each second since the last status, unless plugged in."""
        if self._is_plugged_in:
            return
        elapsed = time.time() - self._last_battery_check
        self.update_battery_status(max(0.0, self._battery_level - drain_rate * elapsed), False)

    def should_defer_operation(self, priority: OperationPriority) -> bool:
        """Whether an operation of that priority has to wait in the current mode."""
        if not self.current_profile.defer_non_critical or priority is _CRITICAL:
            return False
        mode = self.current_mode
        if mode is _ON_LOW or mode is _ON_CRITICAL:
            return True
        return mode is _ON_NORMAL and (priority is _LOW or priority is _MAINTENANCE)

    def enqueue_operation(self, operation_type: str, priority: OperationPriority, *args: Any, **kwargs: Any) -> None:
        """Queues a call for the worker; the keyword `callback` is given its result, all others are passed on."""
        callback = kwargs.pop("callback", None)
        operation = DeferredOperation(operation_type, priority, time.time(), args, kwargs, callback)
        self.deferred_operations[priority].append(operation)
        self.operation_queue.put(operation)

    def start_worker(self, target_obj: Any) -> None:
        """Runs queued operations on an object, in a daemon thread, unless one is running already."""
        with self._worker_lock:
            if self.worker_thread is not None and self.worker_thread.is_alive() and not self.stop_event.is_set():
                return
            if self.stop_event.is_set():
                # A worker in the middle of its last operation keeps the old event.
                self.stop_event = threading.Event()
            self._worker_target = target_obj
            self.worker_thread = threading.Thread(
                target=_work, args=(weakref.ref(self), self.stop_event), name="syncdb-power-worker", daemon=True
            )
            self.worker_thread.start()

    def stop_worker(self) -> None:
        """Ends the worker after the operation it is in; waits at most a second for that."""
        with self._worker_lock:
            worker = self.worker_thread
            self.stop_event.set()
            self._worker_target = None
        self._wake_worker()
        if worker is not None and worker is not threading.current_thread():
            worker.join(timeout=1.0)

    def get_batch_size(self) -> int:
        """How many changes go into one message."""
        return self.current_profile.batch_size

    def get_sync_interval(self) -> float:
        """Seconds between two periodic syncs."""
        return self.current_profile.sync_interval_seconds

    def get_compression_level(self) -> CompressionLevel:
        """How hard payloads are packed."""
        return self.current_profile.compression_level

    def get_max_concurrent_operations(self) -> int:
        """How many operations may run at once; the worker runs one."""
        return self.current_profile.max_concurrent_operations

    def _should_execute_now(self, operation: DeferredOperation) -> bool:
        """Whether an operation may run: not deferred in the current mode, or deferred for as long as it may be."""
        priority = operation.priority
        if priority is _CRITICAL or not self.should_defer_operation(priority):
            return True
        # By name: the hash of an enum's member is a call, that of a text is known.
        limit = _WAIT_LIMITS.get(priority._name_)
        return limit is not None and time.time() - operation.creation_time >= limit

    def _worker_loop(self, target_obj: Any) -> None:
        """Runs queued operations on an object until the worker is stopped."""
        stop = self.stop_event
        while not stop.is_set():
            seen = self._changes
            if not self._run_next(target_obj):
                _sleep(self.operation_queue, stop, partial(_has_changed, weakref.ref(self), seen))

    def _wake_worker(self) -> None:
        waiting = self.operation_queue.not_empty
        with waiting:
            self._changes += 1
            waiting.notify_all()

    def _run_next(self, target_obj: Any) -> bool:
        """Runs the first operation that may run; whether there was one."""
        operation = self._take_next()
        if operation is None:
            return False
        try:
            operation.execute(target_obj)
        except BaseException:
            _log("a deferred operation failed")
        finally:
            with contextlib.suppress(ValueError):
                self.operation_queue.task_done()
        return True

    def _take_next(self) -> DeferredOperation | None:
        """Takes the first operation that may run out of the queue; no lock is held while it is asked."""
        waiting = self.operation_queue
        with waiting.mutex:
            first = waiting.queue[0] if waiting.queue else None
        if first is None:
            return None
        if self._may_run(first) and self._take(first):
            return first
        with waiting.mutex:
            others = list(waiting.queue)
        for operation in sorted(others):
            if operation is not first and self._may_run(operation) and self._take(operation):
                return operation
        return None

    def _may_run(self, operation: DeferredOperation) -> bool:
        try:
            return bool(self._should_execute_now(operation))
        except Exception:
            # What cannot even be judged would stay for ever: it runs, and fails by itself.
            _log("a deferred operation cannot be judged")
            return True

    def _take(self, operation: DeferredOperation) -> bool:
        waiting = self.operation_queue
        with waiting.mutex:
            place = next((at for at, other in enumerate(waiting.queue) if other is operation), None)
            if place is None:
                return False
            if place == 0:
                heapq.heappop(waiting.queue)
            else:
                del waiting.queue[place]
                heapq.heapify(waiting.queue)
            waiting.not_full.notify()
        deferred = self.deferred_operations.get(getattr(operation, "priority", None), [])  # type: ignore[arg-type]
        for at, other in enumerate(deferred):
            if other is operation:
                del deferred[at]
                break
        return True


def _work(manager: weakref.ref[PowerManager], stop: threading.Event) -> None:
    """What a worker's thread does. It holds no reference to the manager while it sleeps."""
    held = manager()
    if held is None:
        return
    if type(held)._worker_loop is not PowerManager._worker_loop or "_worker_loop" in vars(held):
        held._worker_loop(held._worker_target)
        return
    while not stop.is_set():
        if held is None:
            return
        seen = held._changes
        waiting = held.operation_queue
        target = held._worker_target
        idle = not stop.is_set() and not held._run_next(target)
        held = target = None
        if idle:
            _sleep(waiting, stop, partial(_has_changed, manager, seen))
        held = manager()


def _has_changed(manager: weakref.ref[PowerManager], seen: int) -> bool:
    held = manager()
    return held is None or held._changes != seen


def _sleep(waiting: queue.PriorityQueue[DeferredOperation], stop: threading.Event, is_due: Callable[[], bool]) -> None:
    """Sleeps until an operation comes, the mode changes, or it is time to look again."""
    with waiting.not_empty:
        if not stop.is_set() and not is_due():
            waiting.not_empty.wait(_LOOK_AGAIN_SECONDS if waiting.queue else _IDLE_SECONDS)


def _log(message: str) -> None:
    """Notes the current exception for programs that listen to the logger `syncdb`."""
    import logging

    logger = logging.getLogger("syncdb")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    logger.warning(message, exc_info=True)


class BatteryAwareClient:
    """Passes calls on to a client, at once or, where the power mode defers them, through the manager's queue.

    The keyword `priority` of any call says how urgent it is, and is not passed on.
    """

    def __init__(
        self,
        client_obj: Any,
        power_manager: PowerManager,
        default_priority: OperationPriority = OperationPriority.MEDIUM,
    ) -> None:
        self.client = client_obj
        self.power_manager = power_manager
        self.default_priority = default_priority
        self._sync_timer: threading.Timer | None = None
        self._last_sync_time: float = 0
        self._timer_lock = threading.Lock()
        self._timer_generation = 0

    def __getattr__(self, name: str) -> Any:
        """A method of the client, deferred when the power mode says so."""
        method = getattr(self.__dict__.get("client"), name, None)
        if not method or not callable(method):
            raise AttributeError(f"the client has no method {name}")

        def call(*args: Any, **kwargs: Any) -> Any:
            priority = kwargs.pop("priority", self.default_priority)
            if self.power_manager.should_defer_operation(priority):
                self.power_manager.enqueue_operation(name, priority, *args, **kwargs)
                return None
            return method(*args, **kwargs)

        return call

    def start_sync_timer(self) -> None:
        """Syncs periodically from now on, in a daemon thread, at the interval that the profile has at the time."""
        with self._timer_lock:
            self._timer_generation += 1
            self._arm()

    def stop_sync_timer(self) -> None:
        """Ends periodic syncs, also when one is running."""
        with self._timer_lock:
            self._timer_generation += 1
            if self._sync_timer is not None:
                self._sync_timer.cancel()
                self._sync_timer = None

    def force_sync(self) -> Any:
        """Syncs now, with high priority; `None` if the client cannot."""
        sync = getattr(self.client, "sync", None)
        if sync is None:
            return None
        result = sync(priority=OperationPriority.HIGH)
        self._last_sync_time = time.time()
        return result

    def _arm(self) -> None:
        if self._sync_timer is not None:
            self._sync_timer.cancel()
        self._sync_timer = _SyncTimer(self, self._timer_generation)
        self._sync_timer.start()

    def _sync_callback(self) -> None:
        """Syncs, and arms the timer again unless it was stopped or started meanwhile."""
        generation = getattr(threading.current_thread(), "generation", self._timer_generation)
        try:
            sync = getattr(self.client, "sync", None)
            if sync is not None:
                sync(priority=OperationPriority.MEDIUM)
                self._last_sync_time = time.time()
        except Exception:
            _log("a periodic sync failed")
        with self._timer_lock:
            if generation == self._timer_generation:
                self._arm()


class _SyncTimer(threading.Timer):
    """Fires once, after the interval that the profile has by then. It does not keep the client alive."""

    def __init__(self, client: BatteryAwareClient, generation: int) -> None:
        super().__init__(client.power_manager.get_sync_interval(), _do_nothing)
        self.daemon = True
        self.name = "syncdb-sync-timer"
        self.client = weakref.ref(client)
        self.generation = generation

    def run(self) -> None:
        start = time.monotonic()
        while True:
            client = self.client()
            if client is None:
                return
            self.interval = client.power_manager.get_sync_interval()
            left = start + self.interval - time.monotonic()
            if left <= 0:
                break
            client = None
            if self.finished.wait(min(left, _IDLE_SECONDS)):
                return
        if not self.finished.is_set():
            client._sync_callback()
        self.finished.set()


def _do_nothing() -> None:
    """A timer of ours calls back by itself."""
