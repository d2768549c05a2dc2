"""Plan the `dataset_imported` event, which merges a source dataset into this one."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.atomic_files import check_file
from geographer.base.errors import ConflictError, CorruptError, quote_names, quote_objects
from geographer.base.values import Checksums
from geographer.operations.merge.options import check_options, recipe_to_payload, select_new_recipes
from geographer.planning.class_values import make_class_rows, number_classes
from geographer.storage.database.connection import quote_identifier, run_script
from geographer.storage.events import EventDraft
from geographer.storage.log.digests import build_row_digest_sql
from geographer.storage.log.row_tables import ROW_TABLES, make_row_table
from geographer.storage.unit_of_work import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from geographer.operations.merge.options import MergeOptions
    from geographer.operations.merge.source_dataset import SourceDataset
    from geographer.storage.dvc.store import Store
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_RENAMED_ROWS: Final = _FOLDER / "renamed_rows.sql"
_ORPHANED_CHIPS: Final = _FOLDER / "orphaned_chips.sql"
_INCOMING_LABELS: Final = _FOLDER / "incoming_labels.sql"
_INCOMING_INPUTS: Final = _FOLDER / "incoming_inputs.sql"
_MAX_BYTE: Final = 255


def plan_merge(
    revision: Revision, root: Path, source: SourceDataset, store: Store, options: MergeOptions, request: dict[str, Any]
) -> Change:
    """Plan the `dataset_imported` event for the dataset in `root`; `store` has the bytes of the source dataset's files.

    Raises:
        ConflictError: An id, recipe name, class or path means something else in this dataset.
        NotFoundError: A name to rename does not exist.
        UsageError: A prefix or new name cannot be part of a path.
        CorruptError: Bytes of the source dataset are missing or altered.
    """
    check_options(source, options)
    recipes = select_new_recipes(revision, source, options)
    class_values: dict[str, int] = dict(revision.fetch_rows("SELECT class, value FROM classes"))
    conflict = "the datasets. Rename it in one of them, then import again."
    new_classes = number_classes(class_values, source.classes, conflict)
    class_values |= new_classes
    settings = _select_compatible_settings(source, class_values)
    with _stage_renamed_rows(revision, source, options):
        for subject in ("feature", "raster"):
            _classify_rows(revision, subject, options)
        revision.connection.execute(_ORPHANED_CHIPS.read_text())
        _reject_path_conflicts(revision, root)
        tables = {
            "class_change": make_class_rows(new_classes),
            "feature_change": _select_imported_rows(revision, "feature"),
            "raster_change": _select_imported_rows(revision, "raster"),
        }
        files = revision.fetch_rows(
            "SELECT raster_id, source_path, size, md5, sha256 FROM incoming_raster "
            "WHERE is_imported AND storage = 'dvc' ORDER BY order_index"
        )
        labels = _select_labels(revision, options, list(settings))
        columns = {name: [row[name] for row in labels] for name in ROW_TABLES["label_change"]}
        tables["label_change"] = make_row_table("label_change", columns)
        tables["label_object_change"] = _select_label_objects(revision, tables["label_change"])
        new_recipes = {"new_recipes": [recipe.name for recipe in recipes]}
        tables["recipe_input"] = revision.fetch_arrow(_INCOMING_INPUTS.read_text(), new_recipes)
        n_omitted_labels = len(source.tables["source_label"]) - len(labels) - _count_existing_labels(revision)
        counts = _count_statuses(revision, options)
    files += [(row["raster_id"], row["source_path"], row["size"], row["md5"], row["sha256"]) for row in labels]
    renamed_settings = {options.rename_name(name): value for name, value in settings.items()}
    payload = {
        "request": request,
        "history": source.history,
        "columns": source.columns,
        "classes": [*new_classes],
        "recipes": [recipe_to_payload(recipe, renamed_settings) for recipe in recipes],
        "features": tables["feature_change"].num_rows,
        "rasters": tables["raster_change"].num_rows,
        "labels": len(labels),
        **counts,
        "left_out_labels": n_omitted_labels,
        "left_out_splits": source.splits,
        "warnings": _list_warnings(source, class_values, n_omitted_labels, counts["left_out_chips"]),
    }
    rows = {table: part for table, part in tables.items() if part.num_rows}
    return Change(EventDraft("dataset_imported", payload, rows), _locate_files(store, files))


def _select_compatible_settings(source: SourceDataset, class_values: dict[str, int]) -> dict[str, dict[str, Any]]:
    """Return, by recipe, the settings of source labels that labels made in this dataset would have too.

    Additional classes add bands to labels with a band for each class, and can widen the data type of masks.
    """
    if source.classes == class_values:
        return source.label_settings
    if not source.classes.items() <= class_values.items():
        return {}
    fits_byte = max(class_values.values(), default=0) <= _MAX_BYTE
    return {
        name: settings
        for name, settings in source.label_settings.items()
        if "bands" not in settings and ("dtype" not in settings or fits_byte)
    }


@contextmanager
def _stage_renamed_rows(revision: Revision, source: SourceDataset, options: MergeOptions) -> Iterator[None]:
    """Register the source dataset's tables, and create views with new ids and names; see renamed_rows.sql."""
    connection = revision.connection
    cut_recipes = [recipe.name for recipe in source.recipes if recipe.is_cut]
    connection.execute("SET VARIABLE prefix = $prefix", {"prefix": options.prefix})
    connection.execute("SET VARIABLE source_root = $root", {"root": source.root.as_posix()})
    connection.execute("SET VARIABLE cut_recipes = $names::VARCHAR[]", {"names": cut_recipes})
    names = {"old": list(options.rename), "new": list(options.rename.values())}
    connection.execute("SET VARIABLE renames = map($old::VARCHAR[], $new::VARCHAR[])", names)
    for name, table in source.tables.items():
        connection.register(name, table)
    try:
        run_script(connection, _RENAMED_ROWS.read_text())
        yield
    finally:
        for name in source.tables:
            connection.unregister(name)


