"""Plan the `dataset_imported` event, which merges a source dataset into this one."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec
import pyarrow as pa
from msgspec import UNSET

from geographer.base.atomic_files import check_file
from geographer.base.canonical_json import canonical_json
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.values import Checksums, validate_name
from geographer.operations.merge.events import DatasetImported, ImportedRecipe
from geographer.operations.merge.source_dataset import SourceDataset, is_cut
from geographer.planning.class_values import make_class_rows, number_classes, read_class_values
from geographer.planning.recipe import list_recipe_records
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.storage.database.connection import quote_identifier, register_table, run_script
from geographer.storage.dvc.store import Store
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.events.row_tables import ROW_TABLES
from geographer.storage.log.digests import build_row_digest_sql
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change

if TYPE_CHECKING:
    from geographer.operations.merge.request import ImportDataset

_FOLDER: Final = Path(__file__).parent
_COUNT_EXISTING: Final = (
    "SELECT count(*) FROM renamed_label SEMI JOIN (FROM incoming_raster WHERE status = 'equal') USING (raster_id) "
    "SEMI JOIN current_label USING (label, raster_id)"
)
"""Counts the source labels of equal rasters that this dataset has already, outdated or not."""
_MAX_BYTE: Final = 255
_COLLECTION_PARAMETERS: Final = ("source", "collection", "into")
"""Recipe parameters that name a collection."""


class SourceFile(NamedTuple):
    """A file of the source dataset: the raster that it belongs to, and its path there."""

    raster_id: str
    path: str
    checksums: Checksums


def plan_merge(revision: Revision, root: Path, source: SourceDataset, store: Store, request: "ImportDataset") -> Change:
    """Plan the event for the dataset in `root`; `store` has the bytes of the source dataset's files.

    Raises:
        ConflictError: An id, recipe name, class or path means something else in this dataset.
        NotFoundError, UsageError: A name to rename does not exist; a prefix or new name cannot be part of a path.
        CorruptError: Bytes of the source dataset are missing or altered.
    """
    _check_names(source, request)
    recipes = _select_new_recipes(revision, source, request)
    class_values = read_class_values(revision)
    conflict = "the datasets. Rename it in one of them, then import again."
    new_classes = number_classes(class_values, source.classes, conflict)
    class_values |= new_classes
    settings = _select_compatible_settings(source, class_values)
    with ExitStack() as staged:
        _stage_renamed_rows(revision, source, request, staged)
        for subject in ("feature", "raster"):
            _classify_rows(revision, subject, request)
        revision.connection.execute((_FOLDER / "orphaned_chips.sql").read_text())
        _reject_path_conflicts(revision, root)
        labels = _select_labels(revision, request, list(settings))
        staged.enter_context(register_table(revision.connection, "incoming_label", labels))
        new_recipes = {"new_recipes": [recipe.name for recipe in recipes]}
        tables = {
            "class_change": make_class_rows(new_classes),
            "feature_change": _select_imported_rows(revision, "feature"),
            "raster_change": _select_imported_rows(revision, "raster"),
            "label_change": labels.select(["change", *ROW_TABLES["label_change"]]),
            "label_object_change": _select_label_objects(revision),
            "recipe_input": revision.fetch_arrow((_FOLDER / "incoming_inputs.sql").read_text(), new_recipes),
        }
        files = _list_files(revision)
        n_omitted_labels = len(source.tables["source_label"]) - len(labels) - revision.fetch_value(_COUNT_EXISTING)
        counts = _count_statuses(revision)
    forms = {request.rename_name(name): msgspec.to_builtins(form) for name, form in settings.items()}
    is_theirs = request.on_equal_id == "theirs"
    event = DatasetImported(
        history=source.history,
        columns=source.columns,
        classes=[*new_classes],
        recipes=[
            ImportedRecipe(recipe.name, recipe.kind, recipe.parameters, forms.get(recipe.name, UNSET))
            for recipe in recipes
        ],
        features=tables["feature_change"].num_rows,
        rasters=tables["raster_change"].num_rows,
        labels=len(labels),
        equal=counts["equal"],
        kept_as_ours=0 if is_theirs else counts["different"],
        replaced_by_theirs=counts["different"] if is_theirs else 0,
        left_out_chips=counts["orphan"],
        left_out_labels=n_omitted_labels,
        left_out_splits=source.splits,
        warnings=_list_warnings(source, class_values, n_omitted_labels, counts["orphan"]),
    )
    rows = {table: part for table, part in tables.items() if part.num_rows}
    return Change(event, rows, _locate_files(store, files))


def _select_compatible_settings(source: SourceDataset, class_values: dict[str, int]) -> dict[str, LabelSettings]:
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
        if settings.bands is UNSET and (settings.dtype is UNSET or fits_byte)
    }


def _stage_renamed_rows(revision: Revision, source: SourceDataset, request: "ImportDataset", stack: ExitStack) -> None:
    """Register the source dataset's tables, and create views with new ids and names; see renamed_rows.sql."""
    connection = revision.connection
    cut_recipes = [recipe.name for recipe in source.recipes if is_cut(recipe)]
    connection.execute("SET VARIABLE prefix = $prefix", {"prefix": request.prefix})
    connection.execute("SET VARIABLE source_root = $root", {"root": source.root.as_posix()})
    connection.execute("SET VARIABLE cut_recipes = $names::VARCHAR[]", {"names": cut_recipes})
    names = {"old": list(request.new_names), "new": list(request.new_names.values())}
    connection.execute("SET VARIABLE renames = map($old::VARCHAR[], $new::VARCHAR[])", names)
    for name, table in source.tables.items():
        stack.enter_context(register_table(connection, name, table))
    run_script(connection, (_FOLDER / "renamed_rows.sql").read_text())


