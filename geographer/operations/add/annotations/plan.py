"""Plan an import of annotations: shapes become rows in the CRSs of rasters, which the planner of additions checks."""

import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import shapely

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.operations.add.annotations.edits import Edits, find_edits
from geographer.operations.add.annotations.encoded_masks import draw_masks
from geographer.operations.add.annotations.images import ShownRaster, match_images, raise_missing
from geographer.operations.add.annotations.parts import join_shapes
from geographer.operations.add.annotations.pixel_checks import note_problems, scale_to_rasters, transform_to_crs
from geographer.operations.add.annotations.shapes import Annotations
from geographer.operations.add.events import AnnotationsImported
from geographer.operations.add.features import PREVIEW_FEATURES, AddFeatures, has_fixed_classes, plan_feature_addition
from geographer.planning.class_values import (
    make_class_rows,
    number_classes,
    read_class_values,
    read_ignored_values,
)
from geographer.planning.input_problems import NamedTexts, make_skipped_rows, omit_lone_skips
from geographer.planning.removed_rasters import make_removed_rows
from geographer.planning.shown_features import read_shown_features
from geographer.planning.user_columns import deduplicate_column_names, require_column_names
from geographer.planning.vectors.source import open_vector_source
from geographer.storage.database.connection import quote_identifier, register_table
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.operations.add.annotations.request import AnnotationRequest

logger = logging.getLogger(__name__)

_COLUMNS: Final = ("feature_id", "class", "geometry", "image")
"""The columns of the table of features; a property of such a name gets an underscore."""
_CRS: Final = 3
"""The index of the CRS in the result of stored_features.sql, after the geometry; user columns of any name follow."""
_NUMBERS: Final = {"BIGINT", "DOUBLE"}
_STORED: Final = Path(__file__).with_name("stored_features.sql")
_ANNOTATED: Final = Path(__file__).with_name("annotated_features.sql")


@dataclass(slots=True)
class _PlannedRows:
    """What the planner of additions made of the features, CRS by CRS."""

    changes: "list[pa.Table]" = field(default_factory=list)
    skipped: "list[pa.Table]" = field(default_factory=list)
    previews: "list[pa.Table]" = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    classes: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)


def plan_annotations(
    revision: Revision, request: "AnnotationRequest", annotations: Annotations, sha256: str, source: str
) -> Change:
    """Plan the event that adds, changes or removes the features of annotations, which were read from `source`.

    Raises:
        NotFoundError: An image has no raster, or a class is unknown.
        UsageError: A shape is invalid, or the exported revision is unknown.
        ConflictError: Features differ from those of the dataset, and neither `replace` nor `sync` is set.
    """
    _rename_classes(annotations, request)
    relative = annotations.is_relative
    shown = match_images(revision, annotations.images, request.collection, is_relative=relative)
    _note_missing_images(annotations, shown, request)
    draw_masks(annotations, shown)
    scale_to_rasters(annotations, shown)
    note_problems(annotations, shown, repair=request.repair)
    edits = Edits(new=[*range(len(annotations))])
    if annotations.edits_features:
        annotations = join_shapes(annotations)
        edits = _find_edits(revision, annotations, shown)
    else:
        _note_repeated_ids(annotations)
    skipped = _collect_problems(annotations, request)
    rows = [row for row in (*edits.new, *edits.changed.values()) if row not in annotations.problems]
    _require_known_classes(revision, request, {annotations.classes[row] for row in rows})
    planned = _plan_rows(revision, request, annotations, shown, edits, sorted(rows))
    _require_consent(request, planned)
    present = planned.ids | edits.unchanged | {str(value) for value in annotations.ids if value is not None}
    removed = _find_removed(revision, request, annotations, shown, edits, present, source)
    return _make_change(revision, request, planned, skipped, removed, sha256, source, shown, edits)


def _rename_classes(annotations: Annotations, request: "AnnotationRequest") -> None:
    unknown = sorted({*request.class_map} - {*annotations.classes})
    if unknown:
        found = quote_names(sorted({*annotations.classes}))
        raise NotFoundError(f"'{request.path}' has no {quote_objects('class', unknown)}. Its classes: {found}.")
    annotations.classes = [request.class_map.get(name, name) for name in annotations.classes]
    if request.as_class is not None:
        annotations.classes = [request.as_class] * len(annotations)
    for row, name in enumerate(annotations.classes):
        if not name:
            annotations.problems.setdefault(row, "its class has no name: pass --as-class, or correct the file")


def _require_known_classes(revision: Revision, request: "AnnotationRequest", names: Collection[str]) -> None:
    """Raise `NotFoundError` for new classes if the dataset was created with others."""
    existing = read_class_values(revision)
    unknown = sorted({*names} - {*existing})
    if unknown and has_fixed_classes(revision):
        raise NotFoundError(
            f"'{request.path}' has the unknown {quote_objects('class', unknown)}; the dataset has "
            f"{quote_names([*existing])}. Add classes with: geographer add classes. Or pass --class-map NAME=CLASS."
        )


