"""What to train on: samples, as one table; exports for training libraries; statistics."""

from collections.abc import Sequence

from geographer.dataset.evidence import EvidenceReader
from geographer.dataset.filters import RevisionSpec
from geographer.storage.queries.table import Table


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
