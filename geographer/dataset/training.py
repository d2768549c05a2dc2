"""What to train on: samples, as one table; exports for training libraries; statistics."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import UsageError
from geographer.dataset.evidence import EvidenceReader
from geographer.dataset.filters import RevisionSpec
from geographer.storage.queries.table import Table

if TYPE_CHECKING:
    from geographer.base.executors.executor import Workers
    from geographer.outputs.exports.run import ExportResult
    from geographer.outputs.samples.selection import SampleSelection
    from geographer.outputs.samples.training_rows import TrainingRows
    from geographer.outputs.statistics.results import DatasetStatistics

_LAST_CHANGE: Final = "SELECT max(position) FROM chain_event WHERE kind <> 'dataset_exported'"


class TrainingReader(EvidenceReader):
    """What can be read of a dataset to train a model on it."""

    def samples(
        self,
        *,
        split: str | None = None,
        subset: str | Sequence[str] | None = None,
        collection: str | None = None,
        labels: str | Sequence[str] | None = None,
        at: RevisionSpec = None,
    ) -> Table:
        """Return what to train on at a revision: one row for each raster, ordered by id.

        Columns: `raster_id`, `collection`; `part` (the subset; null without a split) and `component` (int64: rasters
        that the split keeps together have one number); `parent_id`; `feature_id` and `class` of the feature that a chip
        was cut for; `classes` (a list: those of all features that it shows); `path` and `sha256` of the image; for each
        label `label_NAME` and `label_NAME_sha256` of its file, null where a raster has none; `crs`, `transform` (a, b,
        c, d, e, f of x = a·column + b·row + c, y = d·column + e·row + f), `width` and `height` in pixels, `bands`,
        `dtype`, `nodata`, `acquired` (UTC), `footprint` (longitude/latitude). Paths are absolute and lead to the
        bytes of the revision: in the workspace, or in DVC's cache.

        Args:
            split: The split; only rasters that it assigns are samples. Default: the only one, if there is only one.
            subset: A part of the split, such as 'train', or several. Default: all.
            collection: The collection. Default: that of the split, or the only one of chips, or of rasters.
            labels: A label, or several. Default: all that the rasters have; an empty list: none.
            at: The revision. Default: the head.

        Raises:
            NotFoundError: there is no such revision, split, part, collection or label.
            UsageError: several collections or splits fit: name one.
        """
        from geographer.outputs.samples.selection import make_selection
        from geographer.outputs.samples.table import GEOMETRY, read_samples

        selection = make_selection(split, subset, collection, labels)
        with self._open_tables(at) as revision:
            rows, _ = read_samples(revision, self.root, selection)
        return Table(rows, GEOMETRY)

    def export_samples(
        self,
        format: str,
        to: str | Path,
        *,
        split: str | None = None,
        subset: str | Sequence[str] | None = None,
        collection: str | None = None,
        labels: str | Sequence[str] | None = None,
        at: RevisionSpec = None,
        workers: "Workers" = 1,
        **options: Any,
    ) -> "ExportResult":
        """Write samples of a revision to a folder in the format of a training library.

        The folder gets images, labels, classes, subsets, the revision with its digests, a README, and a manifest.
        Equal samples give equal bytes. An interrupted export goes on; an earlier one is replaced.

        Args:
            format: The name of the format, such as 'coco', 'yolo', 'webdataset' or 'folder'.
            to: The folder: new, empty, or that of an earlier export.
            split, subset, collection, labels: As in `samples`.
            at: The revision. Default: the head, or the one before the exports that were recorded last.
            workers: The number of processes that write pictures, or a client or the address of a Dask scheduler.
            options: The parameters of the format, as `geographer export FORMAT --help` lists them.

        Raises:
            NotFoundError: there is no such revision, split, part, collection or label.
            UsageError: there is no such format or option, the format cannot hold the samples, or a package is missing.
            ConflictError: the folder has other content.
            CorruptError: a file has other bytes than those recorded.
        """
        from geographer.outputs.exports.formats import find_exporter
        from geographer.outputs.exports.run import run_export
        from geographer.outputs.samples.selection import make_selection

        exporter_class = find_exporter(format)
        if unknown := [name for name in options if name not in exporter_class.__struct_fields__]:
            known = ", ".join(exporter_class.__struct_fields__) or "none"
            raise UsageError(f"format '{format}' has no option '{unknown[0]}'. Its options are: {known}.")
        selection = make_selection(split, subset, collection, labels)
        with self._unit_of_work.open_revision(self._find_exported_revision(at)) as revision:
            return run_export(self._unit_of_work, revision, exporter_class(**options), selection, Path(to), workers)

    def compute_statistics(
        self,
        *,
        split: str | None = None,
        subset: str | Sequence[str] | None = None,
        collection: str | None = None,
        labels: str | Sequence[str] | None = None,
        at: RevisionSpec = None,
        percentiles: float | Sequence[float] | None = None,
        bins: int = 64,
        workers: "Workers" = 1,
    ) -> "DatasetStatistics":
        """Compute statistics of samples, for each subset and for all, in one pass over the files.

        They are: of each band mean, standard deviation (of the population), minimum, maximum, percentiles and a
        histogram, of valid pixels as stored and, if the files state a scale, of scaled ones; the numbers of valid,
        nodata and non-finite pixels; the pixels and weights of each class in labels of class values; and the features
        and objects of each class. Sums are exact. Percentiles are exact for up to 16 bits, and for up to 65,536
        distinct values; otherwise their relative error is at most 2^-12. The counts are kept in `.geographer`: nothing
        is read again while the files are the same.

        Args:
            split, subset, collection, labels: As in `samples`.
            at: The revision. Default: the head.
            percentiles: Numbers from 0 to 100. Default: 1, 2, 5, 25, 50, 75, 95, 98, 99.
            bins: The number of bins of each histogram, from the minimum to the maximum.
            workers: The number of processes that read files, or a client or the address of a Dask scheduler.

        Raises:
            NotFoundError: there is no such revision, split, part, collection or label, or a file was withdrawn.
            UsageError: no sample or several selections fit; images have complex pixels or different numbers of bands.
            CorruptError: a file has other bytes than those recorded.
            StorageError: the remote that has a file cannot be reached.
        """
        from geographer.outputs.samples.selection import make_selection
        from geographer.outputs.statistics.compute import compute_statistics, make_options

        selection = make_selection(split, subset, collection, labels)
        options = make_options(percentiles, bins, workers)
        with self._unit_of_work.open_revision(at) as revision:
            return compute_statistics(self._unit_of_work, revision, selection, options)

    def _find_exported_revision(self, at: RevisionSpec) -> RevisionSpec:
        """Return the revision to export; by default the last one that changed more than the list of exports."""
        if at is not None:
            return at
        with self._unit_of_work.open_revision() as revision:
            return int(revision.fetch_value(_LAST_CHANGE))

    def _read_training_rows(self, selection: "SampleSelection", at: RevisionSpec) -> "TrainingRows":
        """Return samples, whose files were compared with their checksums, with objects, classes and kinds of labels."""
        from geographer.outputs.samples.training_rows import read_training_rows

        with self._open_tables(at) as revision:
            return read_training_rows(revision, self._unit_of_work.file_store, selection)