def _classify_rows(revision: Revision, subject: Literal["feature", "raster"], options: MergeOptions) -> None:
    """Make the temp table `incoming_<subject>`: the renamed rows with `status` and `is_imported`.

    The status is 'added' (new id), 'equal' (same content) or 'different' (same id, other content).

    Raises:
        ConflictError: A row is different, and the options do not say whose to keep.
    """
    imported = "('added', 'different')" if options.on_equal_id == "theirs" else "('added')"
    revision.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE incoming_{subject} AS SELECT *, status IN {imported} AS is_imported FROM ("  # noqa: S608
        "SELECT renamed.*, CASE WHEN row_digest IS NULL THEN 'added' WHEN row_digest = digest THEN 'equal' "
        "ELSE 'different' END AS status "
        f"FROM (SELECT *, {build_row_digest_sql(f'{subject}_change')} AS digest FROM renamed_{subject}) AS renamed "
        f"LEFT JOIN (SELECT {subject}_id, row_digest FROM current_{subject}) USING ({subject}_id))"
    )
    different = revision.fetch_rows(
        f"SELECT {subject}_id FROM incoming_{subject} WHERE status = 'different' ORDER BY order_index"  # noqa: S608
    )
    if different and options.on_equal_id is None:
        raise ConflictError(
            f"{subject} {quote_names([row[0] for row in different])} differs between the datasets. "
            "Pass --on-equal-id ours or theirs, or --prefix P to give the source dataset's objects other ids."
        )


def _reject_path_conflicts(revision: Revision, root: Path) -> None:
    """Raise if the path of an imported raster belongs to another raster, or to a file that is not in the log."""
    owners = dict(revision.fetch_rows("SELECT path, raster_id FROM current_raster WHERE storage = 'dvc'"))
    incoming = revision.fetch_rows(
        "SELECT path, raster_id FROM incoming_raster WHERE is_imported AND storage = 'dvc' ORDER BY path"
    )
    paths = [path for path, raster_id in incoming if owners.get(path, raster_id) != raster_id]
    paths = paths or [path for path, _ in incoming if path not in owners and (root / path).exists()]
    if paths:
        raise ConflictError(
            f"another file exists at {quote_names(paths)}. Move it away (see geographer verify --repair), or pass "
            "--prefix P or --rename OLD=NEW."
        )


def _select_imported_rows(revision: Revision, subject: Literal["feature", "raster"]) -> pa.Table:
    columns = ", ".join(map(quote_identifier, ROW_TABLES[f"{subject}_change"]))
    return revision.fetch_arrow(
        f"SELECT if(status = 'added', 'added', 'changed') AS change, {columns} FROM incoming_{subject} "  # noqa: S608
        "WHERE is_imported ORDER BY order_index"
    )


