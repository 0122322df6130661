"""What client and server say to each other, and the engine that says it.

A request names what the client has and carries its changes; the response carries what the client lacks. Besides the
fields that programs see, both carry `positions`: for each table which table object is meant (its origin), how many of
its changes are known, and which of the client's changes arrived. A message without it is answered in full.
"""

from __future__ import annotations

import contextlib
import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, cast

from tandemdb._native import syncdb as native

from syncdb.db.database import Database
from syncdb.sync._exchange import Exchange, has_table, renew_if_migrated, same_table, table_of
from syncdb.sync.change_tracker import ChangeRecord, ChangeTracker, VersionVector
from syncdb.sync.conflict_resolution import server_modified

__all__ = [
    "ChangeRecord",
    "ChangeTracker",
    "Database",
    "NetworkSimulator",
    "SyncEngine",
    "SyncRequest",
    "SyncResponse",
    "SyncState",
    "VersionVector",
]

Row = dict[str, Any]
Key = tuple[Any, ...]
# Objects of any class that have the methods.
DatabaseLike = Any
TrackerLike = Any
NetworkLike = Any
ResolverLike = Any
Element = Any

logger = logging.getLogger("syncdb.sync")

ATTEMPTS_MAX = 16
"""How often changes start again because others change their rows meanwhile, before they are refused."""
FIRST_ROW_ID = 1000
"""Id of the first change that a response makes of a row; changes of the tracker keep theirs."""


@dataclass
class SyncState:
    """What is known of one client: when it synced, and what it has of each table."""

    client_id: str
    last_sync_time: float = 0.0
    sync_count: int = 0
    table_change_ids: dict[str, int] = field(default_factory=dict)
    version_vectors: dict[str, VersionVector] = field(default_factory=dict)

    def update_table_change_id(self, table_name: str, change_id: int) -> None:
        """Notes the id of a change the client has; never goes back."""
        ids = self.table_change_ids
        if change_id > ids.get(table_name, -1):
            ids[table_name] = change_id
        elif table_name not in ids:
            ids[table_name] = -1

    def get_table_change_id(self, table_name: str) -> int:
        """The greatest id the client has, -1 if none is known."""
        return self.table_change_ids.get(table_name, -1)

    def update_version_vector(self, table_name: str, vector: VersionVector) -> None:
        """Merges a vector into the table's; the first one is kept itself."""
        mine = self.version_vectors.get(table_name)
        if mine is None:
            self.version_vectors[table_name] = vector
        else:
            mine.update(vector)

    def get_version_vector(self, table_name: str) -> VersionVector:
        """The table's vector itself, made if there is none."""
        vector = self.version_vectors.get(table_name)
        if vector is None:
            vector = self.version_vectors[table_name] = VersionVector(self.client_id)
        return vector

    def mark_sync_complete(self) -> None:
        """Counts one more sync, now."""
        self.last_sync_time = time.time()
        self.sync_count += 1


def _read_changes(tables: dict[str, Iterable[Any]]) -> dict[str, list[Any]]:
    """The changes of a message: dictionaries become records, everything else stays."""
    return {name: native.read_changes(changes) for name, changes in tables.items()}


def _write_change(element: Element) -> Element:
    """A change for a message: what has a `to_dict` with both pairs of names, everything else as it is."""
    if not hasattr(element, "to_dict"):
        return element
    data = dict(element.to_dict())
    data["old_record"] = data.get("old_data")
    data["new_record"] = data.get("new_data")
    return data


