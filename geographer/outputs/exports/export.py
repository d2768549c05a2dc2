"""What a format is given to write: samples with their files, classes and objects, page by page, and the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from geographer.base.errors import UsageError, quote_names
from geographer.base.progress import ProgressCallback
from geographer.base.values import Checksums, Grid, Transform
from geographer.outputs.exports.folder import ExportFolder
from geographer.outputs.samples.selection import SampleSelection
from geographer.outputs.samples.training_rows import list_training_labels
from geographer.storage.database.connection import run_script
from geographer.storage.queries.revision import Revision
from geographer.storage.state.update import MACROS
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chip_files import ChipFile, ChipFiles

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from geographer.algorithms.bounding_boxes import ObjectBoxes
    from geographer.base.values import LineWidth

LabelKind = Literal["mask", "instances", "multilabel", "boxes", "probabilities", "custom"]
_FOLDER: Final = Path(__file__).parent
_PAGE: Final = 500
"""How many samples are in memory at once."""
_ON_PAGE: Final = "number IN (SELECT unnest($numbers::BIGINT[]))"
_SAMPLES: Final = f"""
    SELECT number, raster_id, stem, collection, part, parent_id, feature_id, class, classes, crs, transform,
           width, height, bands, dtype, nodata, acquired
    FROM export_sample WHERE {_ON_PAGE} ORDER BY number
"""  # noqa: S608
_NUMBERS: Final = "SELECT number FROM export_sample WHERE $part IS NULL OR part = $part ORDER BY number"
_CLASSES: Final = "SELECT class, value FROM classes WHERE value > 0 ORDER BY value"
_PARTS: Final = "SELECT DISTINCT part FROM export_sample WHERE part IS NOT NULL ORDER BY part"
_LABELS: Final = f"""
    SELECT number, label.path, label.size, label.md5, label.sha256
    FROM current_label AS label JOIN export_sample USING (raster_id) WHERE label = $label AND {_ON_PAGE}
"""  # noqa: S608
_UNLABELLED: Final = """
    SELECT raster_id FROM export_sample
    ANTI JOIN (SELECT raster_id FROM current_label WHERE label = $label) USING (raster_id) ORDER BY number
