"""Limits of a user's query: how long it may run, how much memory it may use, and how large its result may be."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, TypeVar

import duckdb

from geographer.base.errors import UsageError
from geographer.storage.database.duckdb_errors import is_interrupt

if TYPE_CHECKING:
    import pyarrow as pa

Block = TypeVar("Block")

DEFAULT_TIMEOUT_S: Final = 60.0
"""Half of the time for which other commands wait until they can write the log."""
_INTERRUPT_INTERVAL_S: Final = 0.2
_ROWS_PER_FETCH: Final = 10_000


@contextmanager
def limit_time(connection: duckdb.DuckDBPyConnection, timeout_s: float | None) -> Iterator[None]:
    """Interrupt the block's queries after some seconds (None: never), and raise `UsageError` naming the option."""
    if timeout_s is None:
        yield
        return
    if not isinstance(timeout_s, Real) or not 0 < timeout_s < math.inf:
        raise UsageError(f"invalid --timeout {timeout_s}. Use a number of seconds above 0.")
    is_done, is_expired = threading.Event(), threading.Event()

    def interrupt_queries() -> None:
        if not is_done.wait(min(timeout_s, threading.TIMEOUT_MAX)):
            is_expired.set()
            while not is_done.wait(_INTERRUPT_INTERVAL_S):
                connection.interrupt()

    watcher = threading.Thread(target=interrupt_queries, daemon=True)
    watcher.start()
    try:
        yield
    except (duckdb.Error, RuntimeError) as error:
        if not (is_expired.is_set() and is_interrupt(error)):
            raise
        raise make_timeout_error(timeout_s) from error
    finally:
        is_done.set()
        watcher.join()


def make_timeout_error(timeout_s: float) -> UsageError:
    """Return the error for a query that took too long."""
    reason = "While it runs, no other command can change the dataset"
    return UsageError(
        f"the query ran for more than {timeout_s:g} s. {reason}. Simplify it, or pass a longer --timeout."
    )


def limit_memory(connection: duckdb.DuckDBPyConnection) -> None:
    """Let the connection's queries fail, instead of filling the disk, if they need more memory than there is."""
    # Once a query has used the folder, DuckDB keeps it.
    with suppress(duckdb.NotImplementedException):
        connection.execute("SET temp_directory = ''")


def fetch_limited_table(connection: duckdb.DuckDBPyConnection, query: str, parameters: Any = None) -> pa.Table:
    """Run a query and return its rows as Arrow; `UsageError` if they take more than half of the memory."""
    import pyarrow as pa

    reader = connection.execute(query, parameters).to_arrow_reader()
    batches = [*_limit_size(reader, lambda batch: batch.nbytes)]
    return pa.Table.from_batches(batches, reader.schema)


def fetch_limited_texts(connection: duckdb.DuckDBPyConnection, query: str, parameters: Any = None) -> list[str]:
    """Run a query that returns texts and return them; `UsageError` if they take more than half of the memory."""
    result = connection.execute(query, parameters)
    blocks = iter(lambda: [text for (text,) in result.fetchmany(_ROWS_PER_FETCH)], [])
    return [text for block in _limit_size(blocks, lambda block: sum(map(len, block))) for text in block]


def _limit_size(blocks: Iterable[Block], measure: Callable[[Block], int]) -> Iterator[Block]:
    limit, size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2, 0
    for block in blocks:
        size += measure(block)
        if size > limit:
            raise UsageError(
                f"the result is larger than {limit >> 30} GiB. Select fewer rows or columns, or add LIMIT."
            )
        yield block
