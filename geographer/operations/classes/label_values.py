"""Values of added labels: a remap of classes rewrites the pixels of masks that users added, as no recipe draws them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from geographer.base.values import Checksums, Grid, Transform
from geographer.planning.label_files import AddedLabel, list_added_labels
from geographer.storage.events.plain_rows import make_arrow
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change
from geographer.storage.workspace.source_labels import SourceLabel, SourceLabels

_LABELS: Final = Path(__file__).with_name("added_labels.sql")
_COLUMNS: Final = ("change", "label", "raster_id", "path", "size", "md5", "sha256", "pixel_digest")


class RewrittenLabel(NamedTuple):
    """A label whose pixels may get other values: its recorded path, and the grid of its raster.

    Pixels with the value `ignore` stay as they are; None: the label has no such value.
    """

    label: str
    raster_id: str
    path: str
    checksums: Checksums
    grid: Grid
    ignore: int | None


@dataclass(frozen=True, slots=True)
class RemapChange(Change):
    """A remap of classes that gives the pixels of `labels` the new values in `values`, by old value."""

    labels: Sequence[RewrittenLabel] = ()
    values: Mapping[int, int] = field(default_factory=dict)

    def build_outputs(self, context: BuildContext, /) -> Change:
        """Write the labels whose pixels change into the staging folder.

        Raises:
            CorruptError: a label is missing or altered.
            StorageError: a file cannot be written.
        """
        files = ((item, SourceLabel(context.root / item.path, item.checksums)) for item in self.labels)
        sources = SourceLabels(context.root, {(item.label, item.raster_id): file for item, file in files})
        sources.require_intact()
        rows, written = [], []
        for row, destination, checksums in self._rewrite_labels(context):
            rows.append(row)
            written.append((destination, checksums))
        sources.require_unchanged()
        return replace(self, rows=_add_rows(self.rows, rows), files=written, move_files=True)

    def _rewrite_labels(self, context: BuildContext) -> Iterator[tuple[tuple[Any, ...], Path, Checksums]]:
        from geographer.rasters.labels import rewrite_label

        for index, item in enumerate(self.labels):
            destination = context.staging / f"{index}.tif"
            values = {old: new for old, new in self.values.items() if old != item.ignore}
            written = rewrite_label(context.root / item.path, values, item.grid, item.raster_id, destination)
            context.progress("labels rewritten", index + 1, len(self.labels))
            if written is not None:
                checksums, digest = written
                yield ("changed", item.label, item.raster_id, item.path, *checksums, digest), destination, checksums


def list_rewritten_labels(
    revision: Revision, values: Mapping[int, int], removed_ids: Collection[str]
) -> list[RewrittenLabel]:
    """Return the labels that users added, whose pixels change with the values of classes; chips follow by `update`.

    `values` are the new values by old value. The labels of the rasters `removed_ids` go with them.
    """
    if all(old == new for old, new in values.items()):
        return []
    added = list_added_labels(revision)
    names = {"labels": [*added], "collections": [label.collection for label in added.values()]}
    return [
        _read_label(row, added) for row in revision.fetch_rows(_LABELS.read_text(), names) if row[1] not in removed_ids
    ]


def _read_label(row: Sequence[Any], added: Mapping[str, AddedLabel]) -> RewrittenLabel:
    label, raster_id, path, *checksums, crs, transform, width, height = row
    grid = Grid(crs, Transform(*transform), width, height)
    return RewrittenLabel(label, raster_id, path, Checksums(*checksums), grid, added[label].ignore)


def _add_rows(tables: Mapping[str, Any], rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    """Return the rows by log table with those of rewritten labels."""
    import pyarrow as pa

    if not rows:
        return dict(tables)
    changed = make_row_table("label_change", dict(zip(_COLUMNS, map(list, zip(*rows, strict=True)), strict=True)))
    parts = [make_arrow(tables["label_change"]), changed] if "label_change" in tables else [changed]
    return {**tables, "label_change": pa.concat_tables(parts)}
