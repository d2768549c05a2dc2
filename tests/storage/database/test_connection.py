"""Transactions: all or nothing is written, also on a full disk. Files are attached only while they are needed."""

from __future__ import annotations

import subprocess
import sys
import threading
from textwrap import dedent
from typing import Any

import duckdb
import pytest

from geographer.base.errors import DamagedFileError, StorageError, UsageError
from geographer.storage.database.connection import (
    Database,
    interrupt_queries,
    memory_connection,
    open_transaction,
)
from geographer.storage.database.duckdb_errors import is_interrupt


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
    with pytest.raises(DamagedFileError, match="does not exist"), database.open_connection(log="r", state="r"):
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


def test_interrupt_ends_queries_of_all_threads():
    started, errors = threading.Event(), []

    def run_query():
        with memory_connection() as connection:
            started.set()
            try:
                connection.execute("SELECT count(*) FROM range(100000000000) WHERE hash(range) = 1").fetchall()
            except duckdb.Error as error:
                errors.append(error)

    thread = threading.Thread(target=run_query)
    thread.start()
    assert started.wait(10)
    while thread.is_alive():
        interrupt_queries()
        thread.join(0.05)
    assert [is_interrupt(error) for error in errors] == [True]


@pytest.mark.parametrize(
    "name", ["it's", 'say "x"', "a*b[c]{d}", "new\nline", "p%20&q=1#h ;x", "back\\slash", "été 日本"]
)
def test_folders_of_any_name_are_used(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    database = Database(folder)
    with database.open_connection(log="w") as connection:
        connection.execute("CREATE TABLE log.numbers AS SELECT 7 AS number")
    with database.clone_database().open_connection(log="r") as connection:
        assert connection.execute("FROM log.numbers").fetchone() == (7,)
    assert [path.name for path in folder.iterdir()] == ["log.duckdb"]


@pytest.mark.parametrize("name", ["a?b", "\udce9t\udce9"])
def test_folders_that_duckdb_cannot_use_are_refused(tmp_path, name):
    with pytest.raises(UsageError, match="Rename"), Database(tmp_path / name).open_connection(log="w"):
        pass


def test_commit_that_only_wal_holds_is_not_denied():
    """On a full disk, the commit can be durable although the file cannot be completed."""

    class FullDiskConnection:
        def execute(self, statement):
            if statement == "COMMIT":
                raise duckdb.IOException("Transaction COMMIT succeeded and is durable, but the autocheckpoint failed.")

    connection: Any = FullDiskConnection()
    with pytest.raises(StorageError, match="the change is recorded"), open_transaction(connection, "not written: {}"):
        pass


def test_lack_of_memory_is_a_storage_error(tmp_path):
    database = Database(tmp_path)
    with pytest.raises(StorageError, match="not enough memory"), database.open_connection(log="w") as connection:
        connection.execute(
            "SET memory_limit = '1MB'; SET temp_directory = ''; SELECT uuid() FROM range(1000000) ORDER BY 1"
        ).fetchall()