def _classify_rows(revision: Revision, subject: Literal["feature", "raster"], request: "ImportDataset") -> None:
    """Make the temp table `incoming_<subject>`: the renamed rows with `status` and `is_imported`.

    The status is 'added' (new id), 'equal' (same content) or 'different' (same id, other content), which is refused
    unless `on_equal_id` says whose to keep.
    """
    imported = "('added', 'different')" if request.on_equal_id == "theirs" else "('added')"
    revision.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE incoming_{subject} AS SELECT *, status IN {imported} AS is_imported FROM ("  # noqa: S608
        "SELECT renamed.*, CASE WHEN row_digest IS NULL THEN 'added' WHEN row_digest = digest THEN 'equal' "
        "ELSE 'different' END AS status "
        f"FROM (SELECT *, {build_row_digest_sql(f'{subject}_change')} AS digest FROM renamed_{subject}) AS renamed "
        f"LEFT JOIN (SELECT {subject}_id, row_digest FROM current_{subject}) USING ({subject}_id))"
    )
    query = f"SELECT {subject}_id FROM incoming_{subject} WHERE status = 'different' ORDER BY order_index"  # noqa: S608
    different = [id for (id,) in revision.fetch_rows(query)]
    if different and request.on_equal_id is None:
        raise ConflictError(
            f"{subject} {quote_names(different)} differs between the datasets. "
            "Pass --on-equal-id ours or theirs, or --prefix P to give the source dataset's objects other ids."
        )


def _reject_path_conflicts(revision: Revision, root: Path) -> None:
    """Raise if the path of an imported raster belongs to another raster, or to a file that is not in the log."""
    owners = dict(revision.fetch_rows("SELECT path, raster_id FROM current_raster WHERE storage = 'dvc'"))
    query = "SELECT path, raster_id FROM incoming_raster WHERE is_imported AND storage = 'dvc' ORDER BY path"
    incoming = revision.fetch_rows(query)
    paths = [path for path, raster_id in incoming if owners.get(path, raster_id) != raster_id]
    if paths := paths or [path for path, _ in incoming if path not in owners and (root / path).exists()]:
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


def _select_labels(revision: Revision, request: "ImportDataset", recipes: list[str]) -> pa.Table:
    """Return the labels of source `recipes` that are valid here; none if a differing source feature is not imported."""
    query = "SELECT count(*) FROM incoming_feature WHERE status = 'different' AND NOT is_imported"
    labels = [] if revision.fetch_value(query) else recipes
    parameters = {"replace_features": request.on_equal_id == "theirs", "labels": labels}
    return revision.fetch_arrow((_FOLDER / "incoming_labels.sql").read_text(), parameters)


def _select_label_objects(revision: Revision) -> pa.Table:
    columns = ", ".join(map(quote_identifier, ROW_TABLES["label_object_change"]))
    return revision.fetch_arrow(
        f"SELECT 'added' AS change, {columns} FROM renamed_object "  # noqa: S608
        "SEMI JOIN incoming_label USING (label, raster_id) ORDER BY label, raster_id, feature_id"
    )


def _list_files(revision: Revision) -> list[SourceFile]:
    columns = "raster_id, source_path, size, md5, sha256"
    query = f"SELECT {columns} FROM incoming_raster WHERE is_imported AND storage = 'dvc'"  # noqa: S608
    rows = revision.fetch_rows(f"{query} UNION ALL SELECT {columns} FROM incoming_label ORDER BY ALL")  # noqa: S608
    return [SourceFile(raster_id, path, Checksums(*checksums)) for raster_id, path, *checksums in rows]


