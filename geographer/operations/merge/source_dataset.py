"""Source dataset: what another dataset holds at a revision, read into memory."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa

from geographer.operations.merge.events import SourceHead, SourceHistory
from geographer.planning.class_values import read_class_values
from geographer.planning.recipe import RECIPE_CLASSES, list_recipe_records
from geographer.planning.up_to_date_labels import LabelSettings, find_up_to_date_labels
from geographer.planning.user_columns import ObjectColumns
from geographer.storage.database.connection import register_table, run_script
from geographer.storage.events.payload import RecipeRecord
from geographer.storage.log.read import read_event, read_head
from geographer.storage.queries.revision import Revision

_SOURCE_ROWS: Final = Path(__file__).with_name("source_rows.sql")
_VIEWS: Final = ("source_feature", "source_raster", "source_label", "source_object", "source_input")


@dataclass(frozen=True, slots=True)
class SourceDataset:
    """A dataset to import, at a revision.

    Attributes:
        root: Its folder.
        classes: Classes with values.
        recipes: The recipes as recorded.
        tables: The views of source_rows.sql, which renamed_rows.sql reads, and `source_object_order` as in
            `UpToDateLabels`.
        label_settings: `UpToDateLabels.settings`.
        splits: The number of splits.
        columns: User columns with types.
        history: The imported revision and the head of the log, for the event's payload.
    """

    root: Path
    classes: dict[str, int]
    recipes: list[RecipeRecord]
    tables: dict[str, pa.Table]
    label_settings: dict[str, LabelSettings]
    splits: int
    columns: ObjectColumns
    history: SourceHistory

    def list_collections(self) -> set[str]:
        """Return the collections of rasters, without the catalogue."""
        return {name for name in self.tables["source_raster"]["collection"].to_pylist() if name != "catalogue"}


def is_cut(recipe: RecipeRecord) -> bool:
    """Return whether the recipe cuts chips, which form a collection of its name."""
    return RECIPE_CLASSES[recipe.kind].makes_chips


def read_source_dataset(revision: Revision, root: Path, requested: str | int | None) -> SourceDataset:
    """Read the dataset in `root` at an opened revision; the history records which revision was `requested`."""
    up_to_date = find_up_to_date_labels(revision)
    with register_table(revision.connection, "up_to_date_label", up_to_date.labels):
        run_script(revision.connection, _SOURCE_ROWS.read_text())
        tables = {view: revision.fetch_arrow(f"FROM {view}") for view in _VIEWS}
    head = read_head(revision.connection)
    return SourceDataset(
        root=root,
        classes=read_class_values(revision),
        recipes=list_recipe_records(revision),
        tables={**tables, "source_object_order": up_to_date.object_order},
        label_settings=up_to_date.settings,
        splits=revision.fetch_value("SELECT count(DISTINCT split) FROM current_split"),
        columns=ObjectColumns(revision.list_user_columns("feature"), revision.list_user_columns("raster")),
        history=SourceHistory(
            revision=None if requested is None else str(requested),
            position=revision.position,
            digest=read_event(revision.connection, revision.position).digest,
            content_digest=revision.compute_content_digest(),
            events=revision.position,
            head=SourceHead(head.position, head.digest),
        ),
    )
