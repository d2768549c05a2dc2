"""Add features: read vector data, check each row in SQL, and plan the `features_added` or `features_synced` event."""

import logging
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, NamedTuple

from geographer.base.errors import NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.parameters import Parameter
from geographer.operations.add.events import FeaturesAdded, FeaturesSynced
from geographer.operations.add.feature_ids import choose_feature_ids
from geographer.operations.add.feature_rows import collect_skipped_rows, reject_implausible_crs, stage_features
from geographer.planning.class_values import (
    make_class_rows,
    number_classes,
    read_class_values,
    read_ignored_values,
)
from geographer.planning.input_problems import NamedTexts, make_skipped_rows, omit_lone_skips
from geographer.planning.shared_parameters import WHERE, CrsText, OnError
from geographer.planning.vectors.request import VectorRequest
from geographer.planning.vectors.source import VectorSource, open_vector_source
from geographer.storage.database.connection import escape_literal
from geographer.storage.events.payload import Columns, EventPayload
from geographer.storage.events.row_tables import make_json_path
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change, PlanContext

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

_ID_HELP: Final = (
    "The column of ids: text or whole numbers; fid: the feature ids (FID) of the layer. Without such a column, ids are "
    "made from the geometry."
)
_ID: Final = Parameter(_ID_HELP, "COLUMN", "feature_id, else id", key="id_column")
_CLASS: Final = Parameter("The column of classes.", "COLUMN", "class, or the dataset's only class", key="class_column")
AsClass = Annotated[str | None, Parameter("Give all features this class.", "NAME", "the class column")]
_REPLACE_HELP: Final = "Replace objects that have the same id and differ, instead of refusing them."
Replace = Annotated[bool, Parameter(_REPLACE_HELP, records_default=False)]
_SYNC: Final = Parameter(
    "Make the dataset's features those of the file: add, change and remove features. With --dry-run, list them.",
    records_default=False,
    since=2,
)
PREVIEW_FEATURES: Final = (
    "SELECT change, feature_id, class, array_to_string(differences, ', ') AS differs FROM feature_difference "
    "ORDER BY row_index NULLS LAST, feature_id"
)
"""The differences of a change that replaces or syncs, feature by feature."""


class AddFeatures(VectorRequest, kw_only=True, frozen=True):
    """Add the features of a vector file: points, lines or polygons, in any CRS.

    FILE is GeoParquet or any format that GDAL reads (GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML).

    A feature that is replaced is replaced completely: user columns that the new data lack are removed from it.
    Features that are equal in everything are not recorded again.

    With --sync, features that the file lacks are removed, so that a file written by `geographer features -o f.gpkg` can
    be edited elsewhere and come back. With --replace and --sync, ids come from where the last addition of a file of
    that name took them, unless --id says otherwise.
    """

    event: ClassVar[type[FeaturesAdded]] = FeaturesAdded
    other_events: ClassVar[tuple[type[EventPayload], ...]] = (FeaturesSynced,)
    example = "add features lakes.gpkg --id lake_id --where 'area > 1000'"

    id: Annotated[str | None, _ID] = None
    class_: Annotated[str | None, _CLASS] = None
    as_class: AsClass = None
    where: Annotated[str | None, WHERE] = None
    crs: CrsText = None
    on_error: OnError = "fail"
    replace: Replace = False
    sync: Annotated[bool, _SYNC] = False

    def make_plan(self, revision: Revision, _context: PlanContext, /) -> Change:
        """See `plan_feature_addition`."""
        if self.sync and self.where is not None:
            raise UsageError("--sync takes the whole file: with --where it would remove the other features. Omit one.")
        event, rows = plan_feature_sync(revision, self) if self.sync else plan_feature_addition(revision, self)
        has_preview = self.dry_run and (self.sync or self.replace)
        return Change(event, rows, preview=revision.fetch_arrow(PREVIEW_FEATURES) if has_preview else None)


class _CheckedInput(NamedTuple):
    """Vector data whose checked rows are staged: what events record of it, and the numbers of rows by change."""

    recorded: dict[str, Any]
    changes: dict[str, Any]
    unchanged: int
    rows: "dict[str, pa.Table | str]"


def plan_feature_addition(
    revision: Revision, request: AddFeatures, incoming_classes: Collection[str] = (), *, makes_ids: bool = False
) -> "tuple[FeaturesAdded, dict[str, pa.Table | str]]":
    """Return the event that adds features, and its rows: the view `new_feature` of the connection.

    Features may use the `incoming_classes`, which the same event adds. If every row is skipped, there are no rows. With
    `makes_ids`, rows without an id get one from their content, although the data have a column of ids.

    Raises:
        NotFoundError: A file, column or class does not exist.
        UsageError: A geometry is missing, empty, invalid or out of range, or there is no id or CRS.
        ConflictError: An id is repeated or already in the dataset.
    """
    recorded, changes, unchanged, rows = _check_input(revision, request, incoming_classes, makes_ids=makes_ids)
    event = FeaturesAdded(**recorded, features=changes["added"] + changes["changed"])
    if request.replace:
        event = event.count_replacements(changes["added"], changes["changed"], unchanged)
    return event, rows


