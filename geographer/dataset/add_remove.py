"""The verbs that add and remove: features, rasters, catalogues, classes."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from geographer.base.errors import ConflictError, UsageError, quote_names
from geographer.dataset.commit import Changing
from geographer.storage.events import ChangeResult, EventDraft
from geographer.storage.unit_of_work import Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geographer.operations.add.features import FeatureOptions
    from geographer.planning.raster_rows import RasterOptions, StorageMode
    from geographer.storage.queries.revision import Revision

_LATER: Final = ("patterns", "tags", "replace")


class Additions(Changing):
    """The part of `Dataset` that adds and removes; see there for the keyword arguments that all changes share."""

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
        **signature: Any,
    ) -> ChangeResult:
        """Add features: points, lines or polygons, multi or not, in any CRS.

        Args:
            data: A file that GDAL reads (GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML …), GeoParquet, an Arrow table
                with a GeoArrow WKB column, or a GeoDataFrame.
            id: The column of ids, text or whole numbers; `feature_id` or `id` when left out.
            class_: The column of classes; `class` when left out, or the dataset's only class.
            as_class: One class for all of them, instead of a column.
            where: Only the rows for which this SQL expression over the file's columns is true.
            crs: The CRS of the data, where it does not say, or says wrongly.
            on_error: 'skip' leaves out rows that are not fit, and records which and why.
            replace: Rows whose id is in the dataset replace that feature, as a whole: a column of one's own that the
                new data lack is gone from it. Those that are equal in everything are not recorded again; the summary
                counts `added`, `changed` and `unchanged`. Otherwise such rows are not fit.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: no such file, column or class.
            ConflictError: ids stand twice, or are in the dataset and are not to be replaced.
            UsageError: a geometry is missing, empty, invalid or out of range; no id; no CRS.
        """
        from geographer.operations.add.features import FeatureOptions, plan_features

        options = FeatureOptions(id, class_, as_class, where, crs, on_error, replace)
        request = {"data": _named(data), **_asked(options)}
        return self._change(
            "features_added",
            request,
            signature,
            lambda view: Change(plan_features(view, data, options, request)),
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
        **signature: Any,
    ) -> ChangeResult:
        """Add raster files, or all rasters in folders. A raster's id is the stem of its file's name.

        Args:
            paths: Files and folders.
            collection: The named set that they join.
            mode: 'copy' keeps the bytes in DVC and a copy in the workspace; 'link' in DVC and a read-only link;
                'reference' leaves the file where it is and records its checksums.
            crs: The CRS of the rasters, where their files do not say, or say wrongly.
            footprint: 'bounds' of the grid, or only the 'valid' pixels.
            acquired: The tag that holds the time of acquisition.
            on_error: 'skip' leaves out files that are not fit, and records which and why.
            patterns: Of a folder, only the rasters whose name, or path below it, matches one of these, such as
                '*_RGB.tif' or '2020/*'; `*` stands for slashes, too, and upper case is not lower case.
            tags: GDAL tags to keep as columns of one's own: whole numbers or numbers if all are, else text; null
                where a file has none.
            replace: Files whose id is in the collection replace that raster; those that are equal in everything are
                not recorded again; the summary counts `added`, `changed` and `unchanged`. In the workspace the new
                file takes the old one's place; DVC's cache keeps both.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError: no such file, no raster in a folder that matches, no file with one of the tags.
            UsageError: a file is no raster, or has no CRS; patterns without a folder.
            CorruptError: a file is damaged.
            ConflictError: ids stand twice, or are in the dataset and are not to be replaced, or in another collection;
                a file lies in the way that the log does not know.
        """
        from geographer.operations.add.rasters import plan_rasters
        from geographer.planning.raster_rows import RasterOptions

        files = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
        wanted = (patterns,) if isinstance(patterns, str) else tuple(patterns)
        options = RasterOptions(collection, mode, crs, footprint, acquired, on_error, wanted, tuple(tags), replace)
        request = {"paths": [str(file) for file in files], **_asked(options)}

        def plan(view: Revision) -> Change:
            addition = plan_rasters(view, self.root, files, options, request)
            linked = {sums.md5 for _, sums in addition.files} if mode == "link" else set()
            return Change(addition.draft, addition.files, linked=linked)

        return self._change("rasters_added", request, signature, plan)

    def add_catalogue(
        self,
        data: Any,
        *,
        id: str | None = None,
        crs: str | None = None,
        acquired: str | None = None,
        **signature: Any,
    ) -> ChangeResult:
        """Add footprints without pixels: a vector file, GeoParquet, Arrow, a GeoDataFrame, or STAC items, in any CRS.

        Args:
            data: Polygons; their edges are straight in their own CRS.
            id: The column of ids; `raster_id` or `id` when left out.
            crs: The CRS of the data, where it does not say, or says wrongly.
            acquired: The column that holds the time of acquisition.
            signature: `message`, `author`, `idempotency_key`, `expected_head`, `dry_run`.

        Raises:
            NotFoundError, UsageError, ConflictError: as `add_features`.
        """
        from geographer.operations.add.catalogue import CatalogueOptions, plan_catalogue

        options = CatalogueOptions(id, crs, acquired)
        request = {"data": _named(data), "id": id, "crs": crs, "acquired": acquired}
        return self._change(
            "catalogue_added",
            request,
            signature,
            lambda view: Change(plan_catalogue(view, data, options, request)),
        )

    def add_classes(self, names: Sequence[str], **signature: Any) -> ChangeResult:
        """Add classes after those that there are; their values go on counting.

        Raises:
            ConflictError: a class is there already, or stands twice.
            UsageError: a class has no name.
        """
        from geographer.operations.add.features import class_rows

        request = {"classes": list(names)}

        def plan(view: Revision) -> Change:
            if not all(names):
                raise UsageError("a class has no name: give each a name")
            known = {row[0] for row in view.fetch_rows("SELECT class FROM classes")}
            again = sorted(known.intersection(names)) or sorted({name for name in names if list(names).count(name) > 1})
            if again:
                raise ConflictError(f"class {quote_names(again)} is there already, or stands twice: leave it out")
            return Change(
                EventDraft(
                    "classes_added",
                    {"request": request, **request},
                    {"class_change": class_rows(view, list(names))},
                )
            )

        return self._change("classes_added", request, signature, plan)

    def remove_features(self, ids: Sequence[Any], **signature: Any) -> ChangeResult:
        """Remove features; every earlier revision keeps them.

        Raises:
            NotFoundError: one of them is not there.
        """
        from geographer.operations.remove.plan import plan_feature_removal

        request = {"ids": [str(one) for one in ids]}
        return self._change(
            "features_removed", request, signature, lambda view: Change(plan_feature_removal(view, request))
        )

    def remove_rasters(self, ids: Sequence[str], **signature: Any) -> ChangeResult:
        """Remove rasters, their labels and their places in splits; the bytes stay in the cache for earlier revisions.

        Raises:
            NotFoundError: one of them is not there.
        """
        from geographer.operations.remove.plan import plan_raster_removal

        request = {"ids": list(ids)}
        return self._change(
            "rasters_removed", request, signature, lambda view: Change(plan_raster_removal(view, request))
        )


def _asked(options: FeatureOptions | RasterOptions) -> dict[str, Any]:
    """Options as the log records them; the later ones only if they say something, so that older requests stay equal."""
    fields = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(options).items()}
    return {name: value for name, value in fields.items() if value or name not in _LATER}


def _named(data: Any) -> str:
    return str(data) if isinstance(data, str | Path) else type(data).__name__
