"""The methods of `Dataset` that add and remove features, rasters, catalogues and classes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import ConflictError, UsageError, quote_objects
from geographer.dataset.commit import CommitMixin
from geographer.storage.events import ChangeResult, EventDraft

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geographer.operations.add.features import FeatureOptions
    from geographer.planning.raster_rows import RasterOptions, StorageMode
    from geographer.storage.queries.revision import Revision

_LATER_OPTIONS: Final = ("patterns", "tags", "replace")


class AddRemoveMixin(CommitMixin):
    """The part of `Dataset` that adds and removes; see `Dataset` for the arguments that all changes share."""

    def add_features(
        self,
        data: Any,
        *,
        id: str | None = None,
        class_: str | None = None,
        as_class: str | None = None,
        where: str | None = None,
        crs: str | None = None,
        on_error: Literal["fail", "skip"] = "fail",
        replace: bool = False,
        **commit_options: Any,
    ) -> ChangeResult:
        """Add points, lines or polygons (or multi-geometries) in any CRS.

        Args:
            data: A file that GDAL reads (GeoJSON, GeoPackage, Shapefile …), GeoParquet, an Arrow table with a GeoArrow
                WKB column, or a GeoDataFrame.
            id: The column of ids, text or integers. Default: `feature_id` or `id`.
            class_: The column of classes. Default: `class`, or the dataset's only class.
            as_class: One class for all features, instead of a column.
            where: Only rows for which this SQL expression over the file's columns is true.
            crs: The CRS of the data, if they do not state it or state it wrongly.
            on_error: 'skip' leaves out invalid rows, and records which and why.
            replace: A row whose id is in the dataset replaces that feature completely: user columns that the new data
                lack are removed from it. Rows that are equal in everything are not recorded again. The summary counts
                `added`, `changed` and `unchanged`. Otherwise such rows are invalid.

        Raises:
            NotFoundError: a file, column or class does not exist.
            ConflictError: ids are repeated, or are in the dataset and are not to be replaced.
            UsageError: a geometry is missing, empty, invalid or out of range; an id or the CRS is missing.
        """
        from geographer.operations.add.features import FeatureOptions, plan_feature_addition

        options = FeatureOptions(id, class_, as_class, where, crs, on_error, replace)
        request = {"data": _describe_input(data), **_options_to_json(options)}
        return self._commit_change(
            "features_added", request, commit_options, plan_feature_addition, data, options, request
        )

    def add_rasters(
        self,
        paths: str | Path | Sequence[str | Path],
        *,
        collection: str = "source",
        mode: StorageMode = "copy",
        crs: str | None = None,
        footprint: Literal["bounds", "valid"] = "bounds",
        acquired: str | None = None,
        on_error: Literal["fail", "skip"] = "fail",
        patterns: str | Sequence[str] = (),
        tags: Sequence[str] = (),
        replace: bool = False,
        **commit_options: Any,
    ) -> ChangeResult:
        """Add raster files, or all rasters in folders. A raster's id is the stem of its file name.

        Args:
            paths: Files and folders.
            collection: The collection that they join.
            mode: 'copy' stores the bytes in DVC and copies them to the workspace; 'link' stores them in DVC and links
                to them, read-only; 'reference' leaves the file where it is and records its checksums.
            crs: The CRS of the rasters, if their files do not state it or state it wrongly.
            footprint: The 'bounds' of the grid, or only the 'valid' pixels.
            acquired: The GDAL tag that holds the time of acquisition.
            on_error: 'skip' leaves out invalid files, and records which and why.
            patterns: In a folder, only rasters whose name, or path below the folder, matches one of these patterns,
                e.g. '*_RGB.tif' or '2020/*'; `*` matches slashes too, and matching is case-sensitive.
            tags: GDAL tags to keep as user columns: integers or floats if all values are, else text; null if a file
                lacks it.
            replace: A file whose id is in the collection replaces that raster; equal files are not recorded again. The
                summary counts `added`, `changed` and `unchanged`. The workspace shows the new file; DVC's cache keeps
                both.

        Raises:
            NotFoundError: a file does not exist, no raster in a folder matches, or no file has one of the tags.
            UsageError: a file is not a raster or has no CRS, or there are patterns without a folder.
            CorruptError: a file is damaged.
            ConflictError: ids are repeated, are in the dataset and not to be replaced, or are in another collection; or
                a file that the log does not know has the target's path.
        """
        from geographer.operations.add.rasters import plan_raster_addition
        from geographer.planning.raster_rows import RasterOptions

        files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        globs = (patterns,) if isinstance(patterns, str) else tuple(patterns)
        options = RasterOptions(collection, mode, crs, footprint, acquired, on_error, globs, tuple(tags), replace)
        request = {"paths": [str(file) for file in files], **_options_to_json(options)}
        return self._commit_change(
            "rasters_added", request, commit_options, plan_raster_addition, self.root, files, options, request
        )

    def add_catalogue(
        self,
        data: Any,
        *,
        id: str | None = None,
        crs: str | None = None,
        acquired: str | None = None,
        **commit_options: Any,
    ) -> ChangeResult:
        """Add footprints without pixels: a vector file, GeoParquet, Arrow, a GeoDataFrame, or STAC items, in any CRS.

        Args:
            data: Polygons; their edges are straight in their own CRS.
            id: The column of ids. Default: `raster_id` or `id`.
            crs: The CRS of the data, if they do not state it or state it wrongly.
            acquired: The column that holds the time of acquisition.

        Raises:
            NotFoundError, UsageError, ConflictError: as `add_features`.
        """
        from geographer.operations.add.catalogue import CatalogueOptions, plan_catalogue_addition

        options = CatalogueOptions(id, crs, acquired)
        request = {"data": _describe_input(data), "id": id, "crs": crs, "acquired": acquired}
        return self._commit_change(
            "catalogue_added", request, commit_options, plan_catalogue_addition, data, options, request
        )

    def add_classes(self, names: Sequence[str], **commit_options: Any) -> ChangeResult:
        """Add classes; they get the next values.

        Raises:
            ConflictError: a class exists or is repeated.
            UsageError: a class name is empty.
        """
        from geographer.planning.class_values import make_class_rows, number_classes

        request = {"classes": list(names)}

        def plan_addition(revision: Revision) -> EventDraft:
            if not all(names):
                raise UsageError("a class name is empty. Give every class a name.")
            existing = dict(revision.fetch_rows("SELECT class, value FROM classes"))
            conflicts = sorted({name for name in names if name in existing or list(names).count(name) > 1})
            if conflicts:
                raise ConflictError(
                    f"{quote_objects('class', conflicts, 'is|are')} in the dataset already, or repeated. Leave it out."
                )
            rows = {"class_change": make_class_rows(number_classes(existing, dict.fromkeys(names, 1)))}
            return EventDraft("classes_added", {"request": request, **request}, rows)

        return self._commit_change("classes_added", request, commit_options, plan_addition)

    def remove_features(self, ids: Sequence[Any], **commit_options: Any) -> ChangeResult:
        """Remove features; earlier revisions keep them.

        Raises:
            NotFoundError: an id does not exist.
        """
        from geographer.operations.remove.plan import plan_feature_removal

        request = {"ids": [str(feature_id) for feature_id in ids]}
        return self._commit_change("features_removed", request, commit_options, plan_feature_removal, request)

    def remove_rasters(self, ids: Sequence[str], **commit_options: Any) -> ChangeResult:
        """Remove rasters, their labels and their assignments; the cache keeps the bytes for earlier revisions.

        Raises:
            NotFoundError: an id does not exist.
        """
        from geographer.operations.remove.plan import plan_raster_removal

        request = {"ids": list(ids)}
        return self._commit_change("rasters_removed", request, commit_options, plan_raster_removal, request)


def _options_to_json(options: FeatureOptions | RasterOptions) -> dict[str, Any]:
    """Return options as the log records them; later options only if set, so that older requests stay equal."""
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}
    return {name: value for name, value in fields.items() if value or name not in _LATER_OPTIONS}


def _describe_input(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else type(data).__name__
