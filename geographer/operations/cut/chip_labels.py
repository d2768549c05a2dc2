"""Labels of chips: the windows of the labels that users added to the rasters which chips are cut from."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.executors.task_files import InputFile
from geographer.base.values import Checksums, Grid, Window
from geographer.operations.cut.windows.chips import Chip
from geographer.planning.label_files import AddedLabel, list_added_labels, list_unfit_labels, make_label_path
from geographer.storage.database.connection import run_script
from geographer.storage.events.row_tables import make_row_table
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, PlannedFile
from geographer.storage.workspace.paths import require_new_path
from geographer.storage.workspace.source_labels import SourceLabel, SourceLabels

if TYPE_CHECKING:
    import pyarrow as pa

_LABELS_OF_CHIPS: Final = Path(__file__).with_name("labels_of_chips.sql")
_COLUMNS: Final = ("change", "label", "raster_id", "path", "size", "md5", "sha256", "pixel_digest")
_BATCH_SIZE: Final = 500


class ChipLabel(NamedTuple):
    """A label to cut for a chip: `existing` is the path and SHA-256 of the label that the chip has, if it has one."""

    label: AddedLabel
    chip_id: str
    chip: Chip
    existing: tuple[str, str] | None


class LabelRows(NamedTuple):
    """Rows of `label_change`, and the files with their checksums."""

    rows: list[tuple[Any, ...]]
    files: list[tuple[Path, Checksums]]


class ChipLabels:
    """The labels that the chips of a recipe get from the rasters that they are cut from, and those that they lose."""

    def __init__(self, revision: Revision, root: Path, recipe: str) -> None:
        """Read the labels of the rasters in `raster_to_cut`, and those of the recipe's chips; renamings are staged."""
        self._recipe, self._root = recipe, root
        self._added = {name: label for name, label in list_added_labels(revision).items() if label.collection != recipe}
        self._parents: dict[str, dict[str, SourceLabel]] = {}
        self._existing: dict[tuple[str, str], tuple[str, str, str | None]] = {}
        self.to_cut: list[ChipLabel] = []
        self.removed: list[tuple[str, str]] = []
        if self._added:
            self._read_labels(revision)

    def _read_labels(self, revision: Revision) -> None:
        unfit = {*list_unfit_labels(revision, self._added)}
        parameters = {"name": self._recipe, "labels": sorted(self._added)}
        run_script(revision.connection, _LABELS_OF_CHIPS.read_text(), parameters)
        for label, raster_id, path, *checksums in revision.fetch_rows("FROM parent_label ORDER BY raster_id, label"):
            if (label, raster_id) not in unfit:
                source = SourceLabel(self._root / path, Checksums(*checksums))
                self._parents.setdefault(raster_id, {})[label] = source
        for label, raster_id, *values in revision.fetch_rows("FROM chip_label ORDER BY raster_id, label"):
            self._existing[label, raster_id] = tuple(values)

    def plan_labels(self, planned: Mapping[str, Chip], cut_ids: Collection[str]) -> None:
        """Choose the labels to cut: those of chips that are cut, and those that are missing or outdated.

        `planned` are all chips of the recipe, by id, and `cut_ids` those that are cut.
        """
        expected = set()
        for chip_id, chip in planned.items():
            for name, source in self._parents.get(chip.raster_id, {}).items():
                expected.add((name, chip_id))
                path, sha256, source_sha256 = self._existing.get((name, chip_id), (None, None, None))
                if chip_id in cut_ids or source_sha256 != source.checksums.sha256:
                    existing = None if path is None or sha256 is None else (path, sha256)
                    self.to_cut.append(ChipLabel(self._added[name], chip_id, chip, existing))
        self.removed = sorted(key for key in self._existing if key not in expected and key[1] in planned)
        for item in self.to_cut:
            if item.existing is None:
                require_new_path(self._make_path(item))

    def list_files(self) -> list[PlannedFile]:
        """Return the files to make, see `ReplayablePlan.list_files`."""
        return [PlannedFile(item.label.name, item.chip_id, is_new=item.existing is None) for item in self.to_cut]

    def select_files(self, raster_ids: Collection[str]) -> None:
        """Restrict the files to make to those of these chips."""
        self.to_cut = [item for item in self.to_cut if item.chip_id in raster_ids]

    def cut_windows(self, grids: Mapping[str, Grid], context: BuildContext) -> LabelRows:
        """Cut the labels into the staging folder; return the rows of those whose path or bytes changed, and removals.

        `grids` are those of the rasters that chips are cut from, by id. See `SourceLabels` and `cut_label_windows` for
        errors.
        """
        from geographer.rasters.labels import LabelWindow, cut_label_windows

        ordered = sorted(self.to_cut, key=lambda item: (item.label.name, item.chip.raster_id))
        keys = {(item.label.name, item.chip.raster_id) for item in ordered}
        sources = SourceLabels(self._root, {(name, id): self._parents[id][name] for name, id in sorted(keys)})
        sources.require_intact()
        windows = []
        for index, (label, chip_id, chip, _) in enumerate(ordered):
            grid = _make_window_grid(grids[chip.raster_id], chip.window)
            source, destination = self._parents[chip.raster_id][label.name], context.staging / f"label-{index}.tif"
            windows.append(
                LabelWindow(str(source.path), chip.window, grid, chip_id, str(destination), label.padding_value)
            )
        result = LabelRows([("removed", *key) for key in self.removed], [])
        batches = _make_batches(windows)
        md5s = {str(label.path): label.checksums.md5 for labels in self._parents.values() for label in labels.values()}
        made = context.make_executor(len(windows)).run(
            cut_label_windows,
            batches,
            inputs=lambda batch: [InputFile(path, md5s[path]) for path in {window.path: 0 for window in batch}],
            outputs=lambda batch: [window.destination for window in batch],
            result_type=tuple[Checksums, str],
        )
        for item, cut, (checksums, digest) in zip(ordered, windows, made, strict=True):
            label_path = self._make_path(item)
            if item.existing != (label_path, checksums.sha256):
                change = "changed" if item.existing else "added"
                result.rows.append((change, item.label.name, item.chip_id, label_path, *checksums, digest))
                result.files.append((Path(cut.destination), checksums))
            context.progress("labels cut", len(result.rows), len(windows))
        sources.require_unchanged()
        return result

    def _make_path(self, item: ChipLabel) -> str:
        return make_label_path(item.label.name, self._recipe, item.chip_id)


def _make_window_grid(grid: Grid, window: Window) -> Grid:
    return Grid(grid.crs, grid.transform.for_window(window), window.width, window.height)


def _make_batches(windows: Sequence[Any]) -> Iterator[list[Any]]:
    remaining = iter(windows)
    return iter(lambda: list(islice(remaining, _BATCH_SIZE)), [])


def add_label_rows(tables: "Mapping[str, pa.Table]", labels: LabelRows) -> "dict[str, pa.Table]":
    """Return rows by log table with those of labels."""
    import pyarrow as pa

    if not labels.rows:
        return dict(tables)
    width = len(_COLUMNS)
    columns = zip(*((*row, *[None] * (width - len(row))) for row in labels.rows), strict=True)
    rows = make_row_table("label_change", dict(zip(_COLUMNS, map(list, columns), strict=True)))
    retired = [tables["label_change"]] if "label_change" in tables else []
    return {**tables, "label_change": pa.concat_tables([*retired, rows])}
