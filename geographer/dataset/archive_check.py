"""Check archives: ask what they would give today for downloaded rasters, and how far chips and labels would drift."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geographer.base.errors import NotFoundError
from geographer.base.executors.executor import Workers
from geographer.operations.download.archive_check import ArchiveAnswer, ask_archives, list_downloaded_rasters
from geographer.outputs.rerun.archive_report import ArchiveReport, RasterAnswer, summarize_drift
from geographer.outputs.rerun.compare import FileDifference, compare_files
from geographer.outputs.rerun.drift import measure_drift
from geographer.outputs.rerun.report import FileResult
from geographer.outputs.rerun.scratch import find_recorded_bytes
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.source_rasters import ReplacingFile

_GRID_FIELDS = ("width", "height", "bands", "dtype", "crs", "transform")
_FETCHES = 4
"""How many products are fetched at the same time if a cluster makes the files."""
_DIGEST = "SELECT digest FROM chain_event WHERE position = $position"


def check_archives(
    work: UnitOfWork, at: str | int | None = None, *, recipe: str | None = None, workers: Workers = 1
) -> ArchiveReport:
    """Ask the archive of each downloaded raster of a revision for it; compare it and what is cut from it.

    Nothing in the dataset changes: what archives deliver is read in a scratch folder, and deleted.

    Args:
        work: The dataset.
        at: The revision; None: the head.
        recipe: Only the rasters of this download.
        workers: The number of products that are fetched, and of processes that make chips, at the same time.

    Raises:
        NotFoundError: there is no such revision, or no raster of the download `recipe`.
    """
    location = work.locate_revision(at)
    with work.open_revision(location) as revision:
        rasters, recipes = list_downloaded_rasters(revision, recipe)
        digest = str(revision.fetch_value(_DIGEST, {"position": location.position}))
    if recipe is not None and not rasters:
        raise NotFoundError(f"no raster of a download '{recipe}' at @{location.position}. See geographer status.")
    with tempfile.TemporaryDirectory(prefix="geographer-archive-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        answers = [
            *ask_archives(
                rasters,
                recipes,
                folder,
                workers=workers if isinstance(workers, int) else _FETCHES,
                progress=work.progress,
            )
        ]
        differences = {answer.raster.raster_id: _compare_scene(work, answer) for answer in answers if answer.path}
        replacing = {
            answer.raster.raster_id: ReplacingFile(answer.path, answer.checksums, answer.pixel_digest)
            for answer in answers
            if answer.path and answer.checksums and answer.pixel_digest
            if _has_same_grid(differences[answer.raster.raster_id])
        }
        drift = measure_drift(work, location, replacing, workers=workers) if replacing else {}
    rows = [_make_row(answer, differences, drift) for answer in answers]
    return ArchiveReport(location.position, digest, sorted(rows, key=lambda row: row.raster_id))


def _compare_scene(work: UnitOfWork, answer: ArchiveAnswer) -> FileDifference | None:
    recorded = find_recorded_bytes(work.file_store, answer.raster.path, answer.raster.checksums)
    if recorded is None or answer.path is None:
        return None
    return compare_files(recorded, answer.path, has_same_pixels=False)[1]


def _has_same_grid(difference: FileDifference | None) -> bool:
    return difference is not None and not set(_GRID_FIELDS) & set(difference.metadata)


def _make_row(
    answer: ArchiveAnswer, differences: Mapping[str, FileDifference | None], drift: Mapping[str, list[FileResult]]
) -> RasterAnswer:
    raster, properties = answer.raster, answer.raster.properties
    fields: dict[str, Any] = {"baseline": answer.baseline, "newer": answer.newer, "reason": answer.reason}
    if answer.product_id not in (None, raster.product_id):
        fields["given"] = answer.product_id
    if answer.result == "same" or (answer.result == "reprocessed" and answer.path is None):
        fields["same_bytes"] = answer.has_same_bytes
    if answer.path is not None:
        difference = fields["difference"] = differences[raster.raster_id]
        if difference is None:
            fields["reason"] = "its recorded bytes are neither on this machine nor on the remote: nothing was compared"
        elif not _has_same_grid(difference):
            fields["reason"] = "it has another grid, so chips and labels cannot be compared"
    if raster.raster_id in drift:
        files = drift[raster.raster_id]
        fields["chips"] = summarize_drift([item for item in files if item.label is None])
        fields["labels"] = summarize_drift([item for item in files if item.label is not None])
    names = (properties.get("provider"), properties.get("product_collection"), raster.product_id)
    return RasterAnswer(raster.raster_id, answer.result, *names, **fields)
