"""What a format is given to write: samples with their files, classes and objects, page by page, and the folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, cast

from geographer.base.errors import UsageError, quote_names
from geographer.base.executors.executor import Executor, Workers
from geographer.base.values import Checksums, Grid, Transform
from geographer.outputs.exports.folder import ExportFolder
from geographer.outputs.exports.objects import ExportedObject, ObjectOptions, ObjectReader
from geographer.outputs.exports.picture_queue import PictureQueue
from geographer.outputs.samples.selection import SampleSelection
from geographer.outputs.samples.training_rows import list_training_labels
from geographer.storage.database.connection import run_script
from geographer.storage.dvc.dataset_executor import make_dataset_executor
from geographer.storage.queries.revision import Revision
from geographer.storage.state.update import MACROS
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chip_files import ChipFile, ChipFiles

if TYPE_CHECKING:
    from geographer.outputs.statistics.results import DatasetStatistics

LabelKind = Literal["mask", "instances", "multilabel", "boxes", "probabilities", "custom"]
_FOLDER: Final = Path(__file__).parent
_PAGE: Final = 500
"""How many samples are in memory at once."""
_PAGE_OBJECTS: Final = 10_000
"""How many objects are, unless a sample has more."""
_ON_PAGE: Final = "number IN (SELECT unnest($numbers::BIGINT[]))"
_SAMPLES: Final = f"""
    SELECT number, raster_id, stem, collection, part, parent_id, feature_id, class, classes, main_class, crs,
           transform, width, height, bands, dtype, nodata, acquired
    FROM export_sample WHERE {_ON_PAGE} ORDER BY number
"""  # noqa: S608
_NUMBERS: Final = "SELECT number FROM export_sample WHERE $part IS NULL OR part = $part ORDER BY number"
_STEMS: Final = "SELECT stem FROM export_sample WHERE $part IS NULL OR part = $part ORDER BY number"
_CLASSES: Final = "SELECT class, value FROM classes WHERE value > 0 ORDER BY value"
_PARTS: Final = "SELECT DISTINCT part FROM export_sample WHERE part IS NOT NULL ORDER BY part"
_PLAIN_NAMES: Final = """
    UPDATE export_sample SET stem = 'sample-' || number
    WHERE NOT regexp_full_match(stem, '[A-Za-z0-9_][A-Za-z0-9_.~-]*')
