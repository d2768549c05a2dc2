"""Compute statistics: choose the files, take what the cache has, read the others once, and summarize the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from geographer.base.errors import UsageError
from geographer.base.executors.executor import Workers, check_workers
from geographer.base.executors.task_files import InputFile
from geographer.outputs.samples.selection import SampleSelection, stage_samples
from geographer.outputs.samples.training_rows import TrainingLabel, list_training_labels
from geographer.outputs.statistics.cache import StatisticsCache, make_key
from geographer.outputs.statistics.class_features import count_class_features
from geographer.outputs.statistics.results import ClassObjects, DatasetStatistics, SampleStatistics
from geographer.outputs.statistics.summaries import sum_classes, sum_images, summarize_bands, summarize_label
from geographer.storage.dvc.dataset_executor import make_dataset_executor
from geographer.storage.queries.revision import Revision
from geographer.storage.unit_of_work import UnitOfWork
from geographer.storage.workspace.chip_files import ChipFile, ChipFiles

if TYPE_CHECKING:
    from geographer.rasters.pixel_counts import ClassCounts, ImageCounts, RasterPath

PERCENTILES: Final = (1.0, 2.0, 5.0, 25.0, 50.0, 75.0, 95.0, 98.0, 99.0)
BINS: Final = 64
_MAX_BINS: Final = 65_536
_BATCH: Final = 64
_FOLDER: Final = Path(__file__).parent
_ADVICE: Final = "Choose other samples with --subset or --collection."
_COUNTED_KINDS: Final = ("mask", "multilabel", "custom")
_LABELS: Final = (
    "SELECT raster_id, sha256 FROM current_label SEMI JOIN sample USING (raster_id) WHERE label = $label "
    "ORDER BY raster_id"
)
_CLASSES: Final = "SELECT class, value FROM classes ORDER BY value"
_DIGEST: Final = "SELECT digest FROM chain_event WHERE position = $position"


class StatisticsOptions(NamedTuple):
    """The percentiles, from 0 to 100, the number of bins of histograms, and who reads files."""

    percentiles: Sequence[float] = PERCENTILES
    bins: int = BINS
    workers: Workers = 1


class _FileSet(NamedTuple):
    """The images (`label` is None) of a subset, or the files of one label of them, in the order of raster ids."""

    part: str | None
    label: TrainingLabel | None
    raster_ids: Sequence[str]
    key: str


class _Batch(NamedTuple):
    """Files to read in one go, of the file set with this number."""

    number: int
    label: TrainingLabel | None
    files: Sequence[RasterPath]


class _Sample(NamedTuple):
    """A sample: its id, subset, number of bands, dtype, and what identifies its pixels."""

    raster_id: str
    part: str | None
    bands: int
    dtype: str
    content: str


def make_options(percentiles: Any, bins: Any, workers: Any) -> StatisticsOptions:
    """Return the options of a caller; `UsageError` for values that are none."""
    wanted = PERCENTILES if percentiles is None else percentiles
    values = [wanted] if isinstance(wanted, int | float) else wanted
    if not isinstance(values, Iterable) or isinstance(values, str):
        raise UsageError(f"invalid percentiles {values!r}. Use numbers from 0 to 100.")
    numbers = sorted({_read_percentile(value) for value in values})
    if not isinstance(bins, int) or not 1 <= bins <= _MAX_BINS:
        raise UsageError(f"invalid number of bins {bins!r}. Use a whole number from 1 to {_MAX_BINS:,}.")
    return StatisticsOptions(tuple(numbers), bins, check_workers(workers))


def _read_percentile(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if not 0 <= number <= 100:
        raise UsageError(f"invalid percentile {value!r}. Use a number from 0 to 100.")
    return number


def compute_statistics(
    work: UnitOfWork, revision: Revision, selection: SampleSelection, options: StatisticsOptions
) -> DatasetStatistics:
    """Compute the statistics of the samples of a revision; files whose pixels were counted before are not read.

    Raises:
        NotFoundError, UsageError: see `stage_samples`; there is no sample, images differ in their number of bands or
            have complex pixels, or the file of a raster was withdrawn.
        CorruptError: a file has other bytes than those recorded.
        StorageError: the remote that has a file cannot be reached.
    """
    chosen = stage_samples(revision, selection)
    plan = _StatisticsPlan(revision, chosen)
    counts = plan.count_pixels(work, options.workers)
    return plan.summarize_samples(counts, options)


class _StatisticsPlan:
    """What the state says about the samples, and the sets of files whose pixels are counted."""

    def __init__(self, revision: Revision, selection: SampleSelection) -> None:
        self._revision = revision
        self._selection = selection
        rows = revision.fetch_rows((_FOLDER / "image_contents.sql").read_text())
        self._samples = [_Sample(*row) for row in rows]
        _require_equal_bands(self._samples)
        self._labels = list_training_labels(revision, selection.labels or ())
        self._file_sets = [*self._list_image_sets(), *self._list_label_sets()]

    @cached_property
    def _subset_names(self) -> list[str | None]:
        return sorted({sample.part for sample in self._samples}, key=str)

    def _list_image_sets(self) -> Iterator[_FileSet]:
        for part in self._subset_names:
            samples = [sample for sample in self._samples if sample.part == part]
            key = make_key(["images"], [sample.content for sample in samples])
            yield _FileSet(part, None, [sample.raster_id for sample in samples], key)

    def _list_label_sets(self) -> Iterator[_FileSet]:
        part_of = {sample.raster_id: sample.part for sample in self._samples}
        for label in self._labels:
            if (label.kind or "custom") not in _COUNTED_KINDS:
                continue
            rows = self._revision.fetch_rows(_LABELS, {"label": label.name})
            for part in self._subset_names:
                files = [(raster_id, sha256) for raster_id, sha256 in rows if part_of[raster_id] == part]
                key = make_key([label.kind, label.ignore], [sha256 for _, sha256 in files])
                yield _FileSet(part, label, [raster_id for raster_id, _ in files], key)

    def count_pixels(self, work: UnitOfWork, workers: Workers) -> list[ImageCounts | ClassCounts]:
        """Return the counts of each file set: of the cache, or read now, and then kept."""
        from geographer.rasters.pixel_counts import ClassCounts, ImageCounts

        cache = StatisticsCache(work.folder)
        counts: list[Any] = []
        missing = []
        for index, item in enumerate(self._file_sets):
            counts_class: type[Any] = ClassCounts if item.label else ImageCounts
            found = cache.load_counts(item.key, counts_class.from_record)
            counts.append(found or counts_class())
            if found is None:
                missing.append(index)
        batches = self._list_batches(work, missing)
        total, done = sum(len(batch.files) for batch in batches), 0
        executor = make_dataset_executor(workers, work.root, count=total)
        for batch, added in zip(batches, executor.run(count_batch, batches, inputs=_list_inputs), strict=True):
            counts[batch.number].merge_counts(added)
            done += len(batch.files)
            work.progress("files read", done, total)
        for index in missing:
            cache.save_counts(self._file_sets[index].key, counts[index].to_record())
        return counts

    def _list_batches(self, work: UnitOfWork, indices: Sequence[int]) -> list[_Batch]:
        """Look up the files of file sets, check them, and divide them into batches."""
        batches = []
        for label, group in groupby(indices, lambda index: self._file_sets[index].label):
            numbers = [*group]
            raster_ids = [raster_id for index in numbers for raster_id in self._file_sets[index].raster_ids]
            files = self._require_files(work, label, raster_ids)
            for index in numbers:
                paths = [_make_path(files[raster_id]) for raster_id in self._file_sets[index].raster_ids]
                batches += [
                    _Batch(index, label, paths[start : start + _BATCH]) for start in range(0, len(paths), _BATCH)
                ]
        return batches

    def _require_files(
        self, work: UnitOfWork, label: TrainingLabel | None, raster_ids: Sequence[str]
    ) -> dict[str, ChipFile]:
        if label is None:
            files = ChipFiles.list_rasters(self._revision, work.root, raster_ids, advice=_ADVICE)
        else:
            files = ChipFiles.list_labels(self._revision, label.name, raster_ids)
        return files.require_files(work.file_store)

    def summarize_samples(self, counts: Sequence[Any], options: StatisticsOptions) -> DatasetStatistics:
        """Return the statistics of each subset and of all samples."""
        objects = self._read_objects()
        has_parts = self._subset_names != [None]
        subsets = {
            str(part): self._summarize_part([part], counts, objects.get(part, []), options)
            for part in (self._subset_names if has_parts else [])
        }
        everything = self._summarize_part(self._subset_names, counts, objects.get(None, []), options)
        position = self._revision.position
        digest = self._revision.fetch_value(_DIGEST, {"position": position})
        return DatasetStatistics(position, digest, _describe_selection(self._selection), subsets, everything)

    def _summarize_part(
        self,
        parts: Sequence[str | None],
        counts: Sequence[Any],
        objects: list[ClassObjects],
        options: StatisticsOptions,
    ) -> SampleStatistics:
        chosen = [(item, found) for item, found in zip(self._file_sets, counts, strict=True) if item.part in parts]
        images = sum_images(found for item, found in chosen if item.label is None)
        classes = dict(self._revision.fetch_rows(_CLASSES))
        labels = []
        for label in self._labels:
            sets = [(item, found) for item, found in chosen if item.label == label]
            rasters = sum(len(item.raster_ids) for item, _ in sets)
            if rasters:
                kind = label.kind or "custom"
                labels.append(summarize_label(label, kind, rasters, sum_classes(found for _, found in sets), classes))
        samples = sum(sample.part in parts for sample in self._samples)
        bands = summarize_bands(images, options.percentiles, options.bins)
        return SampleStatistics(samples, bands, [label for label in labels if label is not None], objects)

    def _read_objects(self) -> dict[str | None, list[ClassObjects]]:
        """Return the objects of each class, by subset; None: of all samples."""
        fetch_rows = self._revision.fetch_rows
        features = count_class_features(self._revision)
        labels = {"labels": [label.name for label in self._labels]}
        objects: dict[tuple[str | None, str], dict[str, int]] = {}
        for part, label, name, count in fetch_rows((_FOLDER / "class_objects.sql").read_text(), labels):
            objects.setdefault((part, name), {})[label] = count
        found: dict[str | None, list[ClassObjects]] = {}
        for part, name in sorted({*features, *objects}, key=repr):
            samples, shown = features.get((part, name), (0, 0))
            found.setdefault(part, []).append(ClassObjects(name, samples, shown, objects.get((part, name), {})))
        return found


def count_batch(batch: _Batch) -> Iterable[ImageCounts | ClassCounts]:
    """Read the files of a batch, and return one result."""
    from geographer.rasters.pixel_counts import count_class_pixels, count_images

    if batch.label is None:
        return [count_images(batch.files)]
    is_multilabel = batch.label.kind == "multilabel"
    return [count_class_pixels(batch.files, is_multilabel=is_multilabel, ignore=batch.label.ignore)]


def _list_inputs(batch: _Batch) -> Iterator[InputFile]:
    from geographer.rasters.input_files import list_input_files

    for path, with_sidecars in batch.files:
        yield from list_input_files(path, with_sidecars=with_sidecars)


def _make_path(file: ChipFile) -> RasterPath:
    from geographer.rasters.pixel_counts import RasterPath

    return RasterPath(str(file.path), file.with_sidecars)


def _require_equal_bands(samples: Sequence[_Sample]) -> None:
    """Raise `UsageError` unless there are samples, all of them have equally many bands, and real numbers."""
    if not samples:
        raise UsageError("no sample is selected. Choose another split, subset or collection.")
    for sample in samples:
        if sample.dtype.startswith("complex"):
            raise UsageError(f"raster '{sample.raster_id}' has complex pixels, which have no statistics. {_ADVICE}")
    common, _ = Counter(sample.bands for sample in samples).most_common(1)[0]
    usual = next(sample for sample in samples if sample.bands == common)
    if others := [sample for sample in samples if sample.bands != common]:
        more = f" (and {len(others) - 1:,} more like it)" if len(others) > 1 else ""
        raise UsageError(
            f"images have different numbers of bands: '{others[0].raster_id}'{more} has {others[0].bands}, but "
            f"'{usual.raster_id}' has {common}. {_ADVICE}"
        )


def _describe_selection(selection: SampleSelection) -> dict[str, Any]:
    subsets = None if selection.subsets is None else sorted(selection.subsets)
    return {**selection._asdict(), "subsets": subsets, "labels": [*(selection.labels or ())]}
