"""Source dataset: what another dataset holds at a revision, and at the last common one, read into memory."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa

from geographer.operations.import_dataset.common_history import MergeBase
from geographer.operations.import_dataset.events import SourceHead, SourceHistory
from geographer.planning.class_values import read_class_values
from geographer.planning.context_classes import read_context_classes
from geographer.planning.label_files import LABEL_FILES
from geographer.planning.recipe import find_recipe_class, list_recipe_records
from geographer.planning.up_to_date_labels import LabelSettings, find_up_to_date_labels
from geographer.planning.user_columns import ObjectColumns
from geographer.storage.database.connection import register_table, run_script
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.log.read import read_event, read_head
from geographer.storage.queries.remembered_removals import stage_remembered_removals
from geographer.storage.queries.renamings import stage_renamings
from geographer.storage.queries.revision import Revision

_SOURCE_ROWS: Final = Path(__file__).with_name("source_rows.sql")
_VIEWS: Final = (
    "source_feature",
    "source_raster",
    "source_removal",
    "source_label",
    "source_object",
    "source_input",
    "source_split",
)
_BASE_LABELS: Final = "SELECT label, raster_id, pixel_digest FROM current_label"
_LABELS_OF_COLLECTION: Final = "SELECT DISTINCT label FROM current_label SEMI JOIN wanted_raster USING (raster_id)"


class BaseContent(NamedTuple):
    """What the last common revision holds.

    Attributes:
        classes: Classes with values.
        recipes: The recipes as recorded, by name.
        position: The revision in this dataset's log; 0: it is one of the source dataset.
        tables: The views `source_feature` and `source_raster` of source_rows.sql; empty if this dataset has them.
        labels: The pixel digests of labels: `label`, `raster_id` and `pixel_digest`; None without a common revision.
    """

    classes: Mapping[str, int] = {}
    recipes: Mapping[str, RecipeRecord] = {}
    position: int = 0
    tables: Mapping[str, pa.Table] = {}
    labels: pa.Table | None = None


@dataclass(frozen=True, slots=True)
class SourceDataset:
    """A dataset to import, at a revision.

    Attributes:
        root: Its folder.
        classes: Classes with values.
        recipes: The recipes as recorded.
        tables: The views of source_rows.sql, which renamed_rows.sql reads, and `source_object_order` as in
            `UpToDateLabels`.
        label_settings: `UpToDateLabels.settings`; of one collection, without `nearby_labels`.
        nearby_labels: Labels of one collection that may draw what is beside its rasters.
        splits: The number of splits.
        columns: User columns with types.
        history: The imported revision and the head of the log, for the event's payload.
        base: What the last common revision holds.
        dataset: The digest of its first event, which identifies it.
        context_classes: The classes that its labels do not draw.
    """

    root: Path
    classes: dict[str, int]
    recipes: list[RecipeRecord]
    tables: dict[str, pa.Table]
    label_settings: dict[str, LabelSettings]
    nearby_labels: frozenset[str]
    splits: int
    columns: ObjectColumns
    history: SourceHistory
    base: BaseContent
    dataset: str
    context_classes: frozenset[str]

    def list_collections(self) -> set[str]:
        """Return the collections of rasters, without the catalogue."""
        return {name for name in self.tables["source_raster"]["collection"].to_pylist() if name != "catalogue"}


def is_cut(recipe: RecipeRecord) -> bool:
    """Return whether the recipe cuts chips, which form a collection of its name."""
    recipe_class = find_recipe_class(recipe.kind)
    return recipe_class is not None and recipe_class.makes_chips


def read_source_dataset(
    revision: Revision,
    root: Path,
    requested: str | int | None,
    ours: Revision,
    base: MergeBase | None,
    collection: str | None = None,
) -> SourceDataset:
    """Read the dataset in `root` at an opened revision; the history records which revision was `requested`.

    `base` is the last common revision of this dataset, opened as `ours`, and the source dataset. With a `collection`,
    only what belongs to it is read: its rasters, the features that they show, its labels, and the recipes that read it.
    """
    revision.connection.execute("SET VARIABLE source_collection = $name::VARCHAR", {"name": collection})
    up_to_date = find_up_to_date_labels(revision)
    stage_remembered_removals(revision)
    stage_renamings(revision)
    with register_table(revision.connection, "up_to_date_label", up_to_date.labels):
        run_script(revision.connection, _SOURCE_ROWS.read_text())
        tables = {view: revision.fetch_arrow(f"FROM {view}") for view in _VIEWS}
        base_content = _read_base(base, ours, revision, collection) if base else BaseContent()
    head = read_head(revision.connection)
    nearby = frozenset[str]() if collection is None else _list_nearby_labels(revision)
    return SourceDataset(
        root=root,
        classes=read_class_values(revision),
        recipes=_list_recipes(revision, collection),
        tables={**tables, "source_object_order": up_to_date.object_order},
        label_settings={name: value for name, value in up_to_date.settings.items() if name not in nearby},
        nearby_labels=nearby,
        splits=revision.fetch_value("SELECT count(DISTINCT split) FROM source_split"),
        columns=ObjectColumns(revision.list_user_columns("feature"), revision.list_user_columns("raster")),
        history=SourceHistory(
            revision=None if requested is None else str(requested),
            position=revision.position,
            digest=read_event(revision.connection, revision.position).digest,
            content_digest=revision.compute_content_digest(),
            events=revision.position,
            head=SourceHead(head.position, head.digest),
        ),
        base=base_content,
        dataset=read_event(revision.connection, 1).digest,
        context_classes=read_context_classes(revision.connection, revision.position).names,
    )


def _list_recipes(revision: Revision, collection: str | None) -> list[RecipeRecord]:
    """Return the recipes, or those that label or split a collection: others read what is not in it.

    Labels of files may have come to chips from their parents: their recipe becomes one of the collection.
    """
    records = list_recipe_records(revision)
    if collection is None:
        return records
    labels = {label for (label,) in revision.fetch_rows(_LABELS_OF_COLLECTION)}
    return [
        RecipeRecord(record.name, record.kind, {**record.parameters, "collection": collection})
        for record in records
        if record.parameters.get("collection") == collection or (record.kind == LABEL_FILES and record.name in labels)
    ]


def _list_nearby_labels(revision: Revision) -> frozenset[str]:
    """Return the labels whose width may draw lines and points that no raster shows."""
    if not revision.fetch_rows("SELECT 1 FROM current_feature WHERE ST_Dimension(geometry) < 2 LIMIT 1"):
        return frozenset()
    records = list_recipe_records(revision)
    return frozenset(record.name for record in records if record.parameters.get("width") is not None)


def _read_base(base: MergeBase, ours: Revision, theirs: Revision, collection: str | None) -> BaseContent:
    """Read the last common revision; the views of source_rows.sql must exist."""
    with _open_earlier(ours if base.is_ours else theirs, base.position) as revision:
        classes, recipes = (
            read_class_values(revision),
            {record.name: record for record in _list_recipes(revision, collection)},
        )
        if base.is_ours:
            return BaseContent(classes, recipes, base.position, labels=revision.fetch_arrow(_BASE_LABELS))
        tables = {view: revision.fetch_arrow(f"FROM {view}") for view in _VIEWS[:2]}
        return BaseContent(classes, recipes, tables=tables, labels=revision.fetch_arrow(_BASE_LABELS))


@contextmanager
def _open_earlier(revision: Revision, position: int) -> Iterator[Revision]:
    """Let the connection of a revision show an earlier one."""
    try:
        yield revision.show_position(position)
    finally:
        # Its views take the place of those of the earlier one.
        revision.show_position(revision.position).create_views()