"""
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
    def file_suffix(self) -> str:
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
        main_class: `class_name`, or else the only one of `classes`; None if there are several, or none.
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
    main_class: str | None
    grid: Grid
    bands: int
    dtype: str
    nodata: float | None
    acquired: Any
    image: ChipFile
    labels: Mapping[str, ChipFile]

    @property
    def folder_name(self) -> str:
        """The folder of the subset in formats that have one: the part, or `all`."""
        return self.part or "all"


class Export:
    """The samples of a revision, and the folder to write them to.

    Attributes:
        folder: The folder.
        pictures: The pictures that are written to it at the end.
        selection: The selection with the defaults that were chosen.
        revision: The revision, for queries of one format; the table `export_sample` has the samples.
        progress: Called with a phase, and the numbers done and in all.
        count: The number of samples.
        parts: The subsets of the samples, sorted; empty without a split.
        folders: The folders of subsets in formats that have one: the parts, or `all`.
    """

    def __init__(
        self,
        work: UnitOfWork,
        revision: Revision,
        selection: SampleSelection,
        folder: ExportFolder,
        workers: Workers = 1,
    ) -> None:
        """Number the staged samples, see `stage_samples`; `workers` encode pictures and count pixels."""
        self.folder = folder
        self._workers = workers
        make_executor = partial(_make_executor, workers, work.root)
        self.pictures = PictureQueue(folder, make_executor, work.progress)
        self.selection = selection
        self._work = work
        self.revision = revision
        self.progress = work.progress
        run_script(revision.connection, MACROS.read_text())
        run_script(revision.connection, (_FOLDER / "export_samples.sql").read_text())
        self.count = int(revision.fetch_value("SELECT count(*) FROM export_sample"))
        self.parts = [part for (part,) in revision.fetch_rows(_PARTS)]
        self.folders = self.parts or ["all"]

    @cached_property
    def classes(self) -> list[LabelClass]:
        """The classes by value, without the background."""
        rows = self.revision.fetch_rows(_CLASSES)
        return [LabelClass(name, value, position) for position, (name, value) in enumerate(rows)]

    @cached_property
    def labels(self) -> list[LabelInfo]:
        """The labels to export."""
        labels = list_training_labels(self.revision, self.selection.labels or ())
        return [LabelInfo(label.name, cast(LabelKind, label.kind or "custom"), label.ignore) for label in labels]

    def list_labels(self, *kinds: LabelKind) -> list[LabelInfo]:
        """Return the labels of these kinds."""
        return [label for label in self.labels if label.kind in kinds]

    def require_label_files(self, labels: Iterable[LabelInfo], reason: str) -> None:
        """Raise `UsageError` if a sample lacks one of these labels, for formats that cannot leave it out."""
        for label in labels:
            missing = [name for (name,) in self.revision.fetch_rows(_UNLABELLED, {"label": label.name})]
            if missing:
                raise UsageError(
                    f"{len(missing):,} of {self.count:,} samples have no label '{label.name}': "
                    f"{quote_names(missing, 3)}. {reason} Make the labels with geographer label, choose others with "
                    "--labels, or another --subset or --collection."
                )

    def compute_statistics(self) -> DatasetStatistics:
        """Return the statistics of the images, for each subset; of pixels that were counted before, without reading.

        Raises:
            UsageError: images differ in their number of bands, or have complex pixels.
        """
        from geographer.outputs.statistics.compute import StatisticsOptions, compute_statistics

        images = self.selection._replace(labels=())
        return compute_statistics(self._work, self.revision, images, StatisticsOptions(workers=self._workers))

    def use_plain_names(self) -> None:
        """Name the files of a sample `sample-NUMBER` if its name needs escapes in a link, before they are written."""
        self.revision.connection.execute(_PLAIN_NAMES)

    def list_numbers(self, folder: str | None = None) -> list[int]:
        """Return the numbers of the samples in order, of one subset (or `all`) if given."""
        part = folder if folder in self.parts else None
        return [number for (number,) in self.revision.fetch_rows(_NUMBERS, {"part": part})]

    def list_stems(self, folder: str) -> list[str]:
        """Return the names of the files of a subset (or `all`), without suffix, in order of id."""
        part = folder if folder in self.parts else None
        return [stem for (stem,) in self.revision.fetch_rows(_STEMS, {"part": part})]

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
        reader = ObjectReader(self.revision, options)
        for page in self._iter_pages(folder, numbers, reader.count_objects()):
            yield from zip(page, reader.read_page(page), strict=True)

    def _iter_pages(
        self, folder: str | None, numbers: Sequence[int] | None, objects: Mapping[int, int] = MappingProxyType({})
    ) -> Iterator[list[ExportedSample]]:
        """Yield the samples in pages; `objects` has the number of objects by that of the sample."""
        chosen = self.list_numbers(folder) if numbers is None else numbers
        done = 0
        for page in _cut_pages(chosen, objects):
            samples = {sample.number: sample for sample in self._read_page(page)}
            yield [samples[number] for number in page]
            done += len(page)
            if numbers is None:
                self.progress("samples exported", done, len(chosen))

    def _read_page(self, numbers: list[int]) -> list[ExportedSample]:
        rows = self.revision.fetch_rows(_SAMPLES, {"numbers": numbers})
        images = ChipFiles.list_rasters(self.revision, self._work.root, [row[1] for row in rows])
        image_files = images.require_files(self._work.file_store)
        label_files: dict[int, dict[str, ChipFile]] = {}
        for label in self.selection.labels or ():
            stored = {
                number: (path, Checksums(*sums))
                for number, path, *sums in self.revision.fetch_rows(_LABELS, {"numbers": numbers, "label": label})
            }
            files = ChipFiles.list_stored(f"label '{label}' of sample", stored).require_files(self._work.file_store)
            for number, file in files.items():
                label_files.setdefault(int(number), {})[label] = file
        return [_make_sample(row, image_files[row[1]], label_files.get(row[0], {})) for row in rows]


def _make_executor(workers: Workers, root: Path, count: int) -> Executor:
    return make_dataset_executor(workers, root, count=count)


def _cut_pages(numbers: Sequence[int], objects: Mapping[int, int]) -> Iterator[list[int]]:
    """Yield the numbers of samples in pages that fit in memory, each with one sample at least."""
    page: list[int] = []
    count = 0
    for number in numbers:
        own = objects.get(number, 0)
        if page and (len(page) == _PAGE or count + own > _PAGE_OBJECTS):
            yield page
            page, count = [], 0
        page.append(number)
        count += own
    if page:
        yield page


def _make_sample(row: Sequence[Any], image: ChipFile, labels: Mapping[str, ChipFile]) -> ExportedSample:
    number, raster_id, stem, collection, part, parent_id, feature_id, class_name, classes, *rest = row
    main_class, crs, transform, width, height, bands, dtype, nodata, acquired = rest
    grid = Grid(crs, Transform(*transform), width, height)
    ids = (number, raster_id, stem, collection, part, parent_id, feature_id, class_name, classes, main_class)
    return ExportedSample(*ids, grid, bands, dtype, nodata, acquired, image, labels)