def _select_labels(revision: Revision, options: MergeOptions, recipes: list[str]) -> list[dict[str, Any]]:
    """Return the labels of source `recipes` that are valid here; none if a differing source feature is not imported."""
    if revision.fetch_value("SELECT count(*) FROM incoming_feature WHERE status = 'different' AND NOT is_imported"):
        return []
    parameters = {"replace_features": options.on_equal_id == "theirs", "labels": recipes}
    rows: list[dict[str, Any]] = revision.fetch_arrow(_INCOMING_LABELS.read_text(), parameters).to_pylist()
    return rows


def _count_existing_labels(revision: Revision) -> int:
    """Count the source labels of equal rasters that this dataset has already, outdated or not."""
    count = revision.fetch_value(
        "SELECT count(*) FROM renamed_label SEMI JOIN (FROM incoming_raster WHERE status = 'equal') USING (raster_id) "
        "SEMI JOIN current_label USING (label, raster_id)"
    )
    return int(count)


def _select_label_objects(revision: Revision, labels: pa.Table) -> pa.Table:
    """Return the log rows of the objects on imported labels."""
    columns = ", ".join(map(quote_identifier, ROW_TABLES["label_object_change"]))
    revision.connection.register("incoming_label", labels)
    try:
        return revision.fetch_arrow(
            f"SELECT 'added' AS change, {columns} FROM renamed_object "  # noqa: S608
            "SEMI JOIN incoming_label USING (label, raster_id) ORDER BY label, raster_id, feature_id"
        )
    finally:
        revision.connection.unregister("incoming_label")


def _count_statuses(revision: Revision, options: MergeOptions) -> dict[str, int]:
    statuses = "SELECT status FROM incoming_feature UNION ALL SELECT status FROM incoming_raster"
    counts = Counter(dict(revision.fetch_rows(f"SELECT status, count(*) FROM ({statuses}) GROUP BY status")))  # noqa: S608
    are_replaced = options.on_equal_id == "theirs"
    return {
        "equal": counts["equal"],
        "kept_as_ours": 0 if are_replaced else counts["different"],
        "replaced_by_theirs": counts["different"] if are_replaced else 0,
        "left_out_chips": counts["orphan"],
    }


def _list_warnings(source: SourceDataset, class_values: dict[str, int], n_labels: int, n_chips: int) -> list[str]:
    warnings = []
    if n_labels:
        reason = "class values differ"
        if source.classes.items() <= class_values.items():
            reason = "they are outdated there, show features of this dataset, or would differ here"
        warnings.append(f"labels not imported: {n_labels:,} ({reason}). Make them with: geographer update")
    if source.splits:
        warnings.append("splits not imported, because merged splits could leak. Assign again with: geographer update")
    if n_chips:
        warnings.append(
            f"chips not imported: {n_chips:,} (the rasters that they were cut from are kept as they are here)"
        )
    return warnings


def _locate_files(store: Store, files: list[tuple[Any, ...]]) -> list[tuple[Path, Checksums]]:
    """Return a verified copy of each file (raster_id, path, size, md5, sha256): from the cache, workspace or remote.

    Raises:
        CorruptError: There is no intact copy; the message names the raster.
    """
    copies = [(raster_id, store.root / path, Checksums(*checksums)) for raster_id, path, *checksums in files]
    damaged = store.check_files([checksums for _, _, checksums in copies])
    missing = {md5 for md5, damage in damaged.items() if damage == "missing"}
    in_workspace = {
        sums.md5: path for _, path, sums in copies if sums.md5 in damaged and check_file(path, sums) is None
    }
    store.fetch_files(sorted(missing - in_workspace.keys()))
    remaining = [(raster_id, sums) for raster_id, _, sums in copies if sums.md5 in damaged.keys() - in_workspace.keys()]
    still_damaged = store.check_files([sums for _, sums in remaining])
    if still_damaged:
        rasters = sorted({raster_id for raster_id, sums in remaining if sums.md5 in still_damaged})
        raise CorruptError(
            f"files of {quote_objects('raster', rasters)} are missing or altered in '{store.root}'. Restore them: see "
            "geographer verify in that dataset."
        )
    return [(in_workspace.get(sums.md5, store.cache_path(sums.md5)), sums) for _, _, sums in copies]
