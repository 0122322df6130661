"""Records in memory, found by id and by indexed fields."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from time import time
from typing import Any, Generic, TypeVar

from tandemdb._native import common as native

from common.core.base import BaseCollection

T = TypeVar("T")

_Order = native._Order


class Index(native.Index, Generic[T]):
    """Ids of records by the value of one field.

    The value is the record's attribute of that name when it is not `None`, else the one in its metadata. Records
    without a value are not in the index.
    """

    def __init__(self, field_name: str) -> None:
        """Empty."""
        super().__init__(field_name)


class InMemoryStorage(BaseCollection[T]):
    """Records by id, with indices that follow every change made through the storage.

    `_records` and `_indices` are the storage itself: what is written into them is there. Whoever writes a record there
    tells the indices with `index.update(old, new)`.
    """

    _indices: dict[str, Index[T]]
    _last_modified: float

    def __init__(self) -> None:
        """Empty, without indices."""
        super().__init__()
        self._indices = {}
        self._order = _Order()
        self._last_modified = time()

    def add_index(self, field_name: str) -> None:
        """Indexes a field of the records that are there and of those to come; again, it does nothing."""
        if field_name not in self._indices:
            index: Index[T] = Index(field_name)
            self._order.renumber(self._records)
            index.file(self._records)
            self._indices[field_name] = index

    def remove_index(self, field_name: str) -> None:
        """Forgets the index of a field, if there is one."""
        self._indices.pop(field_name, None)

    def add(self, record: T) -> Any:
        """Keeps the record under its id, in place of one that is there, and returns the id.

        Raises `ValueError` when the id is `None`, and `TypeError` when an indexed field has an unhashable value; then
        nothing is changed.
        """
        if self._indices:
            record_id = native.put(self._records, self._indices, self._order, record)
        else:
            record_id = record.id  # type: ignore[attr-defined]
            if record_id is None:
                raise ValueError("Record must have an ID")
            self._records[record_id] = record
        self._last_modified = time()
        return record_id

    def update(self, record_id: Any, **attributes: Any) -> T | None:
        """Sets attributes that the record has, ignores others, and returns the record, or `None` when unknown.

        Raises `TypeError` when an indexed field gets an unhashable value; then nothing is changed.
        """
        record = self._records.get(record_id)
        if record is not None:
            now = time()
            native.change(record_id, record, attributes, self._indices, now)
            self._last_modified = now
        return record

    def delete(self, record_id: Any) -> bool:
        """Takes the record out of the storage and its indices; whether there was one."""
        if self._indices:
            if not native.take(self._records, self._indices, self._order, record_id):
                return False
        elif record_id in self._records:
            del self._records[record_id]
        else:
            return False
        self._last_modified = time()
        return True

    def query(self, field_name: str, value: Any) -> builtins.list[T]:
        """Records whose field has the value, in the order of the storage, by the field's index when there is one.

        `None` finds the records without the field.
        """
        return native.search(self._records, self._indices, self._order, field_name, value)

    def filter(self, predicate: Callable[[T], Any]) -> builtins.list[T]:
        """Records for which the predicate is true, in the order of the storage."""
        return [record for record in self._records.values() if predicate(record)]

    def clear(self) -> None:
        """Forgets all records; the indices stay, empty."""
        self._records.clear()
        for index in self._indices.values():
            index.clear()
        self._order.clear()
        self._last_modified = time()

    def batch_add(self, records: Iterable[T]) -> builtins.list[Any]:
        """`add` of each; a failure keeps what was added before it."""
        if type(self).add is not _ADD:
            return [self.add(record) for record in records]
        try:
            return native.put_all(self._records, self._indices, self._order, records)
        finally:
            self._last_modified = time()

    def batch_update(self, updates: Iterable[tuple[Any, dict[str, Any]]]) -> builtins.list[T | None]:
        """`update` of each pair of an id and attributes; a failure keeps what was changed before it."""
        if type(self).update is not _UPDATE:
            return [self.update(record_id, **attributes) for record_id, attributes in updates]
        try:
            return native.change_all(self._records, self._indices, updates, time())
        finally:
            self._last_modified = time()

    def batch_delete(self, record_ids: Iterable[Any]) -> builtins.list[bool]:
        """`delete` of each."""
        if type(self).delete is not _DELETE:
            return [self.delete(record_id) for record_id in record_ids]
        try:
            return native.take_all(self._records, self._indices, self._order, record_ids)
        finally:
            self._last_modified = time()

    def get_last_modified(self) -> float:
        """When a record was last added, changed or taken out, in seconds since the epoch."""
        return self._last_modified


_ADD = InMemoryStorage.add
_UPDATE = InMemoryStorage.update
_DELETE = InMemoryStorage.delete
