"""The methods of `Dataset` that import a GeoGrapher 1.0 directory or another dataset."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geographer.base.errors import UsageError
from geographer.dataset.commit import CommitMixin
from geographer.storage.database.dataset_folder import find_dataset_root
from geographer.storage.queries.table import Table
from geographer.storage.unit_of_work import Change, UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geographer.operations.merge.options import OnEqualId
    from geographer.planning.raster_rows import StorageMode
    from geographer.storage.events import ChangeResult
    from geographer.storage.queries.revision import Revision


class MergeMixin(CommitMixin):
    """The part of `Dataset` that imports; see `Dataset` for the keyword arguments that all changes share."""

    def import_geographer(
        self,
        directory: str | Path,
        *,
        collection: str = "source",
        mode: StorageMode = "copy",
        class_: str | None = None,
        as_class: str | None = None,
        on_error: Literal["fail", "skip"] = "fail",
        **commit_options: Any,
    ) -> ChangeResult:
        """Import a data directory of GeoGrapher 1.0 as one event.

        It imports the task classes in their order and the background class with value 0; the features with their ids
        (integers stay integers), geometries, classes and user columns, except the library's raster count; and the
        rasters, whose ids are the stems of their file names. A raster whose file exists is added as by `add_rasters`,
        the others as footprints, as by `add_catalogue`. Chips become plain rasters, because the library does not record
        their parents. Labels on disk, and files that `rasters.geojson` does not name, are counted and ignored.

        The class of a feature is its column `type`, or the most probable of its columns `prob_of_class_*` (the first
        task class wins ties); these columns are kept. Classes that the dataset already has are reused by name; new ones
        get the next values.

        The graph is derived again, in each raster's own CRS. The summary holds the number of edges of the old and the
        new graph, the number of `different` ones, and in `differences` their counts by reason; `compare_geographer`
        lists them.

        Args:
            directory: The folder that contains `connector` and `rasters`.
            collection: The collection of the raster files.
            mode: How the raster files are stored, as in `add_rasters`.
            class_: The column of classes, if it is not `type`.
            as_class: One class for all features, instead of a column.
            on_error: 'skip' leaves out invalid features and raster files, and records which and why.

        Raises:
            NotFoundError: the directory does not exist, or lacks a file of the connector.
            ConflictError: ids are already in the dataset, two rasters have one stem, or a class is the background on
                one side only.
            UsageError: a feature or a raster is invalid, or no class is known.
            CorruptError: a file is damaged.
        """
        from geographer.operations.add.geographer_directory import open_geographer_directory
        from geographer.operations.add.geographer_import import GeographerImportOptions, plan_geographer_import

        old = open_geographer_directory(Path(directory))
        options = GeographerImportOptions(collection, mode, class_, as_class, on_error)
        request = {"directory": str(directory), **asdict(options)}

        def plan_import(revision: Revision) -> Change:
            with self._unit_of_work.make_staging_folder() as scratch:
                return plan_geographer_import(revision, self.root, old, options, request, scratch)

        return self._commit_change("geographer_imported", request, commit_options, plan_import)

    def compare_geographer(self, directory: str | Path, *, at: str | int | None = None) -> Table:
        """Return every edge on which a GeoGrapher 1.0 directory and this dataset disagree, with the reason.

        Only features and rasters that the directory names are compared.

        Returns:
            Text columns: feature_id, raster_id, was (`contains`, `intersects` or null: the relation in the old graph),
            now (the relation in this dataset), why.

        Raises:
            NotFoundError, CorruptError: as `import_geographer`.
        """
        from geographer.operations.add.geographer_directory import compare_edges, open_geographer_directory

        old = open_geographer_directory(Path(directory))
        with self._unit_of_work.open_revision(at) as revision:
            return Table(compare_edges(revision, old))

    def import_dataset(
        self,
        path: str | Path,
        *,
        at: str | int | None = None,
        on_equal_id: OnEqualId | None = None,
        prefix: str = "",
        rename: Mapping[str, str] | None = None,
        **commit_options: Any,
    ) -> ChangeResult:
        """Merge another dataset at a revision as one event that records its history.

        `history` in the payload holds the requested revision, its position, digest and content digest, the number of
        its events, and the head of that log, so the merge can be repeated and cited. It imports:

        - Classes by name. Missing ones get the next values; a background class stays the background class.
        - Features, and rasters of all collections, in the order in which they were added, with their bytes from the
          other cache, workspace or remote; each file is checked by its SHA-256. Chips keep parent and window.
          Referenced rasters are referenced here too.
        - Recipes whose names are free. A recipe with an equal name and equal parameters is the same; its collections
          join.
        - Labels that are up to date there, with their objects, if all their classes keep their values and no feature of
          this dataset alone lies on their rasters. Labels that would differ here are left out, and `update` makes them:
          labels with one band per class if there are more classes here; labels that depend on the order of features
          (instances, boxes, masks where the newest or smallest is on top) if the order differs; boxes, which hold ids,
          if these change. Labels of custom label makers and masks with an SQL expression are always left out.
        - Inputs of recipes: boxes, and the last choice of selectors, which counts if a selector cannot be imported.
        - No assignments: two splits without leakage can leak together. Their recipes are imported, and `update`
          assigns.

        An id with equal content is one object. An id with different content is refused, unless `on_equal_id` chooses a
        side ('ours' also leaves out their chips of that raster), or `prefix` renames all their features and rasters;
        integer ids then become text.

        Args:
            path: The folder of the other dataset, or a folder inside it.
            at: Its revision. Default: its head.
            on_equal_id: 'ours' or 'theirs' is kept where an id has different content.
            prefix: Put before all ids of their features and rasters; a chip becomes `recipe/PREFIXstem`.
            rename: Their recipes and collections, old name to new name.

        Raises:
            NotFoundError: the dataset or revision does not exist, or a name to rename does not.
            ConflictError: an id, recipe, collection, class or path means something else here.
            UsageError: it is this dataset, or a prefix or a name cannot be part of a path.
            CorruptError: bytes are missing or altered there.
        """
        from geographer.dataset.recipe_registry import load_recipe
        from geographer.operations.label.up_to_date import find_up_to_date_labels
        from geographer.operations.merge.options import MergeOptions
        from geographer.operations.merge.plan import plan_merge
        from geographer.operations.merge.source_dataset import read_source_dataset

        other = UnitOfWork(find_dataset_root(Path(path)))
        if other.root == self.root:
            raise UsageError(f"'{path}' is this dataset. Name another one.")
        options = MergeOptions(on_equal_id, prefix, dict(rename or {}))
        request = {"path": str(path), "at": None if at is None else str(at), **asdict(options)}

        def plan_import(revision: Revision) -> Change:
            with other.open_revision(at) as theirs:
                source = read_source_dataset(theirs, other.root, at, find_up_to_date_labels(theirs, load_recipe))
            return plan_merge(revision, self.root, source, other.file_store, options, request)

        try:
            return self._commit_change("dataset_imported", request, commit_options, plan_import)
        finally:
            other.file_store.close()
