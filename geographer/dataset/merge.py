"""The verbs that take over what others have: a directory of the previous library, another dataset."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geographer.base.errors import UsageError
from geographer.dataset.commit import Changing
from geographer.storage.events import ChangeResult
from geographer.storage.queries.table import Table
from geographer.storage.unit_of_work import Change, UnitOfWork, find_dataset_root

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geographer.operations.merge.plan import OnEqualId
    from geographer.planning.raster_rows import StorageMode
    from geographer.storage.queries.revision import Revision


class Imports(Changing):
    """The part of `Dataset` that imports; see there for the keyword arguments that all changes share."""

    def import_geographer(
        self,
        directory: str | Path,
        *,
        collection: str = "source",
        mode: StorageMode = "copy",
        class_: str | None = None,
        as_class: str | None = None,
        on_error: Literal["fail", "skip"] = "fail",
        **signature: Any,
    ) -> ChangeResult:
        """Take over a data directory of the previous library, GeoGrapher 1.0, as one event.

        What comes: the task classes in their order, and the background class with the value 0; the features with their
        ids (whole numbers stay whole numbers), geometries, classes and own columns, all but the library's count of
        rasters; the rasters, whose ids are the stems of their names. A raster whose file exists is added as
        `add_rasters` adds it, the others as footprints, as `add_catalogue` does. Chips that the library cut come as
        plain rasters, for it does not record what they were cut from. Labels on disk, and files that `rasters.geojson`
        does not name, are counted and left aside.

        The class of a feature is its column `type`, or of its columns `prob_of_class_*` the most probable, the first
        task class where two are equal; these columns stay beside it. In a dataset that has classes already, those of
        the same name are the same, and new ones get the next values.

        The graph is derived anew, in each raster's own CRS. The summary holds how many edges the old and the new one
        have, how many `different`, and in `differences` how often for which reason; `compare_geographer` names them.

        Args:
            directory: The folder that holds `connector` and `rasters`.
            collection: The named set that the raster files join.
            mode: What happens to them, as in `add_rasters`.
            class_: The column of classes, where it is not `type`.
            as_class: One class for all features, instead of a column.
            on_error: 'skip' leaves out features and raster files that are not fit, and records which and why.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: no such directory, or it lacks a file of the connector.
            ConflictError: ids are in the dataset already, two rasters have one stem, or a class is the background on
                one side only.
            UsageError: a feature or a raster is not fit; no class is known.
            CorruptError: a file is damaged.
        """
        from geographer.operations.add.geographer_directory import GeographerOptions, old_directory, plan_geographer

        old = old_directory(Path(directory))
        options = GeographerOptions(collection, mode, class_, as_class, on_error)
        request = {"directory": str(directory), **asdict(options)}

        def plan(view: Revision) -> Change:
            with self._recorder.make_staging_folder() as scratch:
                addition = plan_geographer(view, self.root, old, options, request, scratch)
            linked = {sums.md5 for _, sums in addition.files} if mode == "link" else set()
            return Change(addition.draft, addition.files, linked=linked)

        return self._change("geographer_imported", request, signature, plan)

    def compare_geographer(self, directory: str | Path, *, at: str | int | None = None) -> Table:
        """Every edge about which a directory of GeoGrapher 1.0 and this dataset do not agree at a revision, and why.

        Only features and rasters that the directory names are compared.

        Args:
            directory: As in `import_geographer`.
            at: The revision; the head when left out.

        Returns:
            Text columns: feature_id, raster_id, was (`contains`, `intersects` or null: the old graph's relation), now
            (this dataset's), why.

        Raises:
            NotFoundError, CorruptError: as `import_geographer`.
        """
        from geographer.operations.add.geographer_directory import edge_differences, old_directory

        old = old_directory(Path(directory))
        with self._recorder.open_revision(at) as view:
            return Table(edge_differences(view, old))

    def import_dataset(
        self,
        path: str | Path,
        *,
        at: str | int | None = None,
        on_equal_id: OnEqualId | None = None,
        prefix: str = "",
        rename: Mapping[str, str] | None = None,
        **signature: Any,
    ) -> ChangeResult:
        """Merge another geographer dataset at a revision, as one event that notes its history.

        The payload's `history` holds the revision that was asked for, its position, digest and content digest, the
        number of its events, and the head of that log; so the merge can be repeated and cited.

        What comes:

        - Classes, by name; those that the dataset lacks get the next values, and a background stays the background.
        - Features, and rasters of all collections, in the order of their addition: the bytes from their cache,
          workspace or remote, each file checked by its SHA-256. Chips keep parent and window. Rasters that they only
          refer to are referred to here as well.
        - Recipes whose names are free. One that is there with the same parameters is the same; its collections join.
        - Labels that are up to date there, with the objects that they list, if all of their classes keep their values,
          and no feature of ours alone lies where their raster does. Labels that would come out otherwise here are left
          out, as are those that a person's own label maker draws and masks that ignore by an expression: those with a
          band for each class, if there are more classes here; those that depend on the order in which features were
          added (instances, boxes, masks where the newest or smallest lies on top), if that is another one here; boxes,
          which name ids, if these change. `update` makes them.
        - What recipes were given: boxes, and what selectors chose last, which counts where a selector can't be
          imported.
        - No split: two that do not leak can leak together. Their recipes come, and `update` assigns anew.

        The rule for equal ids: an id with equal content is one object, kept once. An id with other content is refused,
        unless `on_equal_id` says whose stays ('ours' leaves out their chips of such a raster too), or `prefix` gives
        all of their features and rasters other ids; whole numbers become text then.

        Args:
            path: The folder of the other dataset, or one inside it.
            at: Which revision of it; its head when left out.
            on_equal_id: 'ours' or 'theirs' stays, where an id has other content.
            prefix: What is put before all ids of their features and rasters; a chip is then `recipe/PREFIXstem`.
            rename: Their recipes and collections, old name to new.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: no such dataset or revision, or nothing of that name to rename.
            ConflictError: an id, a recipe, a collection, a class or a path stands for something else here.
            UsageError: it is this dataset, or a prefix or a name can't be part of a path.
            CorruptError: bytes are missing or altered there.
        """
        from geographer.dataset.recipe_registry import load_recipe
        from geographer.operations.label.up_to_date import find_up_to_date_labels
        from geographer.operations.merge.plan import DatasetOptions, plan_dataset, read_other

        other = UnitOfWork(find_dataset_root(Path(path)))
        if other.root == self.root:
            raise UsageError(f"'{path}' is this dataset: name another one")
        options = DatasetOptions(on_equal_id, prefix, dict(rename or {}))
        request = {"path": str(path), "at": None if at is None else str(at), **asdict(options)}

        def plan(view: Revision) -> Change:
            with other.open_revision(at) as theirs:
                held = read_other(theirs, other.root, at, find_up_to_date_labels(theirs, load_recipe))
            addition = plan_dataset(view, self.root, held, other.store, options, request)
            return Change(addition.draft, addition.files)

        try:
            return self._change("dataset_imported", request, signature, plan)
        finally:
            other.store.close()
