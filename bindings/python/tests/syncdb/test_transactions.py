"""Transactions: applied at once, taken back together."""

from typing import Any

import pytest
from syncdb.db.database import Database, Transaction
from syncdb.db.schema import Column, DatabaseSchema, TableSchema


@pytest.fixture
def database() -> Database:
    """Three rows."""
    schema = TableSchema("t", [Column("id", int, primary_key=True), Column("v", object)])
    made = Database(DatabaseSchema({"t": schema}))
    for number in (1, 2, 3):
        made.insert("t", {"id": number, "v": [number]})
    return made


def work(transaction: Transaction) -> None:
    """One of each operation, and several on one row."""
    assert transaction.insert("t", {"id": 4}) == {"id": 4}
    transaction.update("t", {"id": 2, "v": "new"})
    transaction.delete("t", [1])
    transaction.insert("t", {"id": 1, "v": "again"})
    transaction.update("t", {"id": 4, "v": 4})
    transaction.delete("t", (2,))


def state(database: Database) -> Any:
    """All that a rollback restores."""
    table = database.tables["t"]
    return (list(table.records.items()), dict(table.last_modified), list(table.change_log))


@pytest.mark.parametrize("entered", [True, False])
def test_a_rollback_restores_rows_order_times_and_log(database: Database, entered: bool) -> None:
    """With and without `with`; ids of log entries are not used again."""
    before = state(database)
    transaction = database.begin_transaction()
    if entered:
        with pytest.raises(KeyError), transaction as same:
            assert same is transaction
            work(transaction)
            assert database.get("t", (1,)) == {"id": 1, "v": "again"}
            raise KeyError
    else:
        work(transaction)
        transaction.rollback()
    assert state(database) == before
    assert (transaction.committed, transaction.rolled_back) == (False, True)
    database.insert("t", {"id": 9})
    assert database.tables["t"].change_log[-1]["id"] == 10
    for call in (transaction.commit, transaction.rollback, lambda: transaction.delete("t", (3,))):
        with pytest.raises(ValueError, match="completed"):
            call()


def test_what_is_kept(database: Database) -> None:
    """Normal exit keeps without committing; operations and client ids are as documented."""
    with database.begin_transaction() as transaction:
        work(transaction)
    assert (transaction.committed, transaction.rolled_back) == (False, False)
    assert [row["id"] for row in database.query("t")] == [3, 4, 1]
    assert {entry["client_id"] for entry in database.get_changes_since("t", 3)} == {"transaction"}
    assert transaction.operations[0] == ("insert", "t", {"id": 4})
    assert transaction.operations[2] == ("delete", "t", {"primary_key_values": [1]})
    transaction.commit()
    assert transaction.committed


def test_a_rollback_leaves_the_work_of_others(database: Database) -> None:
    """Rows that somebody else has written since, and entries of others."""
    other = database.begin_transaction()
    other.insert("t", {"id": 20})
    other.commit()
    transaction = database.begin_transaction()
    transaction.update("t", {"id": 2, "v": "mine"})
    transaction.insert("t", {"id": 5})
    database.update("t", {"id": 2, "v": "theirs"})
    database.insert("t", {"id": 6})
    transaction.rollback()
    assert database.get("t", (2,)) == {"id": 2, "v": "theirs"}
    assert [row["id"] for row in database.query("t")] == [1, 2, 3, 20, 6]
    assert [entry["client_id"] for entry in database.tables["t"].change_log[3:]] == ["transaction", "server", "server"]


def test_refused_operations_leave_it_open(database: Database) -> None:
    """Errors of the database pass through."""
    with database.begin_transaction() as transaction:
        for call in (
            lambda: transaction.insert("t", {"id": 1}),
            lambda: transaction.update("t", {"id": 77}),
            lambda: transaction.update("t", {}),
            lambda: transaction.delete("t", (77,)),
            lambda: transaction.insert("x", {"id": 1}),
        ):
            with pytest.raises(ValueError, match=r"."):
                call()
        with pytest.raises(TypeError):
            transaction.delete("t", 5)
        assert transaction.operations == []
        transaction.insert("t", {"id": 8})
        transaction.rollback()
    assert database.get("t", (8,)) is None
