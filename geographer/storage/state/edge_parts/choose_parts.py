"""Choose parts: whether the edges of a new state are derived in parts, how large these are, and who joins them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NamedTuple

import duckdb

from geographer.base.errors import UsageError
from geographer.base.executors.executor import SCHEDULER_VARIABLE, Executor, Workers, make_executor
from geographer.base.resource_limits import MINIMUM_MEMORY, ResourceLimits

_FOLDER: Final = Path(__file__).parent
PARTS_VARIABLE: Final = "GEOGRAPHER_GRAPH_PARTS"
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


class PartSetting(NamedTuple):
    """Whether there are parts: `size` features each, or None: by itself (`is_automatic`), or never."""

    size: int | None
    is_automatic: bool


class PartPlan(NamedTuple):
    """How the edges are derived in parts: the executor, features a part, and memory and threads of each worker."""

    executor: Executor
    size: int
    memory: int
    threads: int


def read_part_setting() -> PartSetting:
    """Return the setting of `GEOGRAPHER_GRAPH_PARTS`; `UsageError` if it is invalid."""
    text = os.environ.get(PARTS_VARIABLE) or "auto"
    if text in ("auto", "never"):
        return PartSetting(None, text == "auto")
    if not (text.isascii() and text.isdecimal() and len(text) < 16 and int(text) > 0):
        raise UsageError(
            f"invalid number of features a part '{text}' ({PARTS_VARIABLE}, --graph-parts). Use auto, never or a "
            f"number such as {MAX_PART_SIZE}."
        )
    return PartSetting(int(text), is_automatic=False)


def choose_parts(
    connection: duckdb.DuckDBPyConnection, after: int, workers: Workers, limits: ResourceLimits
) -> PartPlan | None:
    """Return how the edges are derived in parts; None if one query derives them, on all cores of this machine.

    By itself, only a cluster gets parts, or a graph whose rasters one query cannot keep in memory.
    """
    setting, has_cluster = read_part_setting(), is_cluster(workers)
    if setting.size is None and not setting.is_automatic:
        return None
    share = _count_rows(connection, "raster") * _RASTER_BYTES / limits.query_memory
    if setting.size is None and share < 0.5 and not (has_cluster and _count_rows(connection, "feature") >= WORTH_PARTS):
        return None
    row = connection.execute((_FOLDER / "count_features.sql").read_text(), {"after": after}).fetchone()
    features = row[0] if row else 0
    if setting.size is not None or (features >= WORTH_PARTS and has_cluster):
        return _plan_parts(make_executor(workers), setting.size, limits) if features else None
    if share >= 0.5 and features > 1:
        return _plan_parts(make_executor(1), max(1, int(features / share / 4)), limits)
    return None


def _count_rows(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    rows = connection.execute(f"SELECT count(*) FROM state.{table}").fetchall()  # noqa: S608
    return int(rows[0][0])


def is_cluster(workers: Workers) -> bool:
    """Return whether `workers` are those of a cluster, not processes of this machine."""
    return not isinstance(workers, int) if workers is not None else bool(os.environ.get(SCHEDULER_VARIABLE))


def _plan_parts(executor: Executor, size: int | None, limits: ResourceLimits) -> PartPlan:
    """Return the plan for an executor; without a size, that of a part follows from the memory of a worker."""
    from geographer.base.executors.dask_cluster import DaskExecutor
    from geographer.base.executors.machine import count_cores

    if isinstance(executor, DaskExecutor):
        size = size or MAX_PART_SIZE
        return PartPlan(executor, size, _WORKER_BYTES + size * _FEATURE_BYTES, 1)
    memory = max(MINIMUM_MEMORY, limits.memory // (executor.slots + 1))
    fitting = max(_MIN_PART_SIZE, (memory - _WORKER_BYTES) // _FEATURE_BYTES)
    return PartPlan(executor, size or min(MAX_PART_SIZE, fitting), memory, max(1, count_cores() // executor.slots))
