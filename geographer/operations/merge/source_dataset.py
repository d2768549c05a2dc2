"""Source dataset: what another dataset holds at a revision, read into memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from geographer.storage.database.connection import quote_identifier
from geographer.storage.log.read import read_event, read_head
from geographer.storage.log.row_tables import ROW_TABLES

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.planning.up_to_date_labels import UpToDateLabels
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent
_LABELS: Final = _FOLDER / "source_labels.sql"
_OBJECTS: Final = _FOLDER / "source_objects.sql"
_INPUTS: Final = _FOLDER / "source_inputs.sql"


class RecipeRecord(NamedTuple):
    """A recipe as the log records it; `parameters` is canonical JSON."""

    name: str
    kind: str
    parameters: str

    @property
    def is_cut(self) -> bool:
        """Whether the recipe cuts chips, which form a collection of its name."""
        return self.kind.startswith("cut")


@dataclass(frozen=True, slots=True)
class SourceDataset:
    """A dataset to import, at a revision.

    Attributes:
        classes: Classes with values.
        tables: The tables that renamed_rows.sql reads: `source_feature` and `source_raster` as in the log, with
            `order_index`, the order of addition; `source_label`, `source_object` and `source_input` as in the SQL files
            of these names; `source_object_order` as in `UpToDateLabels`.
        label_settings: `UpToDateLabels.settings`.
        columns: User columns with types, for 'feature' and 'raster'.
        history: The imported revision and the head of the log, for the event's payload.
    """

    root: Path
    classes: dict[str, int]
    recipes: list[RecipeRecord]
    tables: dict[str, pa.Table]
    label_settings: dict[str, dict[str, Any]]
    splits: int
    columns: dict[str, dict[str, str]]
    history: dict[str, Any]

    def list_collections(self) -> set[str]:
        """Return the collections of rasters, without the catalogue."""
        return {name for name in self.tables["source_raster"]["collection"].to_pylist() if name != "catalogue"}


def read_source_dataset(
    revision: Revision, root: Path, requested: str | int | None, up_to_date: UpToDateLabels
) -> SourceDataset:
    """Read the dataset in `root` at an opened revision; the history records which revision was `requested`."""
    event = read_event(revision.connection, revision.position)
    head = read_head(revision.connection)
    history = {
        "revision": None if requested is None else str(requested),
        "position": revision.position,
        "digest": event.digest,
        "content_digest": revision.compute_content_digest(),
        "events": revision.position,
        "head": {"position": head.position, "digest": head.digest},
    }
    return SourceDataset(
        root=root,
        classes=dict(revision.fetch_rows("SELECT class, value FROM classes ORDER BY value, class")),
        recipes=[RecipeRecord(*row) for row in revision.fetch_rows("SELECT name, kind, parameters FROM recipes")],
        tables={
            "source_feature": _read_log_rows(revision, "feature"),
            "source_raster": _read_log_rows(revision, "raster"),
            "source_label": _read_labels(revision, up_to_date),
            "source_object": revision.fetch_arrow(_OBJECTS.read_text()),
            "source_object_order": up_to_date.object_order,
            "source_input": revision.fetch_arrow(_INPUTS.read_text()),
        },
        label_settings=up_to_date.settings,
        splits=revision.fetch_value("SELECT count(DISTINCT split) FROM current_split"),
        columns={subject: _list_user_columns(revision, subject) for subject in ("feature", "raster")},
        history=history,
    )


def _read_log_rows(revision: Revision, subject: Literal["feature", "raster"]) -> pa.Table:
    """Return the log rows of the features or rasters that exist at the revision, in the order of their addition."""
    columns = ", ".join(f"change.{quote_identifier(name)}" for name in ROW_TABLES[f"{subject}_change"])
    return revision.fetch_arrow(
        f"SELECT {columns}, row_number() OVER (ORDER BY added, change.{subject}_id) AS order_index "  # noqa: S608
        f"FROM log.{subject}_change AS change JOIN (SELECT {subject}_key FROM current_{subject}) "
        f"ON position = {subject}_key >> 32 AND ordinal = {subject}_key & 4294967295 "
        f"JOIN {subject}_order USING ({subject}_id) ORDER BY order_index"
    )


def _read_labels(revision: Revision, up_to_date: UpToDateLabels) -> pa.Table:
    revision.connection.register("up_to_date_label", up_to_date.labels)
    try:
        return revision.fetch_arrow(_LABELS.read_text())
    finally:
        revision.connection.unregister("up_to_date_label")


def _list_user_columns(revision: Revision, subject: str) -> dict[str, str]:
    """Return the user columns with a type that holds the values of all events."""
    rows = revision.fetch_rows(
        "SELECT name, list(DISTINCT type) FROM state.user_column WHERE subject = $subject AND position <= $position "
        "GROUP BY name ORDER BY min((position, ordinal))",
        {"subject": subject, "position": revision.position},
    )
    numbers = {"BIGINT", "DOUBLE"}
    return {
        name: types[0] if len(types) == 1 else "DOUBLE" if set(types) == numbers else "VARCHAR" for name, types in rows
    }
