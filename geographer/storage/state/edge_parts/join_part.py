"""Join one part: a worker reads its files into a state in memory, runs the SQL files of edges, and writes these."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from geographer.base.executors.task_files import InputFile, locate_file
from geographer.base.resource_limits import ResourceLimits
from geographer.storage.database.connection import connect_memory, escape_literal, load_spatial, run_script
from geographer.storage.state.steps import is_due, list_edge_steps, read_macros, read_schema

_FOLDER: Final = Path(__file__).parent


class EdgePart(NamedTuple):
    """A part of the features: its files on the client, the positions that are new, and what its worker may use.

    Attributes:
        features: The Parquet files of the features.
        rasters: The Parquet file of the rasters, of all parts.
        edges: The Parquet file that the worker writes.
        after: The position after which versions are new.
        up_to: The last position.
        memory: The memory of the worker, in bytes.
        threads: The number of its threads.
    """

    features: tuple[str, ...]
    rasters: str
    edges: str
    after: int
    up_to: int
    memory: int
    threads: int


def list_inputs(part: EdgePart) -> list[InputFile]:
    """Return the files that the worker of a part reads."""
    return [InputFile(path) for path in (*part.features, part.rasters)]


def list_outputs(part: EdgePart) -> list[str]:
    """Return the files that the worker of a part writes."""
    return [part.edges]


def join_part(part: EdgePart) -> list[int]:
    """Write the edges of a part to its file, and return their number."""
    with open_part(part) as connection:
        derive_edges(connection, part.after, part.up_to)
        return [_write_edges(connection, locate_file(part.edges))]


@contextmanager
def open_part(part: EdgePart) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection to a state in memory that has the features of a part, and the rasters near them."""
    with closing(connect_memory(ResourceLimits(part.memory))) as connection:
        connection.execute(f"SET threads = {part.threads}; SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.execute("ATTACH ':memory:' AS state")
        load_spatial(connection)
        run_script(connection, read_schema())
        run_script(connection, read_macros())
        files = {
            "features": [str(locate_file(path)) for path in part.features],
            "rasters": str(locate_file(part.rasters)),
        }
        run_script(connection, (_FOLDER / "read_part.sql").read_text(), files)
        yield connection


def derive_edges(connection: duckdb.DuckDBPyConnection, after: int, up_to: int) -> None:
    """Run the SQL files that derive `state.edge` from the features and rasters of the state."""
    for step in list_edge_steps():
        if is_due(connection, step):
            run_script(connection, step.read_text(), {"after": after, "up_to": up_to})


def _write_edges(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    script = (_FOLDER / "write_edges.sql").read_text().format(path=escape_literal(str(path)))
    run_script(connection, script)
    rows = connection.execute("SELECT count(*) FROM state.edge").fetchall()
    return int(rows[0][0])
