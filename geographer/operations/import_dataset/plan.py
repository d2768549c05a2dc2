"""Plan the `dataset_imported` event, which merges a source dataset into this one."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET

from geographer.base.atomic_files import check_file
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError, quote_names, quote_objects
from geographer.base.values import Checksums, validate_name
from geographer.operations.import_dataset.events import CollectionImported, DatasetImported
from geographer.operations.import_dataset.merged_objects import (
    SUBJECTS,
    Subject,
    list_departed_ids,
    stage_merged_objects,
)
from geographer.operations.import_dataset.merged_recipes import MergedRecipes, merge_recipes
from geographer.operations.import_dataset.source_dataset import SourceDataset
from geographer.operations.import_dataset.source_references import record_source_references
from geographer.planning.class_values import number_classes, read_class_values, read_ignored_values
from geographer.planning.context_classes import read_context_classes
from geographer.planning.label_files import LABEL_FILES
from geographer.planning.recipe import list_recipe_records
from geographer.planning.recipe_events import ImportedRecipe
from geographer.planning.reference_change import ReferenceChange
from geographer.planning.removed_rasters import (
    make_dependent_removal_rows,
    make_removed_rows,
)
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.storage.database.connection import quote_identifier, register_table
from geographer.storage.dvc.store import Store
from geographer.storage.events.plain_rows import PlainRows, make_arrow
from geographer.storage.events.row_tables import ROW_TABLES, make_row_table
from geographer.storage.queries.remembered_removals import stage_remembered_removals
from geographer.storage.queries.revision import Revision
from geographer.storage.request import Change
from geographer.storage.workspace.paths import require_new_path
from geographer.storage.workspace.roots import split_root

if TYPE_CHECKING:
    from geographer.operations.import_dataset.request import ImportDataset
    from geographer.storage.events.plain_rows import PlannedRows

_FOLDER: Final = Path(__file__).parent
_COUNT_OMITTED: Final = (
    "SELECT source_label, count(*) FROM renamed_label "
    "JOIN (SELECT raster_id, status FROM incoming_raster) USING (raster_id) "
    "ANTI JOIN incoming_label USING (label, raster_id) LEFT JOIN current_label AS ours USING (label, raster_id) "
    "WHERE status <> 'removed' AND NOT (status IN ('equal', 'kept') AND ours.label IS NOT NULL) "
    "AND NOT list_contains($removed_recipes::VARCHAR[], label) GROUP BY source_label ORDER BY source_label"
)
"""Counts by name the source labels that are not imported, without those of removed objects and those existing here."""
_MAX_BYTE: Final = 255


class SourceFile(NamedTuple):
    """A file of the source dataset: the raster that it belongs to, and its path there."""

    raster_id: str
    path: str
    checksums: Checksums


def plan_merge(revision: Revision, root: Path, source: SourceDataset, store: Store, request: "ImportDataset") -> Change:
    """Plan the event for the dataset in `root`; `store` has the bytes of the source dataset's files.

    Where the datasets have a common history, the merge is three-way: what only one of them changed or removed since
    then is as in that one.

    Raises:
        ConflictError: An id, recipe name, class or path means something else in this dataset.
        NotFoundError, UsageError: A name to rename does not exist; a prefix or new name cannot be part of a path.
        CorruptError: Bytes of the source dataset are missing or altered.
    """
    _check_names(source, request)
    recipes = merge_recipes(revision, source, request)
    existing_classes = read_class_values(revision)
    # A class of the common history that this dataset lacks was removed here.
    removed_classes = source.base.classes.keys() - existing_classes.keys()
    wanted = {name: value for name, value in source.classes.items() if name not in removed_classes}
    conflict = "the datasets. Rename it in one of them, then import again."
    added_labels = [record.name for record in source.recipes if record.kind == LABEL_FILES]
    their_ignored = {record.name: record.parameters.get("ignore") for record in source.recipes}
    ignored = read_ignored_values(revision) | {value for value in their_ignored.values() if value is not None}
    new_classes = number_classes(existing_classes, wanted, ignored, conflict)
    if request.collection is not None and not existing_classes:
        new_classes = wanted  # Labels can come along only if values stay.
    class_values = existing_classes | new_classes
    settings = {
        name: item
        for name, item in _select_compatible_settings(source, class_values).items()
        if their_ignored.get(name) not in class_values.values()
    }
    new_context = sorted(source.context_classes & new_classes.keys()) if request.collection is not None else []
    known_context = read_context_classes(revision.connection, revision.position).names
    differing_context = sorted(source.context_classes ^ (source.classes.keys() & {*known_context, *new_context}))
    if differing_context:
        # Labels here draw other classes, except for those that were added as files.
        settings = {name: item for name, item in settings.items() if name in added_labels}
    removed_recipes = {"removed_recipes": recipes.removed_here}
    names = {"new_recipes": [record.name for record in recipes.imported], **removed_recipes}
    has_rasters = bool(revision.fetch_rows("SELECT 1 FROM current_raster LIMIT 1"))
    with ExitStack() as staged:
        references = record_source_references(revision, root, source)
        stage_merged_objects(revision, source, references, request, recipes.removed_here, staged)
        _require_classes(revision, class_values)
        _reject_path_conflicts(revision, root)
        kept_settings = [name for name in settings if request.rename_name(name) not in recipes.removed_here]
        labels = _select_labels(revision, kept_settings, added_labels, request)
        staged.enter_context(register_table(revision.connection, "incoming_label", labels))
        departed_classes = _list_departed_classes(revision, source, existing_classes)
        removal_rows = _make_removal_rows(revision, names["new_recipes"])
        tables = {
            "class_change": _make_class_rows(new_classes, departed_classes),
            "feature_change": _select_imported_rows(revision, "feature"),
            "raster_change": _select_imported_rows(revision, "raster"),
            "label_change": labels.select(["change", *ROW_TABLES["label_change"]]),
            "label_object_change": _select_label_objects(revision),
            "recipe_input": revision.fetch_arrow((_FOLDER / "incoming_inputs.sql").read_text(), names),
        }
        if request.collection is not None and not has_rasters:
            tables["split_change"] = _select_splits(revision, names["new_recipes"])
        files, used_roots = _list_files(revision), _list_used_roots(revision)
        omitted_labels: dict[str, int] = dict(revision.fetch_rows(_COUNT_OMITTED, removed_recipes))
        counts = _count_statuses(revision)
        splits = {*tables["split_change"]["split"].to_pylist()} if "split_change" in tables else set()
        n_omitted_splits = source.splits - len(splits)
        warnings = _list_warnings(source, class_values, omitted_labels, counts["orphan"], n_omitted_splits)
        if differing_context:
            differing = quote_objects("context class", differing_context)
            warnings.append(f"only one of the datasets has the {differing}: see geographer classes context")
        warnings += _list_label_files(source, settings) + _list_removals(revision, recipes, departed_classes)
    forms = {request.rename_name(name): msgspec.to_builtins(form) for name, form in settings.items()}
    contested, is_theirs = counts["different"] + counts["disputed"], request.on_equal_id == "theirs"
    event = DatasetImported(
        history=source.history,
        columns=source.columns,
        classes=[*new_classes],
        recipes=[
            ImportedRecipe(recipe.name, recipe.kind, recipe.parameters, forms.get(recipe.name, UNSET))
            for recipe in recipes.imported
        ],
        features=counts["imported feature"],
        rasters=counts["imported raster"],
        labels=len(labels),
        equal=counts["equal"],
        kept_as_ours=counts["kept"] + counts["removed"] + (0 if is_theirs else contested),
        replaced_by_theirs=counts["changed"] + (contested if is_theirs else 0),
        left_out_chips=counts["orphan"],
        left_out_labels=sum(omitted_labels.values()),
        left_out_splits=n_omitted_splits,
        warnings=warnings,
    )
    if request.collection is not None:
        event = CollectionImported(
            **msgspec.structs.asdict(event),
            dataset=source.dataset,
            context_classes=new_context,
            splits=len(splits),
        )
    new_roots = {name: folder for name, folder in references.new_roots.items() if name in used_roots}
    rows = _join_rows(tables, removal_rows)
    return ReferenceChange(event, rows, _locate_files(store, files), new_roots=new_roots)


def _join_rows(*parts: "Mapping[str, PlannedRows]") -> dict[str, pa.Table]:
    """Return the rows of all parts by log table, without empty tables."""
    found = {table: [part[table] for part in parts if table in part] for table in DatasetImported.tables}
    joined = {table: pa.concat_tables(map(make_arrow, rows)) for table, rows in found.items() if rows}
    return {table: rows for table, rows in joined.items() if rows.num_rows}


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


def _require_classes(revision: Revision, class_values: Mapping[str, int]) -> None:
    """Raise if imported features have a class that this dataset removed since the common history."""
    query = (
        "SELECT class, list(feature_id ORDER BY feature_id) FROM incoming_feature WHERE is_imported "
        "GROUP BY class ORDER BY class"
    )
    for name, ids in revision.fetch_rows(query):
        if name not in class_values:
            raise ConflictError(
                f"{quote_objects('feature', ids, 'has|have')} the class '{name}', which was removed here. Remap it in "
                f"the other dataset (geographer classes remap), or add it here again: geographer add classes {name}"
            )


def _list_departed_classes(revision: Revision, source: SourceDataset, existing: Mapping[str, int]) -> dict[str, int]:
    """Return the classes that the source dataset removed since the common history, and that no feature has any more."""
    used = {name for (name,) in revision.fetch_rows((_FOLDER / "used_classes.sql").read_text())}
    departed = source.base.classes.keys() - source.classes.keys() - used
    return {name: value for name, value in existing.items() if name in departed and value == source.base.classes[name]}


def _make_class_rows(added: Mapping[str, int], removed: Mapping[str, int]) -> pa.Table:
    changes = ["removed"] * len(removed) + ["added"] * len(added)
    values = {**removed, **added}
    return make_row_table("class_change", {"change": changes, "class": [*values], "value": [*values.values()]})


def _make_removal_rows(revision: Revision, new_recipes: list[str]) -> dict[str, PlainRows]:
    """Return the rows, by log table, that remove what the source dataset removed; of rasters, what depends on them."""
    ids = {subject: list_departed_ids(revision, subject) for subject in SUBJECTS}
    stage_remembered_removals(revision)
    recipes = [record.name for record in list_recipe_records(revision)] + new_recipes
    query = (_FOLDER / "remembered_rows.sql").read_text()
    remembered = [id for (id,) in revision.fetch_rows(query, {"recipes": recipes})]
    rows = make_dependent_removal_rows(revision, ids["raster"])
    keys = {"feature_change": ids["feature"], "raster_change": ids["raster"] + remembered}
    return rows | {table: make_removed_rows(table, [(id,) for id in found]) for table, found in keys.items() if found}


def _reject_path_conflicts(revision: Revision, root: Path) -> None:
    """Raise if the path of an imported raster belongs to another raster, or to a file that is not in the log."""
    owners = dict(revision.fetch_rows("SELECT path, raster_id FROM current_raster WHERE storage = 'dvc'"))
    query = "SELECT path, raster_id FROM incoming_raster WHERE is_imported AND storage = 'dvc' ORDER BY path"
    incoming = revision.fetch_rows(query)
    for path, _ in incoming:
        require_new_path(path)
    paths = [path for path, raster_id in incoming if owners.get(path, raster_id) != raster_id]
    if paths := paths or [path for path, _ in incoming if path not in owners and (root / path).exists()]:
        raise ConflictError(
            f"another file exists at {quote_names(paths)}. Move it away (see geographer verify --repair), or pass "
            "--prefix P or --rename OLD=NEW."
        )


def _select_imported_rows(revision: Revision, subject: Subject) -> pa.Table:
    columns = ", ".join(map(quote_identifier, ROW_TABLES[f"{subject}_change"]))
    return revision.fetch_arrow(
        f"SELECT if(is_present, 'changed', 'added') AS change, {columns} FROM incoming_{subject} "  # noqa: S608
        "WHERE is_imported ORDER BY order_index"
    )


def _select_labels(
    revision: Revision, recipes: list[str], added_labels: list[str], request: "ImportDataset"
) -> pa.Table:
    """Return the labels of source `recipes` that are valid here; of `added_labels`, also those that changed there.

    If a differing source feature is not imported, these are only those that depend on no feature. Raise `ConflictError`
    if both datasets changed an added label, and `on_equal_id` does not say whose to keep.
    """
    query = "SELECT count(*) > 0 FROM incoming_feature WHERE status <> 'equal' AND NOT is_imported"
    values = {"labels": recipes, "files": added_labels, "has_other_features": revision.fetch_value(query)}
    labels = revision.fetch_arrow((_FOLDER / "incoming_labels.sql").read_text(), values)
    contested = labels.filter(labels["is_contested"])
    if request.on_equal_id is None and len(contested):
        name = contested["label"][0].as_py()
        rasters = quote_objects("raster", contested.filter(pc.equal(contested["label"], name))["raster_id"].to_pylist())
        raise ConflictError(
            f"label '{name}' of {rasters} was added as a file, and differs between the datasets. Pass --on-equal-id "
            f"ours or theirs, or --rename {name}=NEW to import it under another name."
        )
    if request.on_equal_id != "theirs":
        labels = labels.filter(pc.invert(labels["is_contested"]))
    return labels.drop_columns("is_contested")


def _select_label_objects(revision: Revision) -> pa.Table:
    columns = ", ".join(map(quote_identifier, ROW_TABLES["label_object_change"]))
    return revision.fetch_arrow(
        f"SELECT 'added' AS change, {columns} FROM renamed_object "  # noqa: S608
        "SEMI JOIN incoming_label USING (label, raster_id) ORDER BY label, raster_id, feature_id"
    )


def _select_splits(revision: Revision, recipes: list[str]) -> pa.Table:
    """Return the assignments of the source splits that `recipes` of this dataset go on with."""
    return revision.fetch_arrow((_FOLDER / "incoming_splits.sql").read_text(), {"new_recipes": recipes})


def _list_files(revision: Revision) -> list[SourceFile]:
    columns = "raster_id, source_path, size, md5, sha256"
    query = f"SELECT {columns} FROM incoming_raster WHERE is_imported AND storage = 'dvc'"  # noqa: S608
    rows = revision.fetch_rows(f"{query} UNION ALL SELECT {columns} FROM incoming_label ORDER BY ALL")  # noqa: S608
    return [SourceFile(raster_id, path, Checksums(*checksums)) for raster_id, path, *checksums in rows]


def _list_used_roots(revision: Revision) -> set[str]:
    """Return the names of the roots that imported references have."""
    query = "SELECT DISTINCT path FROM incoming_raster WHERE is_imported AND storage = 'reference'"
    return {split_root(path)[0] for (path,) in revision.fetch_rows(query)}


def _count_statuses(revision: Revision) -> Counter[str]:
    """Count the features and rasters by status, and as `imported feature` and `imported raster`."""
    parts = [
        f"SELECT unnest(if(is_imported, [status, 'imported {subject}'], [status])) AS status FROM incoming_{subject}"  # noqa: S608
        for subject in SUBJECTS
    ]
    query = f"SELECT status, count(*) FROM ({' UNION ALL '.join(parts)}) GROUP BY status"  # noqa: S608
    return Counter(dict(revision.fetch_rows(query)))


def _list_warnings(
    source: SourceDataset, class_values: dict[str, int], n_by_label: Mapping[str, int], n_chips: int, n_splits: int
) -> list[str]:
    warnings = []
    nearby = sorted(n_by_label.keys() & source.nearby_labels)
    if n_nearby := sum(n_by_label[name] for name in nearby):
        warnings.append(
            f"labels not imported: {n_nearby:,} ({quote_objects('label', nearby, 'has|have')} a --width, which may "
            "draw lines and points beside a raster, and those are not imported). Make them with: geographer update"
        )
    if n_labels := sum(n_by_label.values()) - n_nearby:
        reason = "class values differ"
        if source.classes.items() <= class_values.items():
            reason = "they are outdated there, show features of this dataset, or would differ here"
        warnings.append(f"labels not imported: {n_labels:,} ({reason}). Make them with: geographer update")
    if n_splits:
        warnings.append("splits not imported, because merged splits could leak. Assign again with: geographer update")
    if n_chips:
        reason = "the rasters that they were cut from are kept as they are here"
        warnings.append(f"chips not imported: {n_chips:,} ({reason})")
    return warnings


def _list_label_files(source: SourceDataset, settings: Mapping[str, LabelSettings]) -> list[str]:
    """Return a warning about labels that were added as files, and whose class values are other ones here."""
    names = [record.name for record in source.recipes if record.kind == LABEL_FILES and record.name not in settings]
    if not names:
        return []
    subject = quote_objects("label", names, "was|were")
    return [f"{subject} added as files, which update cannot make: add them here with geographer add labels"]


def _list_removals(revision: Revision, recipes: MergedRecipes, departed_classes: Iterable[str]) -> list[str]:
    """Return warnings about what either dataset removed since the common history."""
    query = "SELECT {0}_id FROM incoming_{0} WHERE status IN ('removed', 'disputed') AND NOT is_imported ORDER BY 1"
    kept, departed = [], [quote_objects("class", sorted(departed_classes))] if departed_classes else []
    for subject in SUBJECTS:
        here = [id for (id,) in revision.fetch_rows(query.format(subject))]
        kept += [quote_objects(subject, here)] if here else []
        there = list_departed_ids(revision, subject)
        departed += [quote_objects(subject, there)] if there else []
    kept += [quote_objects("recipe", recipes.removed_here)] if recipes.removed_here else []
    warnings = [f"not imported, because they were removed here: {', '.join(kept)}"] if kept else []
    warnings += [f"removed here, because the other dataset removed them: {', '.join(departed)}"] if departed else []
    return warnings + [
        f"the other dataset removed recipe '{name}'; to remove it here: geographer remove recipe {name}"
        for name in recipes.removed_there
    ]


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
    return [(in_workspace.get(sums.md5) or store.find_object(sums.md5), sums) for _, _, sums in files]


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
