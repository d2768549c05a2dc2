"""The engine: all or nothing of what is written, also where the disk is full."""

from __future__ import annotations

import duckdb
import pytest

from geographer.base.errors import StorageError
from geographer.storage.database.connection import open_transaction


@pytest.mark.parametrize("told", ["TransactionContext Error: Failed to commit: No space left on device", "IO Error: x"])
def test_a_commit_that_the_disk_refuses_is_told_as_that(told):
    kind = duckdb.IOException if told.startswith("IO") else duckdb.TransactionException

    class Full:
        """A connection whose commit fails, and which then knows of no transaction."""

        def execute(self, statement):
            if statement == "COMMIT":
                raise kind(told)
            if statement == "ROLLBACK":
                raise duckdb.TransactionException("no transaction is active")

    with pytest.raises(StorageError, match=r"not written: .*(No space|x)"), open_transaction(Full(), "not written: {}"):
        pass


def test_what_a_block_wrote_before_it_failed_is_taken_back():
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE kept (number INTEGER)")
        with pytest.raises(duckdb.ConversionException), open_transaction(connection, "{}"):
            connection.execute("INSERT INTO kept VALUES (1); INSERT INTO kept VALUES ('none')")
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
