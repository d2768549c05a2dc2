"""Transactions: all or nothing is written, also on a full disk. Files are attached only while they are needed."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent
from typing import Any

import duckdb
import pytest

from geographer.base.errors import StorageError
from geographer.storage.database.connection import Database, open_transaction


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


def test_failed_attachment_detaches_other_file(tmp_path):
    database = Database(tmp_path)
    with database.open_connection(log="w"):
        pass
    with pytest.raises(duckdb.Error), database.open_connection(log="r", state="r"):
        pass
    with database.open_connection() as connection:
        names = connection.execute("SELECT database_name FROM duckdb_databases()").fetchall()
    assert ("log",) not in names


def test_parameters_do_not_import_pandas():
    """DuckDB keeps its reference to pandas for the life of the process, so this needs one of its own."""
    script = """
        import sys
        import duckdb
        from geographer.storage.database.connection import memory_connection
        with memory_connection() as connection:
            query = "SELECT $text, $list, $bytes, $none"
            parameters = {"text": "a", "list": [1, 2], "bytes": b"b", "none": None}
            assert connection.execute(query, parameters).fetchone() == ("a", [1, 2], b"b", None)
            connection.execute("SELECT 1").to_arrow_table()
            assert "pandas" not in sys.modules, "the query imported pandas"
            frame = connection.execute("SELECT $text AS text", {"text": "a"}).df()
            import pandas
            assert type(frame) is pandas.DataFrame and frame["text"].tolist() == ["a"]
            assert connection.execute("SELECT text FROM frame").fetchall() == [("a",)]
            assert connection.execute("SELECT $a, $b", {"a": pandas.NaT, "b": pandas.NA}).fetchone() == (None, None)
        assert duckdb.from_df(frame).fetchall() == [("a",)]
    """
    run = subprocess.run([sys.executable, "-c", dedent(script)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