def _write_changes(tables: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {name: [_write_change(element) for element in changes] for name, changes in tables.items()}


def _positions(message: Element) -> dict[str, Any]:
    """The positions of a message; empty for one that a program has built."""
    positions = getattr(message, "_positions", None)
    return positions if isinstance(positions, dict) else {}


@dataclass
class SyncRequest:
    """What a client has, and its changes."""

    client_id: str
    table_change_ids: dict[str, int]
    client_changes: dict[str, list[ChangeRecord]]
    version_vectors: dict[str, dict[str, int]]

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SyncRequest:
        """The request that `to_dict` described; without `client_changes` there are none."""
        request = cls(
            client_id=data["client_id"],
            table_change_ids=data["table_change_ids"],
            client_changes=_read_changes(data.get("client_changes") or {}),
            version_vectors=data["version_vectors"],
        )
        if data.get("positions"):
            request._positions = data["positions"]  # type: ignore[attr-defined]
        return request

    def to_dict(self) -> dict[str, Any]:
        """The request as a dictionary; changes have their rows under both pairs of names."""
        data: dict[str, Any] = {
            "client_id": self.client_id,
            "table_change_ids": self.table_change_ids,
            "client_changes": _write_changes(self.client_changes),
            "version_vectors": self.version_vectors,
        }
        if _positions(self):
            data["positions"] = _positions(self)
        return data


@dataclass
class SyncResponse:
    """What the client lacks, and how its changes fared."""

    server_changes: dict[str, list[ChangeRecord]]
    conflicts: dict[str, list[dict[str, Any]]]
    success: bool = True
    error_message: str | None = None
    current_change_ids: dict[str, int] = field(default_factory=dict)
    version_vectors: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> SyncResponse:
        """The response that `to_dict` described; what is missing has its default."""
        response = cls(
            server_changes=_read_changes(data.get("server_changes") or {}),
            conflicts=data.get("conflicts", {}),
            success=data.get("success", True),
            error_message=data.get("error_message"),
            current_change_ids=data.get("current_change_ids", {}),
            version_vectors=data.get("version_vectors", {}),
        )
        if data.get("positions"):
            response._positions = data["positions"]  # type: ignore[attr-defined]
        return response

    def to_dict(self) -> dict[str, Any]:
        """The response as a dictionary; changes have their rows under both pairs of names."""
        data: dict[str, Any] = {
            "server_changes": _write_changes(self.server_changes),
            "conflicts": self.conflicts,
            "success": self.success,
            "error_message": self.error_message,
            "current_change_ids": self.current_change_ids,
            "version_vectors": self.version_vectors,
        }
        if _positions(self):
            data["positions"] = _positions(self)
        return data


def _fields(message: SyncRequest | SyncResponse) -> dict[str, Any]:
    """The entries of a message, its changes as they are."""
    if isinstance(message, SyncRequest):
        names: tuple[str, ...] = ("client_id", "table_change_ids", "client_changes", "version_vectors")
    else:
        names = ("server_changes", "conflicts", "success", "error_message", "current_change_ids", "version_vectors")
    data = {name: getattr(message, name) for name in names}
    if _positions(message):
        data["positions"] = _positions(message)
    return data


def write_request(request: SyncRequest) -> str:
    """The request as JSON text. Changes that no JSON can carry are left out and reported to the log."""
    if type(request).to_dict is not SyncRequest.to_dict:
        return native.write_message(request.to_dict(), "client_changes")[0]
    text, refused = native.write_message(_fields(request), "client_changes")
    for change, reason in refused:
        logger.warning("not sent: %s of %s %s: %s", change.operation, change.table_name, change.primary_key, reason)
    return text


def write_response(response: SyncResponse) -> str:
    """The response as JSON text. Rows that no JSON can carry are left out and reported to the log."""
    if type(response).to_dict is not SyncResponse.to_dict:
        return native.write_message(response.to_dict(), "server_changes")[0]
    text, refused = native.write_message(_fields(response), "server_changes")
    for change, reason in refused:
        logger.warning("not sent: %s of %s %s: %s", change.operation, change.table_name, change.primary_key, reason)
    return text


def _with(message: Element, data: dict[str, Any]) -> Element:
    if data.get("positions"):
        message._positions = data["positions"]
    return message


def read_request(text: str) -> SyncRequest:
    """The request of a JSON text; `json.JSONDecodeError` if it is none."""
    data = native.read_message(text, "client_changes")
    if data is None:
        return SyncRequest.from_dict(json.loads(text))
    request = SyncRequest(
        data["client_id"], data["table_change_ids"], data.get("client_changes", {}), data["version_vectors"]
    )
    return cast(SyncRequest, _with(request, data))


def read_response(text: str) -> SyncResponse:
    """The response of a JSON text; `json.JSONDecodeError` if it is none."""
    data = native.read_message(text, "server_changes")
    if data is None:
        return SyncResponse.from_dict(json.loads(text))
    response = SyncResponse(
        data.get("server_changes", {}),
        data.get("conflicts", {}),
        data.get("success", True),
        data.get("error_message"),
        data.get("current_change_ids", {}),
        data.get("version_vectors", {}),
    )
    return cast(SyncResponse, _with(response, data))


class NetworkSimulator:
    """A network that is late, loses messages, or is slow."""

    def __init__(
        self, latency_ms: float = 0, packet_loss_percent: float = 0.0, bandwidth_kbps: float | None = None
    ) -> None:
        """A network; without arguments a perfect one. Loss is between 0 and 100."""
        self.latency_ms = latency_ms
        self.packet_loss_percent = max(0.0, min(100.0, packet_loss_percent))
        self.bandwidth_kbps = bandwidth_kbps

    def send(self, data: str) -> str | None:
        """`data` itself after the time it takes, or `None` at once if it is lost."""
        if random.random() * 100 < self.packet_loss_percent:
            return None
        if self.latency_ms > 0:
            seconds = self.latency_ms / 1000
            start = time.time()
            time.sleep(seconds)
            left = seconds - (time.time() - start)
            if 0 < left <= seconds:
                time.sleep(left + 1e-6)
        if self.bandwidth_kbps is not None and self.bandwidth_kbps > 0:
            time.sleep(len(data.encode("utf-8", "surrogatepass")) / (self.bandwidth_kbps * 128))
        return data


class SyncEngine:
    """Both sides of a sync: makes requests, answers them, and applies answers."""

    def __init__(
        self,
        database: DatabaseLike,
        change_tracker: TrackerLike,
        network: NetworkLike = None,
        conflict_resolver: ResolverLike = None,
    ) -> None:
        """An engine over a server's database and history; all attributes may be replaced at any time."""
        self.database = database
        self.change_tracker = change_tracker
        self.network = NetworkSimulator() if network is None else network
        self.conflict_resolver = conflict_resolver
        self.client_sync_states: dict[str, SyncState] = {}
        self.server_id = "server"
        self._key = uuid.uuid4().hex
        # By server's table and client's table: rows written by requests whose answer may have been lost.
        self._written: dict[tuple[str, str], dict[Key, int]] = {}
        self._local = threading.local()
        self._on_handled: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """All but what belongs to this thread and process."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_local", "_on_handled")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """An engine of its own with what another one knew."""
        self.__dict__.update(state)
        self._key = uuid.uuid4().hex
        self._local = threading.local()
        self._on_handled = None

    def get_or_create_client_state(self, client_id: str) -> SyncState:
        """The state of a client, the same object each time."""
        state = self.client_sync_states.get(client_id)
        if state is None:
            state = self.client_sync_states.setdefault(client_id, SyncState(client_id))
        return state

    # The client's side.

    def create_sync_request(
        self, client_id: str, tables: Iterable[str], client_database: DatabaseLike, client_change_tracker: TrackerLike
    ) -> str:
        """The JSON of a request for `tables`: what the client has, and changes that no server has acknowledged."""
        return write_request(self._request(client_id, tables, client_database, client_change_tracker))

    def _request(
        self, client_id: str, tables: Iterable[str], database: DatabaseLike, tracker: TrackerLike
    ) -> SyncRequest:
        state = self.get_or_create_client_state(client_id)
        request = SyncRequest(client_id, {}, {}, {})
        positions: dict[str, Any] = {}
        for name in tables:
            change_id = state.get_table_change_id(name)
            request.table_change_ids[name] = change_id
            request.version_vectors[name] = state.get_version_vector(name).to_dict()
            changes = self._unsent(tracker, name)
            if changes:
                request.client_changes[name] = changes
            table = table_of(database, name)
            if table is not None:
                positions[name] = {"client": table._stamps.origin}
                known = table._known.get(self._key)
                # A state that a program has set back asks for everything.
                if known is not None and change_id >= known[2]:
                    positions[name].update(origin=known[0], position=known[1])
        if positions:
            request._positions = positions  # type: ignore[attr-defined]
        return request

    def exchange(self, client_id: str, tables: Iterable[str], database: DatabaseLike, tracker: TrackerLike) -> bool:
        """A whole sync with this engine's server: request, answer, and what they bring; `False` if one was lost.

        Text is made only where somebody could see it, or where it says something else than the data.
        """
        request = self._request(client_id, tables, database, tracker)
        if self._is_direct() and native.are_sendable(request.client_changes):
            if self.network.send("") is None:
                return False
            request.client_changes = {
                name: native.copy_changes(changes) for name, changes in request.client_changes.items()
            }
        else:
            received = self.network.send(write_request(request))
            if received is None:
                return False
            request = read_request(received)
        response = self._handle_sync_request(request)
        if not (self._is_direct() and native.are_sendable(response.server_changes)):
            answer = self.network.send(write_response(response))
            return self.process_sync_response(client_id, answer, database, tracker)[0]
        if self.network.send("") is None:
            return False
        return self._accept(client_id, response, database, tracker)[0]

    def _is_direct(self) -> bool:
        """Whether nobody can see what goes over the network, nor how long it is."""
        network = self.network
        return (
            type(network) is NetworkSimulator
            and network.bandwidth_kbps is None
            and "send" not in network.__dict__
            and NetworkSimulator.send is _OWN["send"]
            and self._is_own("_handle_sync_request")
            and self._is_own("process_sync_response")
        )

    def _acknowledged(self, tracker: TrackerLike) -> dict[str, int]:
        """Ids up to which the server at this engine has acknowledged a tracker's changes, by table."""
        acknowledged = getattr(tracker, "_acknowledged", None)
        if not isinstance(acknowledged, dict):
            return {}
        return cast("dict[str, int]", acknowledged.setdefault(self._key, {}))

    def _unsent(self, tracker: TrackerLike, table_name: str) -> list[ChangeRecord]:
        if tracker is None:
            return []
        since = self._acknowledged(tracker).get(table_name, -1)
        return cast("list[ChangeRecord]", tracker.get_changes_since(table_name, since, self.server_id))

    def process_sync_response(
        self,
        client_id: str,
        response_json: str | None,
        client_database: DatabaseLike,
        client_change_tracker: TrackerLike,
    ) -> tuple[bool, str | None]:
        """Applies an answer to the client's database. `False` and the reason if it was lost or is a refusal."""
        if response_json is None:
            return False, "Sync failed due to network issues"
        return self._accept(client_id, read_response(response_json), client_database, client_change_tracker)

    def _accept(
        self,
        client_id: str,
        response: SyncResponse,
        client_database: DatabaseLike,
        client_change_tracker: TrackerLike,
    ) -> tuple[bool, str | None]:
        if not response.success:
            return False, response.error_message or "Sync failed"
        state = self.get_or_create_client_state(client_id)
        positions = _positions(response)
        for name, changes in response.server_changes.items():
            position = positions.get(name) or {}
            self._take(name, changes, position, client_database, client_change_tracker)
            change_id = response.current_change_ids.get(name, -1)
            if change_id >= 0:
                state.update_table_change_id(name, change_id)
            vector = response.version_vectors.get(name)
            if vector is not None:
                state.update_version_vector(name, VersionVector.from_dict(vector, client_id))
        return True, None

    def _take(
        self, name: str, changes: list[Any], position: dict[str, Any], database: DatabaseLike, tracker: TrackerLike
    ) -> None:
        """Applies what the server sent of one table, and notes what arrived."""
        acknowledged = position.get("acknowledged", -1)
        table = table_of(database, name)
        if table is None or position.get("origin") != table._stamps.origin:
            waiting = self._waiting(tracker, name, acknowledged) if position else set()
            complete = self._apply_server_changes(database, name, changes, waiting)
        else:
            # The client is its own server: it has what it would be told.
            complete = True
        acknowledgements = self._acknowledged(tracker)
        if acknowledged > acknowledgements.get(name, -1):
            acknowledgements[name] = acknowledged
        origin = position.get("origin")
        if table is None or origin is None:
            return
        known = table._known.get(self._key)
        if known is not None and not same_table(known[0], origin):
            # Another table answers: it has to be told all of the client's changes.
            acknowledgements[name] = -1
        if complete:
            change_id = self._state_id(position)
            table._known[self._key] = (origin, position["position"], change_id)

    @staticmethod
    def _state_id(position: dict[str, Any]) -> int:
        return int(position.get("change_id", -1))

    def _waiting(self, tracker: TrackerLike, name: str, acknowledged: int) -> set[Key]:
        """Keys of rows that the client has changed since it sent the request."""
        if tracker is None:
            return set()
        since = max(acknowledged, self._acknowledged(tracker).get(name, -1))
        return {tuple(change.primary_key) for change in tracker.get_changes_since(name, since, self.server_id)}

    def _apply_server_changes(self, database: DatabaseLike, name: str, changes: list[Any], waiting: set[Key]) -> bool:
        """Applies changes in order, but none to rows that wait to be sent; whether none was left out for that."""
        if self._is_own("_apply_server_change"):
            complete, errors = native.take_changes(database, name, changes, waiting)
        else:
            complete, errors = True, []
            for change in changes:
                if tuple(change.primary_key) in waiting:
                    complete = False
                    continue
                try:
                    self._apply_server_change(database, name, change)
                except Exception as error:
                    errors.append((change, str(error)))
        for change, reason in errors:
            logger.warning("not applied: a change of %s from the server, %s: %s", name, change, reason)
        return complete

    def _is_own(self, method: str) -> bool:
        """Whether a method is this class's, and not replaced in a subclass, in the class or in the object."""
        return getattr(type(self), method) is _OWN[method] and method not in self.__dict__

    def _apply_server_change(self, client_database: DatabaseLike, table_name: str, change: ChangeRecord) -> None:
        """Puts or deletes one row of the client's database, by what it has."""
        _, errors = native.take_changes(client_database, table_name, [change], set())
        for _, reason in errors:
            raise ValueError(reason)

    # The server's side.

    def process_sync_request(self, request_json: str) -> str | None:
        """Receives a request over the network, handles it and sends the answer; `None` if either was lost."""
        received = self.network.send(request_json)
        if received is None:
            return None
        response = self._handle_sync_request(read_request(received))
        return cast("str | None", self.network.send(write_response(response)))

    def _handle_sync_request(self, request: SyncRequest) -> SyncResponse:
        """Applies the client's changes and answers with what the client lacks."""
        client_id = request.client_id
        state = self.get_or_create_client_state(client_id)
        response = SyncResponse({}, {})
        positions: dict[str, Any] = {}
        names = dict.fromkeys(request.table_change_ids)
        names.update(dict.fromkeys(request.version_vectors))
        for name in names:
            vector = VersionVector.from_dict(request.version_vectors.get(name, {}), client_id)
            changes = native.read_changes(request.client_changes.get(name) or ())
            table = table_of(self.database, name)
            if table is not None:
                renew_if_migrated(table)
            elif changes and not has_table(self.database, name):
                raise ValueError(f"Table {name} does not exist")
            exchange = Exchange(client_id, name, table, _positions(request).get(name) or {})
            self._recall(exchange)
            with self._during(exchange):
                conflicts = self._receive(exchange, changes, state.get_version_vector(name))
            if conflicts:
                response.conflicts[name] = conflicts
            vector.increment()
            state.update_version_vector(name, vector)
            response.version_vectors[name] = state.get_version_vector(name).to_dict()
            change_id = -1 if self.change_tracker is None else self.change_tracker.get_latest_change_id(name)
            response.current_change_ids[name] = change_id
            if table is not None and exchange.origin is not None:
                positions[name] = {
                    "origin": table._stamps.origin,
                    "position": table._stamps.position,
                    "change_id": change_id,
                }
                if changes:
                    positions[name]["acknowledged"] = max(change.id for change in changes)
                if exchange.refused:
                    positions[name]["refused"] = exchange.refused
            since = request.table_change_ids.get(name, -1)
            response.server_changes[name] = self._lacking(exchange, changes, since)
        if positions:
            response._positions = positions  # type: ignore[attr-defined]
        state.mark_sync_complete()
        if self._on_handled is not None:
            self._on_handled(client_id)
        return response

    def _receive(self, exchange: Exchange, changes: list[Any], vector: VersionVector) -> list[dict[str, Any]]:
        """Looks for conflicts and applies the changes; the conflicts that decided.

        No lock is held while resolvers run. A row that somebody else changes meanwhile is not overwritten: its changes
        are in conflict with the new row, and start again.
        """
        name = exchange.table_name
        conflicts: list[dict[str, Any]] = []
        for _ in range(ATTEMPTS_MAX):
            if exchange.table is not None:
                exchange.seen = native.Sighting(exchange.table._stamps)
            exchange.moved = []
            conflicts += self._detect_conflicts(name, changes, vector)
            self._apply_client_changes(name, changes, conflicts)
            if not exchange.moved:
                return conflicts
            changes = exchange.moved
            again = {tuple(change.primary_key) for change in changes}
            conflicts = [one for one in conflicts if tuple(one["client_change"]["primary_key"]) not in again]
        for change in changes:
            reason = "others kept changing the row while its conflict was resolved"
            logger.warning("refused: %s of %s %s: %s", change.operation, name, change.primary_key, reason)
            exchange.failed.add(tuple(change.primary_key))
            exchange.refused.append(f"{change.operation} of {change.primary_key}: {reason}")
        return conflicts

    @contextlib.contextmanager
    def _during(self, exchange: Exchange) -> Iterator[None]:
        """While one table of a request is handled, its hooks find here what is known of the client."""
        before = getattr(self._local, "exchange", None)
        self._local.exchange = exchange
        try:
            yield
        finally:
            self._local.exchange = before

    def _current(self, table_name: str) -> Exchange | None:
        exchange: Exchange | None = getattr(self._local, "exchange", None)
        return exchange if exchange is not None and exchange.table_name == table_name else None

    def _recall(self, exchange: Exchange) -> None:
        """Which rows the client wrote in requests whose answer it may not have seen."""
        if exchange.table is None or exchange.origin is None:
            return
        pair = (exchange.table._stamps.origin, exchange.origin)
        known = exchange.known or 0
        exchange.written = {key: stamp for key, stamp in self._written.get(pair, {}).items() if stamp > known}
        self._written[pair] = exchange.written

    def _detect_conflicts(
        self,
        table_name: str,
        client_changes: list[Any],
        server_vector: VersionVector | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """The changes whose row somebody else has changed too, each with the row and how it is resolved."""
        exchange = self._current(table_name)
        settled = self._settled(exchange, client_changes)
        conflicts = []
        for change, key, row in native.changes_of_rows(self.database, table_name, client_changes):
            if key in settled:
                continue
            if change.operation == "insert":
                conflicting = self._changed_by_another(table_name, key)
            else:
                client_id = change.client_id if exchange is None else exchange.client_id
                conflicting = self._record_modified_since_client_sync(table_name, key, client_id)
            if conflicting:
                conflicts.append(self._resolve(table_name, change, key, row))
        return conflicts

    def _settled(self, exchange: Exchange | None, changes: list[Any]) -> set[Key]:
        """Keys whose changes are in the table already, where the client's table is the server's own."""
        if exchange is None or not exchange.same_table or exchange.table is None:
            return set()
        settled = set()
        for key, change in {tuple(change.primary_key): change for change in changes}.items():
            row = self.database.get(exchange.table_name, key)
            wanted = None if change.operation == "delete" else change.new_data
            later = exchange.table.last_modified.get(key, change.timestamp) > change.timestamp
            if row == wanted or later:
                settled.add(key)
        return settled

    def _resolve(self, table_name: str, change: Element, key: Key, row: Row) -> dict[str, Any]:
        """Asks the resolver; one that raises leaves the server's row as it is."""
        conflict: dict[str, Any] = {
            "client_change": change.to_dict(),
            "server_record": native.deepcopy(row),
            "resolution": None,
        }
        resolver = self.conflict_resolver
        if resolver is None:
            return conflict
        table = table_of(self.database, table_name)
        modified = None if table is None else table.last_modified.get(key)
        token = server_modified.set(None if modified is None else (table_name, key, modified))
        exchange = self._current(table_name)
        seen = None if exchange is None else exchange.seen
        try:
            # What a resolver writes itself is no change by others.
            with contextlib.nullcontext() if seen is None else seen:
                conflict["resolution"] = resolver(table_name, change, row)
        except Exception as error:
            conflict["error"] = f"{type(error).__name__}: {error}"
            logger.warning("the resolver of %s raised for %s: %s", table_name, key, conflict["error"])
            log = getattr(getattr(resolver, "__self__", None), "_log", None)
            if callable(log):
                log(table_name, change, conflict["server_record"], conflict["server_record"], conflict["error"])
        finally:
            server_modified.reset(token)
        return conflict

    def _changed_by_another(self, table_name: str, key: Key) -> bool:
        """Whether somebody else has written the row since the state that the client has seen."""
        exchange = self._current(table_name)
        if exchange is None or exchange.table is None:
            return True
        stamp = exchange.table._stamps.stamp(key)
        if exchange.written.get(key) == stamp:
            return False
        return exchange.known is None or stamp > exchange.known

    def _record_modified_since_client_sync(
        self,
        table_name: str,
        primary_key: Element,
        client_id: str,  # noqa: ARG002
    ) -> bool:
        """Whether a row that exists was changed by somebody else since the client saw it."""
        return self._changed_by_another(table_name, tuple(primary_key))

    def _apply_client_changes(
        self, table_name: str, client_changes: list[Any], conflicts: list[dict[str, Any]]
    ) -> None:
        """Applies the client's changes in order, those in conflict as they were resolved."""
        if not client_changes:
            return
        exchange = self._current(table_name)
        settled = self._settled(exchange, client_changes)
        resolved = {tuple(conflict["client_change"]["primary_key"]): conflict for conflict in conflicts}
        keys, errors, moved = native.put_changes(
            self.database,
            table_name,
            client_changes,
            resolved,
            settled,
            None if exchange is None else exchange.seen,
            None if self._is_own("_apply_change") else self._apply_change,
        )
        for change, reason in errors:
            logger.warning("refused: %s of %s %s: %s", change.operation, table_name, change.primary_key, reason)
        if exchange is not None:
            exchange.moved = moved
            exchange.failed.update(tuple(change.primary_key) for change, _ in errors)
            exchange.refused.extend(
                f"{change.operation} of {change.primary_key}: {reason}" for change, reason in errors
            )
            if exchange.table is not None and exchange.origin is not None:
                native.note_stamps(exchange.table._stamps, keys, exchange.written)

    def _apply_change(self, table_name: str, change: Element, resolution: Row | None = None) -> None:
        """Puts the resolution or the change's row, or deletes the row."""
        native.put_change(self.database, table_name, change, resolution or change.new_data)

    def _lacking(self, exchange: Exchange, changes: list[Any], since: int) -> list[ChangeRecord]:
        """What the client lacks of a table: changes of the tracker, rows, and deleted keys."""
        name = exchange.table_name
        told: list[ChangeRecord] = []
        if self.change_tracker is not None and not exchange.same_table:
            told = native.copy_changes(self.change_tracker.get_changes_since(name, since, exchange.client_id))
        if self.database is None or not has_table(self.database, name):
            return told
        sent: dict[Key, Any] = {}
        for change in changes:
            sent[tuple(change.primary_key)] = None if change.operation == "delete" else change.new_data
        keys = None
        if exchange.table is not None and exchange.known is not None:
            keys = exchange.table._stamps.changed_since(exchange.known)
        if not exchange.full:
            return told + native.rows_lacking(
                self.database, name, keys, sent, exchange.failed, self.server_id, FIRST_ROW_ID
            )
        # All rows, and the deletes that a client of before a migration has not seen.
        for key in keys or ():
            sent.setdefault(key, {})
        return told + native.rows_lacking(
            self.database, name, None, sent, exchange.failed, self.server_id, FIRST_ROW_ID
        )


_OWN = {
    "send": NetworkSimulator.send,
    "_apply_server_change": SyncEngine._apply_server_change,
    "_apply_change": SyncEngine._apply_change,
    "_handle_sync_request": SyncEngine._handle_sync_request,
    "process_sync_response": SyncEngine.process_sync_response,
    "create_sync_request": SyncEngine.create_sync_request,
}
"""What may have been replaced, as it was."""
