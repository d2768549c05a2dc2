"""Drift: how far chips and labels are from the recorded ones if they are made from other files of rasters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from geographer.base.errors import GeographerError
from geographer.base.executors.executor import Workers
from geographer.base.logged_warnings import discard_logged_warnings
from geographer.outputs.rerun.compare import describe_error
from geographer.outputs.rerun.made_files import FileKey, MadeFile, list_made_files
from geographer.outputs.rerun.replay import build_again, plan_again, read_logged_event
from geographer.outputs.rerun.report import FileResult
from geographer.outputs.rerun.run import compare_made_file, group_by_event, make_file_result, read_class_names
from geographer.outputs.rerun.scratch import ScratchFolder, open_scratch_folder
from geographer.storage.log.branches import Location
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.source_rasters import ReplacingFile


def measure_drift(
    work: UnitOfWork, location: Location, replacing: Mapping[str, ReplacingFile], *, workers: Workers = 1
) -> dict[str, list[FileResult]]:
    """Make the chips and labels of a revision from other files of their rasters, and compare them.

    Args:
        work: The dataset.
        location: The revision.
        replacing: Files that are read in place of those of rasters, by id; they are on the rasters' grids.
        workers: The number of processes that make files, or a client or the address of a Dask scheduler.

    Returns:
        The results of the files that read one of the rasters, or a chip of one, by the raster's id.
    """
    with work.open_revision(location) as revision:
        files, classes = list_made_files(revision), read_class_names(revision)
    measure = _DriftMeasurement(work, replacing, classes)
    with open_scratch_folder(work.file_store) as scratch:
        for digest, made in group_by_event(files).items():
            measure.replay_event(scratch, digest, made, workers)
    return measure.results


class _DriftMeasurement:
    """The files that are read in place of rasters and chips, the raster that each comes from, and the results."""

    def __init__(self, work: UnitOfWork, replacing: Mapping[str, ReplacingFile], classes: Mapping[int, str]) -> None:
        self._work, self._classes = work, classes
        self._replacing = dict(replacing)
        self._root_of = {raster_id: raster_id for raster_id in replacing}
        self.results: dict[str, list[FileResult]] = {raster_id: [] for raster_id in replacing}

    def replay_event(self, scratch: ScratchFolder, digest: str, files: Sequence[MadeFile], workers: Workers) -> None:
        """Make those files of an event that read what is replaced."""
        logged = read_logged_event(self._work, digest)
        source_of: dict[FileKey, str] = {
            (file.label or "", file.raster_id): file.parent_id or file.raster_id for file in logged.outcome.files
        }
        affected = [file for file in files if source_of.get(file.file_key) in self._replacing]
        if not affected:
            return
        wanted = {file.file_key for file in affected}
        try:
            with (
                discard_logged_warnings(),
                plan_again(self._work, logged, scratch, wanted, replacing=self._replacing) as replay,
            ):
                built = build_again(replay, self._work, workers)
        except GeographerError as error:
            for file in affected:
                self._add_result(source_of[file.file_key], make_file_result(file, "not made", describe_error(error)))
            return
        for file in affected:
            source = source_of[file.file_key]
            remade = built.files.get(file.file_key)
            if remade is not None and remade.path is not None:
                result = compare_made_file(self._work, file, remade, self._classes)
                self._add_result(source, result)
                if file.label is None and remade.pixel_digest is not None:
                    self._replacing[file.raster_id] = ReplacingFile(remade.path, remade.checksums, remade.pixel_digest)
                    self._root_of[file.raster_id] = self._root_of[source]
            elif file.file_key in replay.planned and file.label is not None:
                # A label that does not read pixels, or that comes out as before.
                self._add_result(source, make_file_result(file, "identical bytes"))
            else:
                self._add_result(source, make_file_result(file, "not made", "it is not planned again"))

    def _add_result(self, source_id: str, result: FileResult) -> None:
        self.results[self._root_of[source_id]].append(result)