def _note_repeated_ids(annotations: Annotations) -> None:
    counts = Counter(str(value) for value in annotations.ids if value is not None)
    if len(counts) < len(annotations):
        for row, value in enumerate(annotations.ids):
            if value is not None and counts[str(value)] > 1:
                annotations.problems.setdefault(row, f"its id '{value}' occurs several times in the file")


def _note_missing_images(
    annotations: Annotations, shown: Mapping[int, ShownRaster], request: "AnnotationRequest"
) -> None:
    """Note the annotations of images without a raster, or raise `NotFoundError`."""
    missing = {row: image for row, image in enumerate(annotations.image) if image not in shown}
    if missing and request.on_error == "fail":
        names = [annotations.images[image].name for image in dict.fromkeys(missing.values())]
        raise_missing(names, request.collection)
    for row, image in missing.items():
        annotations.problems[row] = f"no raster has the name of its image '{annotations.images[image].name}'"


def _find_edits(revision: Revision, annotations: Annotations, shown: Mapping[int, ShownRaster]) -> Edits:
    """Return what was edited of the exported features, and warn of what was deleted in part."""
    position = _find_exported(revision, annotations)
    exported = read_shown_features(revision, [raster.raster_id for raster in shown.values()], position)
    kinds = annotations.exported_dimensions
    exported = [item for item in exported if int(shapely.get_dimensions(item.geometry)) in kinds]
    head = dict(revision.fetch_rows("SELECT feature_id, row_digest FROM current_feature"))
    edits = find_edits(annotations, shown, exported, head)
    edits.deleted = [feature for feature in edits.deleted if feature in head]
    if edits.kept:
        logger.warning(
            "%s deleted on some images, and kept, because others have it",
            quote_objects("feature", edits.kept, "was|were"),
        )
    return edits


def _find_exported(revision: Revision, annotations: Annotations) -> int | None:
    """Return the position of the exported revision; None: the file does not name one."""
    if annotations.revision is None:
        return None
    query = "SELECT position FROM state.event WHERE starts_with(digest, $digest) AND position <= $position"
    parameters = {"digest": annotations.revision, "position": revision.position}
    if position := revision.fetch_value(query, parameters):
        return int(position)
    raise UsageError(
        f"the annotations were exported from revision {annotations.revision}, which the history of this branch lacks. "
        "Use the dataset and the branch that they come from."
    )


def _collect_problems(annotations: Annotations, request: "AnnotationRequest") -> NamedTexts:
    """Return the name and the problem of each annotation that cannot be used; raise if `on_error` is `fail`."""
    rows = sorted(annotations.problems.items())
    if rows and request.on_error == "fail":
        reason = rows[0][1]
        names = [annotations.names[row] for row, other in rows if other == reason]
        others = f" (other problems: {len(rows) - len(names):,})" if len(rows) > len(names) else ""
        raise UsageError(
            f"cannot import {quote_names(names)} from '{request.path}': {reason}{others}. Correct the annotation, or "
            "pass --on-error skip."
        )
    return [(annotations.names[row], reason) for row, reason in rows]


def _plan_rows(
    revision: Revision,
    request: "AnnotationRequest",
    annotations: Annotations,
    shown: Mapping[int, ShownRaster],
    edits: Edits,
    rows: Sequence[int],
) -> _PlannedRows:
    """Let the planner of additions check the features, one CRS after the other."""
    planned = _PlannedRows()
    if not rows:
        return planned
    table, crs_texts = _make_table(revision, annotations, shown, edits, rows)
    for crs in dict.fromkeys(crs_texts):
        mask = np.array([text == crs for text in crs_texts])
        _plan_group(revision, request, table.filter(mask), crs, planned)
    return planned


def _plan_group(
    revision: Revision, request: "AnnotationRequest", table: "pa.Table", crs: str, planned: _PlannedRows
) -> None:
    with open_vector_source(revision.connection, table, crs) as source:
        named = replace(source, name=str(request.path))
        addition = AddFeatures(named, id="feature_id", class_="class", on_error=request.on_error, replace=True)
        event, rows = plan_feature_addition(revision, addition, planned.classes, makes_ids=True)
    planned.ids.update(row[0] for row in revision.fetch_rows("SELECT feature_id FROM checked_feature"))
    planned.classes += event.classes
    planned.columns |= event.columns
    if "feature_change" in rows:
        planned.changes.append(revision.fetch_arrow("FROM new_feature"))
        planned.previews.append(revision.fetch_arrow(PREVIEW_FEATURES))
    if "skipped_input" in rows:
        planned.skipped.append(rows["skipped_input"])


