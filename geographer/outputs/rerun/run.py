"""Rerun a revision: replay the events that made its derived files, and compare every file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from geographer.base.errors import GeographerError, NotFoundError
from geographer.base.executors.executor import Workers
from geographer.base.logged_warnings import discard_logged_warnings
from geographer.outputs.rerun.compare import FileDifference, Result, compare_files, describe_error
from geographer.outputs.rerun.made_files import MadeFile, find_first_event, list_made_files
from geographer.outputs.rerun.replay import (
    BuiltFiles,
    LoggedEvent,
    RemadeFile,
    Replay,
    build_again,
    plan_again,
    read_logged_event,
)
from geographer.outputs.rerun.report import EventResult, FileResult, RerunReport
from geographer.outputs.rerun.scratch import ScratchFolder, find_recorded_bytes, open_scratch_folder
from geographer.outputs.rerun.software import list_plugin_differences, list_version_differences
from geographer.planning.recipe import list_recipe_records
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.withdrawn_files import list_withdrawn_files

_CLASSES: Final = "SELECT value, class FROM current_class"
_DIGEST: Final = "SELECT digest FROM chain_event WHERE position = $position"


def rerun_revision(
    work: UnitOfWork,
    at: str | int | None = None,
    *,
    recipe: str | None = None,
    workers: Workers = 1,
    commands: bool = False,
) -> RerunReport:
    """Make the derived files of a revision again in a scratch folder, and compare them with the recorded ones.

    Each file is made as the log says that it was made: the request of its event is planned again at the revision
    before that event, on the recorded bytes of its sources. Nothing in the dataset changes.

    Args:
        work: The dataset.
        at: The revision; None: the head.
        recipe: Only the files of this recipe, label or collection.
        workers: The number of processes that build files, or a client or the address of a Dask scheduler.
        commands: Run the commands that `geographer run` recorded again; only if you trust their authors.

    Raises:
        NotFoundError: there is no such revision, or no such recipe in it.
    """
    location = work.locate_revision(at)
    with work.open_revision(location) as revision:
        files = list_made_files(revision, recipe)
        if recipe is not None and not files and recipe not in {item.name for item in list_recipe_records(revision)}:
            raise NotFoundError(
                f"no recipe or output '{recipe}' at @{location.position}. geographer status lists the recipes."
            )
        digest = str(revision.fetch_value(_DIGEST, {"position": location.position}))
        unmade = [*_iter_unmade(revision, files)]
        classes = read_class_names(revision)
    known = {(item.label, item.raster_id) for item in unmade}
    files_by_event = group_by_event([file for file in files if file.object_key not in known])
    results, events = list(unmade), []
    with open_scratch_folder(work.file_store) as scratch:
        for event_digest, made in files_by_event.items():
            rerun = _EventRerun(work, scratch, event_digest, made, classes, commands=commands)
            events.append(rerun.replay_event(workers))
            results += rerun.results
    results.sort(key=lambda item: (item.label or "", item.raster_id))
    return RerunReport(location.position, digest, results, events)


def group_by_event(files: Iterable[MadeFile]) -> dict[str, list[MadeFile]]:
    """Return files by the digest of the event that made them, the oldest events first."""
    files_by_event: dict[str, list[MadeFile]] = {}
    for file in sorted(files, key=lambda file: file.position or 0):
        if file.digest is not None:
            files_by_event.setdefault(file.digest, []).append(file)
    return files_by_event


def read_class_names(revision: Revision) -> dict[int, str]:
    """Return the names of classes by value."""
    return dict(revision.fetch_rows(_CLASSES))


def _iter_unmade(revision: Revision, files: Sequence[MadeFile]) -> Iterator[FileResult]:
    """Yield the files that cannot be made: their bytes were withdrawn, or no event of the log made them."""
    withdrawn = list_withdrawn_files(revision.connection)
    for file in files:
        if found := withdrawn.get(file.checksums.md5):
            source = "" if found.raster_id == file.raster_id else f" with '{found.raster_id}'"
            reason = f"its bytes were {found.format_reason()}{source}"
        elif file.digest is None:
            kind = find_first_event(revision, file.since)
            reason = f"no event of this log made it: '{kind}' at @{file.since} took it in from elsewhere"
        else:
            continue
        yield FileResult(file.label, file.raster_id, file.path, "not made", file.digest, file.position, reason)


class _EventRerun:
    """The rerun of one event: `results` has an entry for each of its files when it is done."""

    def __init__(
        self,
        work: UnitOfWork,
        scratch: ScratchFolder,
        digest: str,
        files: Sequence[MadeFile],
        classes: Mapping[int, str],
        *,
        commands: bool,
    ) -> None:
        self._work, self._scratch, self._digest, self._files = work, scratch, digest, files
        self._classes, self._commands = classes, commands
        self._position = 0
        self.results: list[FileResult] = []

    def replay_event(self, workers: Workers) -> EventResult:
        """Plan and build the files again, and compare them."""
        logged = read_logged_event(self._work, self._digest)
        self._position = logged.location.position
        name = getattr(logged.request, "name", "")
        result = EventResult(
            self._digest, self._position, logged.event.kind, name, "same", [], list_version_differences(logged.payload)
        )
        wanted = {file.file_key for file in self._files}
        try:
            with (
                discard_logged_warnings(),
                plan_again(self._work, logged, self._scratch, wanted, commands=self._commands) as replay,
            ):
                plugins = list_plugin_differences(logged.payload, replay.plan.event)
                plan = "different" if replay.differences else "same"
                result = result._replace(
                    plan=plan, differences=replay.differences, software=[*result.software, *plugins]
                )
                self.results += self._compare_built(logged, replay, workers)
        except GeographerError as error:
            self._reject_files(describe_error(error))
            if not result.differences:
                result = result._replace(plan="not made", reason=describe_error(error))
        finally:
            self._scratch.delete_event_folder(self._digest)
        return result

    def _reject_files(self, reason: str) -> None:
        """Say of all files that have no result why they were not made."""
        known = {(item.label, item.raster_id) for item in self.results}
        others = [file for file in self._files if file.object_key not in known]
        self.results += [self._make_result(file, "not made", reason) for file in others]

    def _compare_built(self, logged: LoggedEvent, replay: Replay, workers: Workers) -> Iterator[FileResult]:
        built = build_again(replay, self._work, workers)
        for file in self._files:
            key = file.file_key
            if problem := replay.problems.get(key):
                yield self._make_result(file, "not made", problem)
            elif key not in built.files:
                is_output = key in replay.planned or key[0] is None
                what = "the command did not write it again" if is_output else "it is not planned again"
                yield self._make_result(file, "not made", what)
            else:
                yield self._compare_file(file, built.files[key], self._count_other_objects(logged, built, file))

    def _count_other_objects(self, logged: LoggedEvent, built: BuiltFiles, file: MadeFile) -> int:
        """Return how many entries of the objects on a label differ."""
        if file.label is None:
            return 0
        key = (getattr(logged.request, "name", file.label), file.raster_id)
        return len(logged.outcome.objects.get(key, set()) ^ built.objects.get(key, set()))

    def _compare_file(self, file: MadeFile, remade: RemadeFile, other_objects: int) -> FileResult:
        if remade.checksums.sha256 == file.checksums.sha256 and other_objects:
            return self._make_result(file, "different", difference=FileDifference(objects=other_objects))
        return compare_made_file(self._work, file, remade, self._classes)._replace(position=self._position)

    def _make_result(
        self, file: MadeFile, result: Result, reason: str | None = None, difference: FileDifference | None = None
    ) -> FileResult:
        return make_file_result(file, result, reason, difference)._replace(position=self._position)


def make_file_result(
    file: MadeFile, result: Result, reason: str | None = None, difference: FileDifference | None = None
) -> FileResult:
    """Return the result of a file."""
    place = (file.label, file.raster_id, file.path)
    return FileResult(*place, result, file.digest, file.position, reason, difference)


def compare_made_file(work: UnitOfWork, file: MadeFile, remade: RemadeFile, classes: Mapping[int, str]) -> FileResult:
    """Compare a file that was made again with the recorded one; `classes` are the names of classes by value."""
    if remade.checksums.sha256 == file.checksums.sha256:
        return make_file_result(file, "identical bytes")
    recorded = find_recorded_bytes(work.file_store, file.path, file.checksums)
    path = remade.path or find_recorded_bytes(work.file_store, file.path, remade.checksums)
    has_same_pixels = file.pixel_digest is not None and remade.pixel_digest == file.pixel_digest
    if recorded is None or path is None:
        result: Result = "identical pixels" if has_same_pixels else "different"
        reason = "the recorded bytes are neither on this machine nor on the remote, so only digests were compared"
        return make_file_result(file, result, reason)
    names = classes if file.label is not None else None
    result, difference = compare_files(recorded, path, has_same_pixels=has_same_pixels, classes=names)
    return make_file_result(file, result, difference=difference)
