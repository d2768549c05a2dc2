"""Derive the edges in parts: write the parts to files, let workers join them, and add their edges to the state."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import duckdb

from geographer.base.errors import StorageError
from geographer.storage.database.connection import Database, escape_literal, run_script
from geographer.storage.database.spill_folder import choose_spill_folder
from geographer.storage.state.edge_parts.choose_parts import PartPlan, choose_parts
from geographer.storage.state.edge_parts.join_part import EdgePart, join_part, list_inputs, list_outputs
from geographer.storage.state.steps import EDGE_STEP

logger = logging.getLogger(__name__)

_FOLDER: Final = Path(__file__).parent


def derive_edges_in_parts(
    connection: duckdb.DuckDBPyConnection, database: Database, positions: Mapping[str, int]
) -> bool:
    """Derive the edges of the versions that are new after a position in parts; return False if one query should.

    The rows that are added, and their order, do not depend on the parts. If workers are lost, False is returned, too.
    """
    plan = choose_parts(connection, database, positions["after"])
    if plan is None:
        return False
    with _make_folder(database.folder_path) as folder:
        parts = _write_parts(connection, folder, positions, plan)
        try:
            edges = sum(plan.executor.run(join_part, parts, inputs=list_inputs, outputs=list_outputs))
        except StorageError as error:
            logger.warning("the graph is joined by this process, because workers failed: %s", error)
            return False
        end_edges(connection, positions)
        if edges:
            files = {"edges": [part.edges for part in parts]}
            run_script(connection, (_FOLDER / "collect_edges.sql").read_text(), files)
    return True


def end_edges(connection: duckdb.DuckDBPyConnection, positions: Mapping[str, int]) -> None:
    """End the edges of versions of features and rasters that have ended: the statements of the step that update."""
    for statement in connection.extract_statements(EDGE_STEP.read_text()):
        if statement.type == duckdb.StatementType.UPDATE:
            connection.execute(statement, {name: positions[name] for name in statement.named_parameters})


def _write_parts(
    connection: duckdb.DuckDBPyConnection, folder: Path, positions: Mapping[str, int], plan: PartPlan
) -> list[EdgePart]:
    """Write the files of all parts, and return these."""
    parameters = {**positions, "part_size": plan.size}
    run_script(connection, (_FOLDER / "assign_parts.sql").read_text(), parameters)
    script = (_FOLDER / "write_parts.sql").read_text().format(folder=escape_literal(str(folder)))
    run_script(connection, script, parameters)
    common = (positions["after"], positions["up_to"], plan.memory, plan.threads)
    folders = sorted((folder / "features").glob("part=*"), key=lambda path: int(path.name.partition("=")[2]))
    return [
        EdgePart(
            tuple(str(path) for path in sorted(part.glob("*.parquet"))),
            str(folder / "rasters.parquet"),
            str(folder / f"edges{number}.parquet"),
            *common,
        )
        for number, part in enumerate(folders)
    ]


@contextmanager
def _make_folder(parent: Path) -> Iterator[Path]:
    """Create a folder for the files of parts; the next command deletes that of a killed process."""
    folder = choose_spill_folder(parent)
    try:
        folder.mkdir()
    except OSError as error:
        raise StorageError(f"cannot create '{folder}' ({error.strerror}). Free some space and run again.") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
