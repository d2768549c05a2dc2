"""Runs of events: events that follow each other in a chain, written to a segment each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from geographer.base.errors import CorruptError
from geographer.storage.database.connection import open_cursor, set_branch
from geographer.storage.history.segments import write_segment
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.branches import find_chain_of
from geographer.storage.log.chain import create_chain_views

if TYPE_CHECKING:
    import duckdb


def iter_runs(connection: duckdb.DuckDBPyConnection, digests: set[str]) -> Iterator[list[str]]:
    """Yield the events in runs that follow each other in a chain, each from its last event back."""
    ancestry, waiting = read_ancestry(connection), set(digests)
    while waiting:
        last = max(waiting, key=lambda digest: (ancestry.nodes[digest].generation, digest))
        run = [*takewhile(waiting.__contains__, reversed(ancestry.list_chain(last)))]
        yield run
        waiting.difference_update(run)


def write_run(
    connection: duckdb.DuckDBPyConnection, run: list[str], path: Path, *, is_sorted: bool = False
) -> list[str]:
    """Write a run to a segment, and return the digests of its events; see `write_segment`.

    Raises:
        CorruptError: no chain of the log has the events, or one does not match its digest.
    """
    place = find_chain_of(connection, run[0])
    if place is None:
        raise CorruptError(f"the log has no chain with the event {run[0][:12]}. See geographer verify there.")
    with closing(open_cursor(connection)) as cursor:
        set_branch(cursor, place.branch)
        create_chain_views(cursor)
        return write_segment(cursor, place.position - len(run) + 1, place.position, path, is_sorted=is_sorted)
