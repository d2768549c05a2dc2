"""The graph of features and rasters at any revision: which raster shows which feature, as ids, paths or counts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from geographer.base.errors import UsageError
from geographer.dataset.filters import RevisionSpec
from geographer.dataset.ids import list_ids
from geographer.dataset.tables import TableReader
from geographer.storage.queries.read_tables import count_rasters_of_features, find_related_ids, find_relations
from geographer.storage.queries.table import Table


class GraphReader(TableReader):
    """What can be asked of the graph of features and rasters."""

    def rasters_containing(self, features: Any, *, paths: bool = False, at: RevisionSpec = None) -> Any:
        """Return the rasters that contain a feature, in the order of addition; one feature or many.

        Args:
            features: One id, or many.
            paths: Return paths of files, which have the recorded bytes of that revision, instead of ids: in the
                workspace, or in DVC's cache, which is filled from the remote if necessary. Rasters without a file, such
                as the footprints of a catalogue, are left out.
            at: The revision; None: the head.

        Returns:
            A list of ids (text) or of absolute paths (`pathlib.Path`); for many features, a dictionary of lists by
            feature.

        Raises:
            NotFoundError: the revision has no such feature.
            CorruptError, StorageError: of paths, as for `open_raster`.
        """
        related = self._find_related_ids("feature", features, at, containing_only=True)
        return self._find_paths(related, at) if paths else related

    def rasters_intersecting(self, features: Any, *, paths: bool = False, at: RevisionSpec = None) -> Any:
        """Return the rasters that contain or intersect a feature; one feature or many. See `rasters_containing`."""
        related = self._find_related_ids("feature", features, at, containing_only=False)
        return self._find_paths(related, at) if paths else related

    def features_contained_in(self, rasters: Any, *, at: RevisionSpec = None) -> Any:
        """Return the ids of the features that a raster contains; for many rasters, a dictionary by raster."""
        return self._find_related_ids("raster", rasters, at, containing_only=True)

    def features_intersecting(self, rasters: Any, *, at: RevisionSpec = None) -> Any:
        """Return the ids of the features that a raster contains or intersects; one raster or many."""
        return self._find_related_ids("raster", rasters, at, containing_only=False)

    def is_contained(self, features: Any, rasters: Any, *, at: RevisionSpec = None) -> Any:
        """Return whether a raster contains a feature: for one pair, or for many in one query.

        Args:
            features: One id, or many.
            rasters: One id, or many. Two lists of one length are pairs; one id is paired with each of the other side.
            at: The revision; None: the head.

        Returns:
            True or False; for many pairs, a list of them.

        Raises:
            NotFoundError: the revision has no such feature or raster.
            UsageError: both sides are lists, and their lengths differ.
        """
        return self._test_pairs(features, rasters, at, lambda contains: contains is True)

    def is_intersected(self, features: Any, rasters: Any, *, at: RevisionSpec = None) -> Any:
        """Return whether a raster contains or intersects a feature: for one pair or for many; see `is_contained`."""
        return self._test_pairs(features, rasters, at, lambda contains: contains is not None)

    def count_rasters(self, features: Any = None, *, collection: str | None = None, at: RevisionSpec = None) -> Table:
        """Return how many rasters show each feature.

        A filter of the table `features` can use the same counts, of all collections: `where="raster_count < 2"`.

        Args:
            features: One id, or many; None: all features.
            collection: Count only rasters of this collection, such as 'source'; None: all, chips and footprints too.
            at: The revision; None: the head.

        Returns:
            `feature_id`, `raster_count` (int64: rasters that contain the feature) and `intersecting_raster_count`
            (int64: those that contain or intersect it), in the order of addition.

        Raises:
            NotFoundError: the revision has no such feature or collection.
        """
        from geographer.planning.collections import require_collection

        if collection is not None and not isinstance(collection, str):
            raise UsageError(f"invalid collection {collection!r}. Use the name of a collection of rasters.")
        ids = None if features is None else [*map(str, list_ids(features)[0])]
        with self._unit_of_work.open_revision(at) as revision:
            if collection is not None:
                require_collection(revision, collection)
            return Table(count_rasters_of_features(revision, ids, collection))

    def _find_related_ids(
        self, subject: Literal["feature", "raster"], ids: Any, at: RevisionSpec, *, containing_only: bool
    ) -> Any:
        values, is_single = list_ids(ids)
        with self._unit_of_work.open_revision(at) as revision:
            related = find_related_ids(revision, subject, [*map(str, values)], containing_only=containing_only)
        return related[str(values[0])] if is_single else {value: related[str(value)] for value in values}

    def _find_paths(self, related: Any, at: RevisionSpec) -> Any:
        """Return paths in place of ids of rasters: in a list, or in a dictionary of lists."""
        from geographer.storage.workspace.chip_files import ChipFiles
        from geographer.storage.workspace.revision_files import list_rasters_with_files

        lists = related.values() if isinstance(related, dict) else [related]
        ids = sorted({raster_id for raster_ids in lists for raster_id in raster_ids})
        with self._unit_of_work.open_revision(at) as revision:
            files = ChipFiles.list_rasters(revision, self.root, list_rasters_with_files(revision, ids))
        path_by_id = {id: file.path for id, file in files.require_files(self._unit_of_work.file_store).items()}

        def list_paths(raster_ids: Sequence[str]) -> list[Path]:
            return [path_by_id[raster_id] for raster_id in raster_ids if raster_id in path_by_id]

        if isinstance(related, dict):
            return {feature: list_paths(raster_ids) for feature, raster_ids in related.items()}
        return list_paths(related)

    def _test_pairs(self, features: Any, rasters: Any, at: RevisionSpec, is_related: Any) -> Any:
        (feature_ids, is_one_feature), (raster_ids, is_one_raster) = list_ids(features), list_ids(rasters)
        if is_one_feature:
            feature_ids = feature_ids * len(raster_ids)
        if is_one_raster:
            raster_ids = raster_ids * len(feature_ids)
        if len(feature_ids) != len(raster_ids):
            counts = f"{len(feature_ids):,} features and {len(raster_ids):,} rasters"
            raise UsageError(f"cannot pair {counts}. Pass lists of one length, or one id and a list.")
        with self._unit_of_work.open_revision(at) as revision:
            relations = find_relations(revision, [*map(str, feature_ids)], [*map(str, raster_ids)])
        related = [is_related(contains) for contains in relations]
        return related[0] if is_one_feature and is_one_raster else related
