"""Verify remote rasters: ask each server for the version that it has, and compare that with the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import duckdb

from geographer.base.errors import CorruptError, NotFoundError, StorageError, UsageError
from geographer.base.progress import ProgressCallback, iter_with_progress
from geographer.base.text import format_count
from geographer.storage.log.check import Finding
from geographer.storage.workspace.remote_files import (
    find_version_difference,
    locate_remote_raster,
    read_remote_version,
)
from geographer.storage.workspace.roots import Roots
from geographer.storage.workspace.verify_report import Remedy, VerifyReport, list_names

_REMOTE_RASTERS: Final = (
    "SELECT raster_id, path, size FROM chain_raster_change WHERE position <= $at "
    "QUALIFY row_number() OVER (PARTITION BY raster_id ORDER BY position DESC, ordinal DESC) = 1 "
    "AND change <> 'removed' AND storage = 'remote' ORDER BY raster_id"
)


def check_remote_rasters(
    connection: duckdb.DuckDBPyConnection,
    root: Path,
    positions: Sequence[int],
    report: VerifyReport,
    progress: ProgressCallback,
) -> Iterator[Finding]:
    """Yield a finding for each remote raster of revisions that has another version now, or is gone.

    Those whose server cannot be asked are not findings: the report says that they were not checked.
    """
    rasters = {row: None for at in positions for row in connection.execute(_REMOTE_RASTERS, {"at": at}).fetchall()}
    roots, not_checked = Roots(root), dict[str, str]()
    for raster_id, path, size in iter_with_progress([*rasters], "remote rasters checked", progress):
        try:
            recorded, _, unset_root = locate_remote_raster(roots, path)
            if unset_root:
                not_checked[raster_id] = f"root '{unset_root}' is not set on this machine"
                continue
            detail = find_version_difference(recorded, size, read_remote_version(recorded.url))
        except CorruptError:
            continue  # The row is reported as unreadable.
        except NotFoundError as error:
            detail = str(error)
        except (StorageError, UsageError) as error:
            not_checked[raster_id] = str(error)
            continue
        if detail:
            yield Finding("changed remote raster", f"raster {raster_id}", None, detail, Remedy.REMOTE)
    if asked := len(rasters) - len(not_checked):
        report.checked["remote_rasters"] = asked
    if not_checked:
        names, reason = list_names([*not_checked]), next(iter(not_checked.values())).rstrip(".")
        report.not_checked.append(f"{format_count(len(not_checked), 'remote raster')} ({names}): {reason}")
