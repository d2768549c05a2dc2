"""Transactions: all or nothing is written, also on a full disk."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from geographer.base.errors import StorageError
from geographer.storage.database.connection import open_transaction


@pytest.mark.parametrize(
    "message", ["TransactionContext Error: Failed to commit: No space left on device", "IO Error: x"]
)
def test_transaction_reports_full_disk(message):
    kind = duckdb.IOException if message.startswith("IO") else duckdb.TransactionException

    class FullDiskConnection:
        """A connection whose commit fails and ends the transaction."""

        def execute(self, statement):
            if statement == "COMMIT":
                raise kind(message)
            if statement == "ROLLBACK":
                raise duckdb.TransactionException("no transaction is active")

    connection: Any = FullDiskConnection()
    with (
        pytest.raises(StorageError, match=r"not written: .*(No space|x)"),
        open_transaction(connection, "not written: {}"),
    ):
        pass


def test_transaction_rolls_back_failed_block():
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE numbers (number INTEGER)")
        with pytest.raises(duckdb.ConversionException), open_transaction(connection, "{}"):
            connection.execute("INSERT INTO numbers VALUES (1); INSERT INTO numbers VALUES ('none')")
        assert connection.execute("SELECT count(*) FROM numbers").fetchone() == (0,)