def _make_table(
    revision: Revision,
    annotations: Annotations,
    shown: Mapping[int, ShownRaster],
    edits: Edits,
    rows: Sequence[int],
) -> "tuple[pa.Table, list[str]]":
    """Return the features as a table, those of the dataset with their user columns, and the CRS of each."""
    import pyarrow as pa

    grids, ids = [shown[annotations.image[row]].grid for row in rows], [annotations.ids[row] for row in rows]
    geometries = transform_to_crs(annotations.geometry[[*rows]], grids)
    columns = {
        "(row)": pa.array(range(len(rows)), pa.int64()),
        "feature_id": pa.array([None if value is None else str(value) for value in ids], pa.string()),
        "class": pa.array([annotations.classes[row] for row in rows], pa.string()),
        "geometry": pa.array(shapely.to_wkb(geometries), pa.binary()),
        "(crs)": pa.array([grid.crs for grid in grids], pa.string()),
        "(keeps geometry)": pa.array([str(value) in edits.keeps_geometry for value in ids], pa.bool_()),
    }
    table = _add_stored_columns(revision, pa.table(columns), _list_properties(annotations, shown, edits, rows))
    crs_texts = table.column(_CRS).to_pylist()
    extension = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": "{}"}
    geometry = pa.field("geometry", pa.binary(), metadata=extension)
    table = table.set_column(0, "feature_id", _make_id_column(revision, ids))
    table = table.set_column(_CRS - 1, geometry, table.column(_CRS - 1))
    return table.remove_column(_CRS), crs_texts


def _list_properties(
    annotations: Annotations, shown: Mapping[int, ShownRaster], edits: Edits, rows: Sequence[int]
) -> "dict[str, pa.Array]":
    """Return the user columns that the annotations bring: `image`, but not for edited features, and properties."""
    import pyarrow as pa

    names = deduplicate_column_names(annotations.properties, _COLUMNS)
    require_column_names(names.values())
    edited = {*edits.changed.values()}
    images = [None if row in edited else shown[annotations.image[row]].raster_id for row in rows]
    values = {names[name]: [values[row] for row in rows] for name, values in annotations.properties.items()}
    columns = {"image": images, **values}
    return {name: pa.array(items) for name, items in columns.items() if any(item is not None for item in items)}


def _add_stored_columns(revision: Revision, features: "pa.Table", properties: "Mapping[str, pa.Array]") -> "pa.Table":
    """Return the features with properties, and with the user columns of those that the dataset has."""
    for name, values in properties.items():
        features = features.append_column(f"property {name}", values)
    kinds = {name: kind for name, kind in revision.describe_columns("features").items() if name not in _COLUMNS[:3]}
    stored = {name.lower(): name for name in kinds}
    selected = []
    with register_table(revision.connection, "annotated_feature", features):
        given = {row[0]: row[1] for row in revision.fetch_rows("DESCRIBE annotated_feature")}
        for name in properties:
            value, other = f'"(annotated)".{quote_identifier(f"property {name}")}', stored.pop(name.lower(), None)
            if other is not None:
                pair = (value, f'"(stored)".{quote_identifier(other)}')
                types = {given[f"property {name}"], kinds[other]}
                is_same = len(types) == 1 or types <= _NUMBERS
                value = f"coalesce({', '.join(pair if is_same else [f'{text}::VARCHAR' for text in pair])})"
            selected.append(f"{value} AS {quote_identifier(name)}")
        selected += [f'"(stored)".{quote_identifier(name)} AS {quote_identifier(name)}' for name in stored.values()]
        return revision.fetch_arrow(_STORED.read_text().replace("{columns}", "".join(f", {item}" for item in selected)))


def _make_id_column(revision: Revision, ids: Sequence[str | int | None]) -> "pa.Array":
    """Return the ids: whole numbers if all are, and the dataset has no others."""
    import pyarrow as pa

    given = [value for value in ids if value is not None]
    has_features = bool(revision.fetch_rows("SELECT 1 FROM current_feature LIMIT 1"))
    is_integer = revision.feature_id_type == "BIGINT" or not has_features
    are_numbers = all(isinstance(value, int) or is_whole_number(value) for value in given)
    if are_numbers and (is_integer if given else has_features and is_integer):
        return pa.array([None if value is None else int(value) for value in ids], pa.int64())
    if given and all(isinstance(value, int) and abs(value) < 2**63 for value in given):
        return pa.array(ids, pa.int64())
    return pa.array([None if value is None else str(value) for value in ids], pa.string())


def is_whole_number(text: str) -> bool:
    """Return whether a text is how a whole number of at most 18 digits is written."""
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) < 19 and str(int(text)) == text


