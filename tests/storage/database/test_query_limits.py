"""Query limits: a query that takes too long, or whose result is too large, is stopped with a message."""

from __future__ import annotations

import os
import time

import duckdb
import pytest

from geographer.base.errors import UsageError
from geographer.storage.database.query_limits import fetch_limited_table, fetch_limited_texts, limit_time

ENDLESS = "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n FROM t) SELECT count(*) FROM t"


def test_endless_query_is_stopped():
    start = time.monotonic()
    with duckdb.connect() as connection:
        with pytest.raises(UsageError, match=r"ran for more than 0\.2 s.*--timeout"), limit_time(connection, 0.2):
            connection.execute(ENDLESS).fetchall()
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
    assert time.monotonic() - start < 30


@pytest.mark.parametrize("timeout", [None, 60, 1e300])
def test_short_query_keeps_its_result_and_error(timeout):
    with duckdb.connect() as connection, limit_time(connection, timeout):
        assert connection.execute("SELECT 1").fetchall() == [(1,)]
        with pytest.raises(duckdb.Error):
            connection.execute("SELECT x")


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), "1", [1]])
def test_invalid_timeout_is_refused(timeout):
    with duckdb.connect() as connection, pytest.raises(UsageError, match="--timeout"), limit_time(connection, timeout):
        pass


def test_large_result_is_refused(monkeypatch):
    with duckdb.connect() as connection:
        assert fetch_limited_table(connection, "SELECT 1 AS a").to_pylist() == [{"a": 1}]
        assert fetch_limited_texts(connection, "SELECT 'a'") == ["a"]
        monkeypatch.setattr(os, "sysconf", lambda name: 40)
        for fetch in (fetch_limited_table, fetch_limited_texts):
            with pytest.raises(UsageError, match="the result is larger"):
                fetch(connection, "SELECT repeat('x', 99) FROM range(99)")