"""


class LabelClass(NamedTuple):
    """A class that labels have: its name, its value in masks (from 1), and its position from 0 in order of values."""

    name: str
    value: int
    position: int


class LabelInfo(NamedTuple):
    """A label of the samples: its name, its kind, and the value of pixels that training ignores, if it has one."""

    name: str
    kind: LabelKind
    ignore: int | None

    @property
    def suffix(self) -> str:
        """The suffix of its files: boxes are JSON, all others GeoTIFF."""
        return ".json" if self.kind == "boxes" else ".tif"


class ExportedSample(NamedTuple):
    """A raster to export.

    Attributes:
        number: Its number in the order of ids, from 1.
        raster_id: Its id.
        stem: The name of its files, without suffix, which no other sample has.
        part: The subset; None without a split.
        class_name: The class of the feature that the chip was cut for.
        classes: The classes of the features that it shows.
        nodata: The nodata value of its bands.
        image: The image file, with the recorded bytes.
        labels: The label files by name; a label that the raster lacks is missing.
    """

    number: int
    raster_id: str
    stem: str
    collection: str
    part: str | None
    parent_id: str | None
    feature_id: str | None
    class_name: str | None
    classes: Sequence[str]
    grid: Grid
    bands: int
    dtype: str
    nodata: float | None
    acquired: Any
    image: ChipFile
    labels: Mapping[str, ChipFile]

    @property
    def folder(self) -> str:
        """The folder of the subset in formats that have one: the part, or `all`."""
        return self.part or "all"


class ExportedObject(NamedTuple):
    """A feature on a sample.

    Attributes:
        feature_id: Its id.
        class_name, value: Its class, and the value of the class.
        geometry: The area in pixel coordinates (x = column, y = row, 0 at the outer corner of the first pixel), not
            clipped; lines and points have the width that was asked for.
        boxes: Its boxes on the raster, and the visible fraction of its area.
        is_crowd: Whether it stands for many objects that are not told apart.
    """

    feature_id: str
    class_name: str
    value: int
    geometry: BaseGeometry
    boxes: ObjectBoxes
    is_crowd: bool

    def clip_geometry(self, grid: Grid) -> list[BaseGeometry]:
        """Return the polygons of the part that lies on the raster, in pixel coordinates."""
        import shapely

        valid = self.geometry if self.geometry.is_valid else shapely.make_valid(self.geometry)
        parts = shapely.get_parts(shapely.intersection(valid, shapely.box(0, 0, grid.width, grid.height)))
        return [part for part in parts if part.geom_type == "Polygon" and part.area > 0]


class ObjectOptions(NamedTuple):
    """Which objects to list: the width of lines and points, and the smallest fraction of the area on the raster."""

    width: LineWidth
    min_visible: float = 0.0
    crowd_where: str | None = None


class Export:
    """The samples of a revision, and the folder to write them to.

    Attributes:
        folder: The folder.
        selection: The selection with the defaults that were chosen.
        count: The number of samples.
    """

    def __init__(self, work: UnitOfWork, revision: Revision, selection: SampleSelection, folder: ExportFolder) -> None:
        """Number the staged samples; see `stage_samples`."""
        self.folder = folder
        self.selection = selection
        self._work = work
        self._revision = revision
        run_script(revision.connection, MACROS.read_text())
        run_script(revision.connection, (_FOLDER / "export_samples.sql").read_text())
        self.count = int(revision.fetch_value("SELECT count(*) FROM export_sample"))

    @property
    def revision(self) -> Revision:
        """The revision, for queries of one format; the table `export_sample` has the samples."""
        return self._revision

    @property
    def progress(self) -> ProgressCallback:
        """Called with a phase, and the numbers done and in all."""
        return self._work.progress

    @cached_property
    def classes(self) -> list[LabelClass]:
        """The classes by value, without the background."""
        rows = self._revision.fetch_rows(_CLASSES)
        return [LabelClass(name, value, position) for position, (name, value) in enumerate(rows)]

    @cached_property
    def parts(self) -> list[str]:
        """The subsets of the samples, sorted; empty without a split."""
        return [part for (part,) in self._revision.fetch_rows(_PARTS)]

    @cached_property
    def folders(self) -> list[str]:
        """The folders of subsets in formats that have one: the parts, or `all`."""
        return self.parts or ["all"]

    @cached_property
    def labels(self) -> list[LabelInfo]:
        """The labels to export."""
        labels = list_training_labels(self._revision, self.selection.labels or ())
        return [LabelInfo(label.name, cast(LabelKind, label.kind or "custom"), label.ignore) for label in labels]

    def list_labels(self, *kinds: LabelKind) -> list[LabelInfo]:
        """Return the labels of these kinds."""
        return [label for label in self.labels if label.kind in kinds]

    def require_label_files(self, labels: Iterable[LabelInfo], reason: str) -> None:
        """Raise `UsageError` if a sample lacks one of these labels, for formats that cannot leave it out."""
        for label in labels:
            missing = [name for (name,) in self._revision.fetch_rows(_UNLABELLED, {"label": label.name})]
            if missing:
                raise UsageError(
                    f"{len(missing):,} of {self.count:,} samples have no label '{label.name}': "
                    f"{quote_names(missing, 3)}. {reason} Make the labels with geographer label, choose others with "
                    "--labels, or another --subset or --collection."
                )

    def list_numbers(self, folder: str | None = None) -> list[int]:
        """Return the numbers of the samples in order, of one subset (or `all`) if given."""
        part = folder if folder in self.parts else None
        return [number for (number,) in self._revision.fetch_rows(_NUMBERS, {"part": part})]

    def iter_samples(
        self, folder: str | None = None, *, numbers: Sequence[int] | None = None
    ) -> Iterator[ExportedSample]:
        """Yield the samples in order of id, of one subset (or `all`) if given; a page of them is in memory at once.

        With `numbers`, yield these samples in this order, and do not report progress.

        Raises:
            CorruptError: a file has other bytes than those recorded.
            StorageError: the remote that has a file cannot be reached.
        """
        for page in self._iter_pages(folder, numbers):
            yield from page

    def iter_objects(
        self, options: ObjectOptions, folder: str | None = None, *, numbers: Sequence[int] | None = None
    ) -> Iterator[tuple[ExportedSample, list[ExportedObject]]]:
        """Yield the samples with the features that each contains or intersects, in the order of addition.

        `folder` and `numbers` choose samples as for `iter_samples`.

        Background features are left out, and those of which nothing, or less than `min_visible`, is on the raster.
        """
        self._stage_crowd_features(options.crowd_where)
        query = (_FOLDER / "objects_on_samples.sql").read_text()
        for page in self._iter_pages(folder, numbers):
            rows: dict[int, list[tuple[Any, ...]]] = {}
            chosen = {"numbers": [sample.number for sample in page]}
            for number, *row in self._revision.fetch_rows(query, chosen):
                rows.setdefault(number, []).append(tuple(row))
            for sample in page:
                yield sample, _make_objects(sample.grid, rows.get(sample.number, []), options)

    def _iter_pages(self, folder: str | None, numbers: Sequence[int] | None) -> Iterator[list[ExportedSample]]:
        chosen = self.list_numbers(folder) if numbers is None else numbers
        for start in range(0, len(chosen), _PAGE):
            page = [*chosen[start : start + _PAGE]]
            samples = {sample.number: sample for sample in self._read_page(page)}
            yield [samples[number] for number in page]
            if numbers is None:
                self.progress("samples exported", start + len(page), len(chosen))

    def _read_page(self, numbers: list[int]) -> list[ExportedSample]:
        rows = self._revision.fetch_rows(_SAMPLES, {"numbers": numbers})
        images = ChipFiles.list_rasters(self._revision, self._work.root, [row[1] for row in rows])
        image_files = images.require_files(self._work.file_store)
        label_files: dict[int, dict[str, ChipFile]] = {}
        for label in self.selection.labels or ():
            stored = {
                number: (path, Checksums(*sums))
                for number, path, *sums in self._revision.fetch_rows(_LABELS, {"numbers": numbers, "label": label})
            }
            files = ChipFiles.list_stored(f"label '{label}' of sample", stored).require_files(self._work.file_store)
            for number, file in files.items():
                label_files.setdefault(int(number), {})[label] = file
        return [_make_sample(row, image_files[row[1]], label_files.get(row[0], {})) for row in rows]

    def _stage_crowd_features(self, where: str | None) -> None:
        from geographer.storage.database.sql_sandbox import translate_sql_errors

        with translate_sql_errors(where, "--crowd-where"):
            condition = "false" if where is None else self._revision.validate_filter("features", where, "--crowd-where")
            self._revision.connection.execute(
                "CREATE OR REPLACE TEMP TABLE crowd_feature AS "  # noqa: S608
                f"SELECT feature_id::VARCHAR AS feature_id FROM features WHERE {condition}"
            )


def _make_sample(row: Sequence[Any], image: ChipFile, labels: Mapping[str, ChipFile]) -> ExportedSample:
    number, raster_id, stem, collection, part, parent_id, feature_id, class_name, classes, crs, transform, *rest = row
    width, height, bands, dtype, nodata, acquired = rest
    grid = Grid(crs, Transform(*transform), width, height)
    ids = (number, raster_id, stem, collection, part, parent_id, feature_id, class_name, classes)
    return ExportedSample(*ids, grid, bands, dtype, nodata, acquired, image, labels)


def _make_objects(grid: Grid, rows: Sequence[tuple[Any, ...]], options: ObjectOptions) -> list[ExportedObject]:
    from geographer.algorithms.bounding_boxes import compute_boxes
    from geographer.rasters.pixel_geometries import buffer_lines_and_points, transform_to_pixels

    if not rows:
        return []
    geometries = buffer_lines_and_points(
        transform_to_pixels([bytes(row[3]) for row in rows], grid), options.width, grid
    )
    objects = []
    for (feature_id, class_name, value, _, is_crowd), geometry in zip(rows, geometries, strict=True):
        boxes = None if geometry.is_empty else compute_boxes(geometry, grid.width, grid.height)
        if boxes is not None and boxes.visible >= options.min_visible:
            objects.append(ExportedObject(feature_id, class_name, value, geometry, boxes, is_crowd))
    return objects