def _require_consent(request: "AnnotationRequest", planned: _PlannedRows) -> None:
    """Raise `ConflictError` if features of the dataset would change, and the request does not say so."""
    if request.replace or request.sync:
        return
    changed = [
        feature_id
        for table in planned.changes
        for change, feature_id in zip(table["change"].to_pylist(), table["feature_id"].to_pylist(), strict=True)
        if change == "changed"
    ]
    if changed:
        raise ConflictError(
            f"{quote_objects('feature', changed, 'is|are')} in the dataset, and the file has other values. Pass "
            f"--replace to change them{request.id_advice}."
        )


def _find_removed(
    revision: Revision,
    request: "AnnotationRequest",
    annotations: Annotations,
    shown: Mapping[int, ShownRaster],
    edits: Edits,
    present: Collection[str],
    source: str,
) -> list[str]:
    """Return the ids of the features that the file lacks; without `sync`, warn of them and return none."""
    missing = edits.deleted
    if not annotations.edits_features:
        raster_ids = [raster.raster_id for raster in shown.values()]
        missing = _list_annotated(revision, request, source, raster_ids, present)
    missing = [feature for feature in missing if feature not in present]
    if request.sync or not missing:
        return missing
    if annotations.edits_features and annotations.revision is None:
        return []
    logger.warning(
        "'%s' has no annotation of %s any more: kept. Pass --sync to remove",
        request.path,
        quote_objects("feature", missing),
    )
    return []


def _list_annotated(
    revision: Revision, request: "AnnotationRequest", source: str, raster_ids: list[str], present: Collection[str]
) -> list[str]:
    """Return the ids of the features on these rasters that imports from `source` made.

    With `sync`, warn of those that imports of another file of the same name made: they are kept.
    """
    if "image" not in revision.list_user_columns("feature"):
        return []
    parameters = {"rasters": raster_ids, "source": source, "name": PurePosixPath(source).name}
    sources: dict[str, set[str]] = defaultdict(set)
    for origin, feature_id in revision.fetch_rows(_ANNOTATED.read_text(), parameters):
        sources[feature_id].add(origin)
    made = [feature for feature, origins in sources.items() if source in origins]
    others = [feature for feature in sources if feature not in {*made, *present}]
    if request.sync and others:
        names = sorted({origin for feature in others for origin in sources[feature]})
        logger.warning(
            "--sync kept %s from %s: it removes only what came from '%s' (paths are relative to the dataset)",
            quote_objects("feature", others),
            quote_names(names),
            source,
        )
    return made


def _make_change(
    revision: Revision,
    request: "AnnotationRequest",
    planned: _PlannedRows,
    skipped: NamedTexts,
    removed: list[str],
    sha256: str,
    source: str,
    shown: Mapping[int, ShownRaster],
    edits: Edits,
) -> Change:
    import pyarrow as pa

    tables = list(planned.changes)
    if removed:
        rows = make_removed_rows("feature_change", [(feature,) for feature in removed]).to_arrow()
        tables.append(rows.cast(_unify_schema(rows, tables)))
    skips = [*make_skipped_rows(str(request.path), skipped).values(), *planned.skipped]
    changes = [change for table in planned.changes for change in table["change"].to_pylist()]
    rows_by_table: dict[str, Any] = {}
    if tables:
        rows_by_table["feature_change"] = pa.concat_tables(tables)
    if planned.classes:
        values = number_classes(read_class_values(revision), planned.classes, read_ignored_values(revision))
        rows_by_table["class_change"] = make_class_rows(values)
    if skips:
        rows_by_table["skipped_input"] = pa.concat_tables(skips)
    event = AnnotationsImported(
        source=source,
        format=request.format_name,
        sha256=sha256,
        images=len(shown),
        columns=planned.columns,
        added=changes.count("added"),
        changed=changes.count("changed"),
        removed=len(removed),
        unchanged=len(edits.unchanged) + len(planned.ids) - len(changes) - sum(map(len, planned.skipped)),
        skipped=sum(map(len, skips)),
        classes=planned.classes,
        crs=sorted({text for table in planned.changes for text in table["crs"].to_pylist() if text}),
    )
    has_preview = request.dry_run and (planned.previews or removed)
    preview = _join_previews(planned.previews, removed) if has_preview else None
    return Change(event, omit_lone_skips(str(request.path), rows_by_table), preview=preview)


def _unify_schema(rows: "pa.Table", tables: "list[pa.Table]") -> "pa.Schema":
    return tables[0].schema if tables else rows.schema


def _join_previews(previews: "list[pa.Table]", removed: list[str]) -> "pa.Table":
    """Return what would change, object by object."""
    import pyarrow as pa

    nothing = [None] * len(removed)
    columns = {"change": ["removed"] * len(removed), "feature_id": removed, "class": nothing, "differs": nothing}
    gone = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    return pa.concat_tables([*(table.cast(gone.schema) for table in previews), gone])
