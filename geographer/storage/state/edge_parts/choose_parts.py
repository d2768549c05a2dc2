"""Choose parts: whether the edges of a new state are derived in parts, how large these are, and who joins them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from geographer.base.executors.executor import SCHEDULER_VARIABLE, Executor, Workers
from geographer.base.resource_limits import MINIMUM_MEMORY, ResourceLimits, read_part_setting
from geographer.storage.database.connection import Database

_FOLDER: Final = Path(__file__).parent
WORTH_PARTS: Final = 2_000_000
"""From so many versions of features on, the workers of a cluster join parts: writing the files costs a tenth of it."""
MAX_PART_SIZE: Final = 500_000
_MIN_PART_SIZE: Final = 10_000
_WORKER_BYTES: Final = 500_000_000
"""The memory of a worker without features: Python, the libraries and the buffers of a query."""
_FEATURE_BYTES: Final = 2_000
"""The memory for a feature of a part, with its edges."""
_RASTER_BYTES: Final = 1_000
"""What the join of DuckDB, which does not spill it, keeps of a raster."""


class PartPlan(NamedTuple):
    """How the edges are derived in parts: the executor, features a part, and memory and threads of each worker."""

    executor: Executor
    size: int
    memory: int
    threads: int


def choose_parts(connection: duckdb.DuckDBPyConnection, database: Database, after: int) -> PartPlan | None:
    """Return how the edges after a position are derived in parts; None if one query derives them, on all cores.

    By itself, only a cluster gets parts, or a graph whose rasters one query cannot keep in memory.
    """
    setting, limits, has_cluster = read_part_setting(), database.resource_limits, is_cluster(database.workers)
    if setting == "never":
        return None
    size = None if setting == "auto" else int(setting)
    share = _count_rows(connection, "raster") * _RASTER_BYTES / limits.query_memory
    if size is None and share < 0.5 and not (has_cluster and _count_rows(connection, "feature") >= WORTH_PARTS):
        return None
    row = connection.execute((_FOLDER / "count_features.sql").read_text(), {"after": after}).fetchone()
    features = row[0] if row else 0
    if features and (size is not None or (features >= WORTH_PARTS and has_cluster)):
        return _plan_parts(database.make_executor(database.workers), size, limits)
    if features and share >= 0.5:
        return _plan_parts(database.make_executor(1), max(1, int(features / share / 4)), limits)
    return None


def _count_rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    rows = connection.execute(f"SELECT count(*) FROM state.{table}").fetchall()  # noqa: S608
    return int(rows[0][0])


def is_cluster(workers: Workers) -> bool:
    """Return whether `workers` are those of a cluster, not processes of this machine."""
    return not isinstance(workers, int) if workers is not None else bool(os.environ.get(SCHEDULER_VARIABLE))


def _plan_parts(executor: Executor, size: int | None, limits: ResourceLimits) -> PartPlan:
    """Return the plan for an executor; without a size, that of a part follows from the memory of a worker."""
    from geographer.base.executors.inline import InlineExecutor
    from geographer.base.executors.machine import count_cores
    from geographer.base.executors.processes import ProcessExecutor

    if not isinstance(executor, InlineExecutor | ProcessExecutor):
        size = size or MAX_PART_SIZE
        return PartPlan(executor, size, _WORKER_BYTES + size * _FEATURE_BYTES, 1)
    memory = max(MINIMUM_MEMORY, limits.memory // (executor.slots + 1))
    fitting = max(_MIN_PART_SIZE, (memory - _WORKER_BYTES) // _FEATURE_BYTES)
    return PartPlan(executor, size or min(MAX_PART_SIZE, fitting), memory, max(1, count_cores() // executor.slots))
