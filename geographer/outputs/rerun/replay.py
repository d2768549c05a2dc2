"""Replay an event: plan its request again at the revision before it, and build its files in a scratch folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from geographer.base.errors import CorruptError
from geographer.base.executors.executor import Workers
from geographer.base.values import Checksums
from geographer.outputs.rerun.made_files import FileKey, RecordedOutcome, read_outcome
from geographer.outputs.rerun.plans import PlanDifference, compare_plans
from geographer.outputs.rerun.scratch import ScratchFolder, find_source_problems
from geographer.planning.recipe import Recipe, find_recipe
from geographer.storage.events import Event, EventPayload
from geographer.storage.events.payload import parse_payload
from geographer.storage.log.branches import Location, find_chain_of
from geographer.storage.log.read import read_event
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, PlanContext, PlannedFile, ReplayablePlan, Request
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.source_rasters import ReplacingFile
from geographer.storage.workspace.withdrawn_files import list_withdrawn_md5s

_COLLECTION_PARAMETERS = ("collection", "source")
"""The parameters in which the log records the collection that a recipe uses."""
_RECORDED_LABEL = "SELECT size, md5, sha256, pixel_digest FROM current_label WHERE label = $label AND raster_id = $id"
_OBJECT_COLUMNS = ("change", "feature_id", "class", "instance", "pixels", "box", "corners", "visible")


class RemadeFile(NamedTuple):
    """A file that was made again; `path` is None if it is as the file that the event replaced, with these checksums."""

    path: Path | None
    recorded_path: str
    checksums: Checksums
    pixel_digest: str | None


class LoggedEvent(NamedTuple):
    """An event of the log: where it is, its payload in the current version of its kind, and what it recorded."""

    location: Location
    event: Event
    payload: EventPayload
    request: Request
    outcome: RecordedOutcome


class Replay(NamedTuple):
    """An event that was planned again: its plan is compared and ready to be built.

    Attributes:
        folder: The folder of the event in the scratch folder.
        plan: The plan, restricted to the files that are asked for and that can be made.
        planned: The keys of all planned files.
        differences: Where the plan is not what the event recorded.
        problems: Why files cannot be made, by key.
        replaced: The files that the event's files may equal, by key.
    """

    folder: Path
    plan: ReplayablePlan
    planned: set[FileKey]
    differences: list[PlanDifference]
    problems: dict[FileKey, str]
    replaced: dict[FileKey, RemadeFile]


def read_logged_event(work: UnitOfWork, digest: str) -> LoggedEvent:
    """Return an event of any chain by its digest; `GeographerError` if its request cannot be read."""
    with work.database.open_connection(log="r") as connection:
        location = find_chain_of(connection, digest)
    if location is None:
        raise CorruptError(f"the log lacks the event {digest}. See geographer verify.")
    with work.open_revision(location) as revision:
        event = read_event(revision.connection, location.position)
        payload = parse_payload(event.kind, event.version, event.payload)
        outcome = read_outcome(revision, event)
        if "raster_change" in payload.tables:
            # Labels of chips that are removed go with them.
            outcome = outcome._replace(removed=[key for key in outcome.removed if key[0] is None])
        request: Request = payload.load_request().restore_inputs(revision)
    return LoggedEvent(location, event, payload, request, outcome)


@contextmanager
def plan_again(
    work: UnitOfWork,
    logged: LoggedEvent,
    scratch: ScratchFolder,
    wanted: Collection[FileKey],
    *,
    commands: bool = False,
    replacing: Mapping[str, ReplacingFile] | None = None,
) -> Iterator[Replay]:
    """Plan the request of an event at the revision before it, and keep the plan's tables while the block runs.

    A command that the log has runs only if `commands`. With `replacing` files of rasters, by id, only the files are
    made that read one of them.

    Raises:
        GeographerError: the plan cannot be made: a plugin or a source is missing.
    """
    parent = logged.location._replace(position=logged.location.position - 1)
    folder = scratch.make_event_folder(logged.event.digest)
    with work.open_database_of(parent.branch).open_connection():
        with work.open_revision(parent) as revision:
            scratch.link_rasters(revision, folder, _list_collections(logged.request))
            replay = _plan_request(revision, logged, PlanContext(folder, work.progress, commands), wanted, replacing)
        yield replay


def _list_collections(request: Request) -> list[str]:
    values = (getattr(request, name, None) for name in _COLLECTION_PARAMETERS)
    return [*(value for value in values if isinstance(value, str)), *getattr(request, "recipes", ())]


def _plan_request(
    revision: Revision,
    logged: LoggedEvent,
    context: PlanContext,
    wanted: Collection[FileKey],
    replacing: Mapping[str, ReplacingFile] | None,
) -> Replay:
    plans, withdrawn = [], list_withdrawn_md5s(revision)
    for request in _list_variants(revision, logged.request):
        plan: Any = request.make_plan(revision, context)
        files = plan.list_files()
        differences = compare_plans(logged.outcome, files, withdrawn)
        plans.append((plan, files, differences))
        if not differences:
            break
    plan, files, differences = min(plans, key=lambda item: len(item[2]))
    needed = [file for file in files.made if _make_key(file) in wanted]
    if replacing is not None:
        needed = [file for file in needed if replacing.keys() & {*file.source_ids}]
    read_ids = {id for file in needed for id in file.source_ids} - (replacing or {}).keys()
    sources = find_source_problems(revision, context.root, read_ids)
    problems = {
        _make_key(file): sources[next(id for id in file.source_ids if id in sources)]
        for file in needed
        if sources.keys() & {*file.source_ids}
    }
    plan.select_files({file.raster_id for file in needed if _make_key(file) not in problems})
    if replacing:
        plan.replace_sources(replacing)
    return Replay(
        context.root, plan, {*map(_make_key, files.made)}, differences, problems, _find_replaced(revision, needed)
    )


def _list_variants(revision: Revision, request: Request) -> list[Request]:
    """Return the request as it was made: `replace`, which the log does not record, as the log suggests it, or else not.

    With it, a recipe cuts chips again that users removed.
    """
    if not isinstance(request, Recipe):
        return [request]
    recorded = find_recipe(revision, request.name)
    is_replaced = recorded is not None and not recorded.has_same_parameters(request)
    return [msgspec.structs.replace(request, replace=value) for value in (is_replaced, not is_replaced)]


def _make_key(file: PlannedFile) -> FileKey:
    return file.label or "", file.raster_id


def _find_replaced(revision: Revision, files: list[PlannedFile]) -> dict[FileKey, RemadeFile]:
    """Return the labels that are replaced: an event records only those whose bytes change."""
    replaced: dict[FileKey, RemadeFile] = {}
    for file in files:
        if file.label is not None and not file.is_new:
            rows = revision.fetch_rows(_RECORDED_LABEL, {"label": file.label, "id": file.raster_id})
            for *checksums, pixel_digest in rows:
                replaced[_make_key(file)] = RemadeFile(None, "", Checksums(*checksums), pixel_digest)
    return replaced


class BuiltFiles(NamedTuple):
    """The files that a plan made, by key; the objects on labels as the event would record them; and its payload."""

    files: dict[FileKey, RemadeFile]
    objects: dict[tuple[str, str], set[tuple[object, ...]]]
    payload: EventPayload


def build_again(replay: Replay, work: UnitOfWork, workers: Workers) -> BuiltFiles:
    """Build the files of a plan in the event's folder."""
    staging = replay.folder / "staging"
    staging.mkdir()
    change = replay.plan.build_outputs(BuildContext(replay.folder, staging, workers, work.progress, work.root))
    path_by_md5 = {checksums.md5: path for path, checksums in change.files}
    files = dict(replay.replaced)
    for table in ("raster_change", "label_change"):
        for row in _list_rows(change.rows, table):
            if row["change"] != "removed" and row["md5"] in path_by_md5:
                checksums = _read_checksums(row)
                remade = RemadeFile(path_by_md5[row["md5"]], row["path"], checksums, row["pixel_digest"])
                files[row["label"] if table == "label_change" else "", row["raster_id"]] = remade
    for row in _list_rows(change.rows, "command_file"):
        if row["raster_id"] is None:
            files[None, row["path"]] = RemadeFile(None, row["path"], _read_checksums(row), None)
    objects: dict[tuple[str, str], set[tuple[object, ...]]] = {}
    for row in _list_rows(change.rows, "label_object_change"):
        entry = tuple(row[name] for name in _OBJECT_COLUMNS)
        objects.setdefault((row["label"], row["raster_id"]), set()).add(entry)
    return BuiltFiles(files, objects, change.event)


def _read_checksums(row: Mapping[str, Any]) -> Checksums:
    return Checksums(row["size"], row["md5"], row["sha256"])


def _list_rows(tables: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    return [] if name not in tables else tables[name].to_pylist()