def _count_statuses(revision: Revision) -> Counter[str]:
    statuses = "SELECT status FROM incoming_feature UNION ALL SELECT status FROM incoming_raster"
    return Counter(dict(revision.fetch_rows(f"SELECT status, count(*) FROM ({statuses}) GROUP BY status")))  # noqa: S608


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
        reason = "the rasters that they were cut from are kept as they are here"
        warnings.append(f"chips not imported: {n_chips:,} ({reason})")
    return warnings


def _locate_files(store: Store, files: Sequence[SourceFile]) -> list[tuple[Path, Checksums]]:
    """Return a verified copy of each file: from the cache, the workspace or the remote; raise if there is none."""
    damaged = store.check_files([file.checksums for file in files])
    missing = {md5 for md5, damage in damaged.items() if damage == "missing"}
    in_workspace: dict[str, Path] = {}
    for _, path, checksums in files:
        if checksums.md5 in damaged and check_file(store.root / path, checksums) is None:
            in_workspace[checksums.md5] = store.root / path
    store.fetch_files(sorted(missing - in_workspace.keys()))
    remaining = [file for file in files if file.checksums.md5 in damaged.keys() - in_workspace.keys()]
    still_damaged = store.check_files([file.checksums for file in remaining])
    if still_damaged:
        rasters = sorted({file.raster_id for file in remaining if file.checksums.md5 in still_damaged})
        raise CorruptError(
            f"files of {quote_objects('raster', rasters)} are missing or altered in '{store.root}'. Restore them: see "
            "geographer verify in that dataset."
        )
    return [(in_workspace.get(sums.md5, store.cache_path(sums.md5)), sums) for _, _, sums in files]


def _check_names(source: SourceDataset, request: "ImportDataset") -> None:
    """Raise unless the names to rename exist, and the prefix and the new names are valid and distinct."""
    if request.prefix:
        validate_name("prefix", request.prefix)
    names = {recipe.name for recipe in source.recipes} | source.list_collections()
    if unknown := sorted(set(request.new_names) - names):
        raise NotFoundError(
            f"no recipe or collection {quote_names(unknown)} to rename in '{source.root}'. "
            f"It has {quote_names(sorted(names)) or 'none'}."
        )
    for name in request.new_names.values():
        validate_name("recipe", name)
    counts = Counter(map(request.rename_name, names))
    if repeated := sorted(name for name in counts if counts[name] > 1):
        name = quote_names(repeated)
        raise UsageError(f"several recipes or collections would have the name {name}. Change --rename.")


def _select_new_recipes(revision: Revision, source: SourceDataset, request: "ImportDataset") -> list[RecipeRecord]:
    """Return the renamed recipes that this dataset lacks; raise if a name belongs to something else here."""
    existing = {recipe.name: recipe for recipe in list_recipe_records(revision)}
    incoming = [_rename_recipe(recipe, request) for recipe in source.recipes]
    if different := [recipe.name for recipe in incoming if existing.get(recipe.name, recipe) != recipe]:
        recipe = existing[different[0]]
        raise ConflictError(
            f"{quote_objects('recipe', different, 'has|have')} other parameters here ({recipe.kind} "
            f"{canonical_json(recipe.parameters)}). Import it under another name with --rename {different[0]}=NEW."
        )
    query = "SELECT DISTINCT collection FROM current_raster WHERE recipe IS NULL"
    added_rasters = {collection for (collection,) in revision.fetch_rows(query)}
    recipes = (existing.values(), source.recipes, incoming)
    existing_cuts, source_cuts, incoming_cuts = ({recipe.name for recipe in side if is_cut(recipe)} for side in recipes)
    incoming_collections = {request.rename_name(name) for name in source.list_collections() - source_cuts}
    if clashing := sorted(incoming_cuts & added_rasters) + sorted(incoming_collections & existing_cuts):
        raise ConflictError(
            f"collection {quote_names(clashing)} has chips of a recipe in one dataset and added rasters in the other. "
            f"Rename the source dataset's with --rename {clashing[0]}=NEW."
        )
    return [recipe for recipe in incoming if recipe.name not in existing]


def _rename_recipe(recipe: RecipeRecord, request: "ImportDataset") -> RecipeRecord:
    collections = {key: recipe.parameters[key] for key in _COLLECTION_PARAMETERS if key in recipe.parameters}
    renamed = {key: request.rename_name(name) for key, name in collections.items()}
    return RecipeRecord(request.rename_name(recipe.name), recipe.kind, recipe.parameters | renamed)
