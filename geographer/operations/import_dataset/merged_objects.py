"""Merge features and rasters by id: this dataset's, the source dataset's, and those of their last common revision."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from geographer.base.errors import ConflictError, quote_objects
from geographer.operations.import_dataset.source_dataset import SourceDataset, is_cut
from geographer.operations.import_dataset.source_references import SourceReferences
from geographer.storage.database.connection import register_table, run_script
from geographer.storage.log.digests import build_row_digest_sql
from geographer.storage.queries.revision import Revision

if TYPE_CHECKING:
    from geographer.operations.import_dataset.request import ImportDataset

Subject = Literal["feature", "raster"]

SUBJECTS: Final[tuple[Subject, ...]] = ("feature", "raster")
_FOLDER: Final = Path(__file__).parent
_NO_BASE_LABELS: Final = (
    "CREATE OR REPLACE TEMP TABLE base_label (label VARCHAR, raster_id VARCHAR, pixel_digest VARCHAR)"
)
_CONFLICTS: Final = {
    "incoming_{0} WHERE status = 'different'": ("differs|differ", "between the datasets"),
    "incoming_{0} WHERE status = 'disputed'": ("was|were", "removed here, and changed in the other dataset"),
    "departed_{0} WHERE NOT is_unchanged": ("was|were", "changed here, and removed in the other dataset"),
}
"""Where conflicts are, and what is said about their objects."""


def stage_merged_objects(
    revision: Revision,
    source: SourceDataset,
    references: SourceReferences,
    request: "ImportDataset",
    removed_recipes: list[str],
    stack: ExitStack,
) -> None:
    """Make the temp tables `incoming_<subject>` and `departed_<subject>`; see incoming_rows.sql and departed_rows.sql.

    Raises:
        ConflictError: Both datasets changed an object, or one changed and the other removed it, and `on_equal_id` does
            not say whose to keep.
    """
    _stage_renamed_rows(revision, source, references, request, stack)
    for subject in SUBJECTS:
        _classify_rows(revision, subject, request)
    script = (_FOLDER / "orphaned_chips.sql").read_text()
    run_script(revision.connection, script, {"removed_recipes": removed_recipes})


def list_departed_ids(revision: Revision, subject: Subject) -> list[str]:
    """Return the objects that are removed here, because the source dataset removed them."""
    query = f"SELECT {subject}_id FROM departed_{subject} WHERE is_removed ORDER BY 1"  # noqa: S608
    return [id for (id,) in revision.fetch_rows(query)]


def _stage_renamed_rows(
    revision: Revision,
    source: SourceDataset,
    references: SourceReferences,
    request: "ImportDataset",
    stack: ExitStack,
) -> None:
    """Register the source dataset's tables, and create views with new ids and names; see renamed_rows.sql."""
    connection = revision.connection
    cut_recipes = [recipe.name for recipe in (*source.recipes, *source.base.recipes.values()) if is_cut(recipe)]
    connection.execute("SET VARIABLE prefix = $prefix", {"prefix": request.prefix})
    connection.execute("SET VARIABLE cut_recipes = $names::VARCHAR[]", {"names": cut_recipes})
    names = {"old": list(request.new_names), "new": list(request.new_names.values())}
    connection.execute("SET VARIABLE renames = map($old::VARCHAR[], $new::VARCHAR[])", names)
    tables = {**source.tables, "source_reference": references.table}
    with ExitStack() as base_stack:
        for name, table in {**tables, **source.base.tables}.items():
            base_stack.enter_context(register_table(connection, name, table))
        run_script(connection, (_FOLDER / "renamed_rows.sql").read_text())
        _stage_base(revision, source)
    for name, table in tables.items():
        stack.enter_context(register_table(connection, name, table))


def _stage_base(revision: Revision, source: SourceDataset) -> None:
    """Make the temp tables `base_feature`, `base_raster` and `base_label`: ids and digests at the last common revision.

    `source_id` and `source_digest` are those of the source dataset; the others are those that the objects get here.
    """
    for subject in SUBJECTS:
        digest = build_row_digest_sql(f"{subject}_change")
        rows = f"SELECT source_id, source_digest, {subject}_id, {digest} AS digest FROM renamed_{subject}"  # noqa: S608
        parameters = {}
        if not source.base.tables:
            parameters = {"position": source.base.position}
            rows = (
                f"SELECT {subject}_id AS source_id, row_digest AS source_digest, {subject}_id, row_digest AS digest "  # noqa: S608
                f"FROM state.{subject} WHERE valid_from <= $position AND valid_to > $position"
            )
        revision.connection.execute(f"CREATE OR REPLACE TEMP TABLE base_{subject} AS {rows}", parameters)
    _stage_base_labels(revision, source)


def _stage_base_labels(revision: Revision, source: SourceDataset) -> None:
    """Make the temp table `base_label`: digests of labels at the last common revision, by names here."""
    revision.connection.execute(_NO_BASE_LABELS)
    if source.base.labels is None:
        return
    names = "rename_name(label), rename_raster(raster_id)" if source.base.tables else "label, raster_id"
    with register_table(revision.connection, "source_base_label", source.base.labels) as relation:
        revision.connection.execute(f"INSERT INTO base_label SELECT {names}, pixel_digest FROM {relation}")  # noqa: S608


def _classify_rows(revision: Revision, subject: Subject, request: "ImportDataset") -> None:
    names = {
        "subject": subject,
        "digest": build_row_digest_sql(f"{subject}_change"),
        # Chips are made again by their recipe: their differences are no conflicts.
        "is_derived": "parent_id IS NOT NULL" if subject == "raster" else "false",
        "is_declared": "recipe IS NULL" if subject == "raster" else "true",
    }
    for script in ("incoming_rows.sql", "departed_rows.sql"):
        parameters = {"keep_theirs": request.on_equal_id == "theirs"}
        run_script(revision.connection, (_FOLDER / script).read_text().format(**names), parameters)
    if request.on_equal_id is not None:
        return
    for condition, (verb, text) in _CONFLICTS.items():
        query = f"SELECT {subject}_id FROM {condition.format(subject)} ORDER BY 1"  # noqa: S608
        if ids := [id for (id,) in revision.fetch_rows(query)]:
            raise ConflictError(
                f"{quote_objects(subject, ids, verb)} {text}. Pass --on-equal-id ours or theirs, or --prefix P to give "
                "the source dataset's objects other ids."
            )