def plan_feature_sync(revision: Revision, request: AddFeatures) -> "tuple[FeaturesSynced, dict[str, pa.Table | str]]":
    """Return the event that makes the features those of the data, and its rows; see `plan_feature_addition`.

    `UsageError` also if the data have no valid feature.
    """
    recorded, changes, unchanged, rows = _check_input(revision, request)
    if not changes["added"] + changes["changed"] + unchanged:
        raise UsageError(
            f"'{recorded['source']}' has no valid feature: --sync would remove every feature of the dataset. Name "
            "another file or --layer, or remove features with: geographer remove features"
        )
    if changes["removed"] and not changes["changed"] + unchanged:
        logger.warning(
            "'%s' has none of the dataset's features, so all of them are removed. If it should have them, name the "
            "column of their ids with --id",
            recorded["source"],
        )
    return FeaturesSynced(**recorded, **changes, unchanged=unchanged), rows


def _check_input(
    revision: Revision, request: AddFeatures, incoming_classes: Collection[str] = (), *, makes_ids: bool = False
) -> _CheckedInput:
    """Read and check the data, and stage the log rows of what they change."""
    if request.class_ is not None and request.as_class is not None:
        raise UsageError("--class (a column) and --as-class (one class for all) exclude each other. Pass one of them.")
    existing = read_class_values(revision)
    layer, encoding = request.layer, request.encoding
    with open_vector_source(revision.connection, request.data, request.crs, layer=layer, encoding=encoding) as source:
        ids = choose_feature_ids(revision, source, request)
        classes = [name for name, value in existing.items() if value > 0]
        types = stage_features(revision, source, request, ids, classes, makes_ids=makes_ids or request.sync)
    reject_implausible_crs(revision, source)
    skipped = collect_skipped_rows(revision, source, request, ids)
    classes = _list_new_classes(revision, source, {*existing, *incoming_classes})
    counts = dict(revision.fetch_rows("SELECT change, count(*) FROM new_feature GROUP BY change"))
    changes = {change: counts.get(change, 0) for change in ("added", "changed", "removed")}
    valid = int(revision.fetch_value("SELECT count(*) FROM checked_feature WHERE problem IS NULL"))
    if request.sync or request.replace:
        _warn_of_lost_columns(revision, source, types)
    if not valid + len(skipped):
        condition = "" if request.where is None else f" for which --where {request.where!r} is true"
        logger.warning("'%s' has no feature%s. Its columns: %s", source.name, condition, ", ".join(source.columns))
    recorded = {
        **{"source": source.name, "columns": types, "skipped": len(skipped), "classes": classes},
        **{"crs": source.crs, "ids": ids},
    }
    unchanged = valid - changes["added"] - changes["changed"]
    values = number_classes(existing, classes, read_ignored_values(revision))
    return _CheckedInput(recorded, changes, unchanged, _list_rows(source, values, skipped, counts))


def _list_rows(
    source: VectorSource,
    class_values: Mapping[str, int],
    skipped: NamedTexts,
    counts: Mapping[str, int],
) -> "dict[str, pa.Table | str]":
    """Return the rows by log table; none, with a warning, if every row that is new was skipped."""
    rows: dict[str, pa.Table | str] = {"feature_change": "new_feature"} if counts else {}
    if class_values:
        rows["class_change"] = make_class_rows(class_values)
    return dict(omit_lone_skips(source.name, rows | make_skipped_rows(source.name, skipped)))


def _warn_of_lost_columns(revision: Revision, source: VectorSource, types: Columns) -> None:
    """Log the user columns of which replaced features lose their values, because the new data lack the columns."""
    lacking = [name for name in revision.list_user_columns("feature") if name not in types]
    values = [f"count(properties->>'{escape_literal(make_json_path(name))}')" for name in lacking]
    changed = "feature_id IN (SELECT feature_id FROM new_feature WHERE change = 'changed')"
    query = f"SELECT [{', '.join(values)}] FROM current_feature WHERE {changed}"  # noqa: S608
    counts = revision.fetch_value(query) if lacking else []
    if lost := [name for name, count in zip(lacking, counts, strict=True) if count]:
        columns = quote_objects("column", lost)
        logger.warning("'%s' has no %s: replaced features lose the values there", source.name, columns)


def _list_new_classes(revision: Revision, source: VectorSource, classes: set[str]) -> list[str]:
    """Return the classes that the data has beside `classes`; raise if the dataset was created with other classes."""
    query = "SELECT class, min(feature_id) FROM checked_feature WHERE problem IS NULL GROUP BY class ORDER BY class"
    rows = revision.fetch_rows(query)
    if unclassified := [feature_id for name, feature_id in rows if not name]:
        raise UsageError(
            f"feature '{unclassified[0]}' of '{source.name}' has no class. Fill the column, or exclude it with --where."
        )
    names = [name for name, _ in rows if name not in classes]
    if names and has_fixed_classes(revision):
        existing = quote_names([*read_class_values(revision)])
        raise NotFoundError(
            f"'{source.name}' has the unknown {quote_objects('class', names)}; the dataset has {existing}. "
            "Add classes with: geographer add classes. Or pass --class COLUMN with existing ones."
        )
    return names


def has_fixed_classes(revision: Revision) -> bool:
    """Return whether the dataset was created with classes, so that input must not bring others."""
    query = "SELECT json_array_length(payload, '$.classes') > 0 FROM chain_event WHERE position = 1"
    return bool(revision.fetch_value(query))
