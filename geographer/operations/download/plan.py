"""The plan of a download: selected scenes; building it downloads and converts them and drafts one event."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError, quote_names
from geographer.base.text import format_count
from geographer.operations.download.coverage import compute_coverage
from geographer.operations.download.fetch import delete_cached_products, describe_failures, import_scenes, raise_failure
from geographer.operations.download.make_source import make_source
from geographer.operations.download.metadata_columns import assign_raster_ids, make_user_columns
from geographer.operations.download.search import SearchRequest, SearchResult, search_and_select
from geographer.planning.raster_rows import make_raster_rows
from geographer.planning.recipe import BuildContext, BuildResult, RunOptions, recipe_to_json
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from geographer.archives.base import Source
    from geographer.operations.download.fetch import FailedProduct, ImportedScene
    from geographer.operations.download.recipe import DownloadRecipe
    from geographer.storage.queries.revision import Revision

_SCENE_COLUMNS: Final = {
    "product_id": ("product.product_id", "string"),
    "provider": ("product.provider", "string"),
    "acquired": ("product.acquired", "string"),
    "cloud_cover": ("product.cloud_cover", "float64"),
    "bytes": ("product.size", "int64"),
    "shows": ("n_features", "int64"),
    "cost": ("cost", "float64"),
}
"""Columns of the planned scenes: attribute of `SelectedScene`, Arrow type."""


@dataclass(frozen=True, eq=False)
class DownloadPlan:
    """The scenes to download. The archive is searched when the plan is first read.

    `used_ids` are the raster ids that exist; `counts` and `warnings` go to the event's payload, `rows` to its rows.
    """

    recipe: DownloadRecipe
    run: RunOptions
    request: SearchRequest
    used_ids: set[str]
    counts: dict[str, Any]
    warnings: list[str]
    rows: dict[str, Any]

    @cached_property
    def _download_source(self) -> Source:
        return make_source(self.recipe)

    @cached_property
    def _search_result(self) -> SearchResult:
        if not len(self.request.features):
            return SearchResult([], 0, [], 0, {})
        return search_and_select(self.recipe, self.request, self._download_source, self.run.progress)

    def make_scene_table(self) -> pa.Table:
        """Return a table with one row for each scene to download."""
        import pyarrow as pa

        scenes, columns = self._search_result.scenes, _SCENE_COLUMNS.items()
        return pa.table({name: pa.array(map(attrgetter(path), scenes), kind) for name, (path, kind) in columns})

    @property
    def summary_fields(self) -> dict[str, Any]:
        """Counts, searches, and the gap between the number of scenes and its proven lower bound."""
        result = self._search_result
        sizes = [scene.product.size for scene in result.scenes]
        n_scenes = len(result.scenes)
        gap = round(1 - result.lower_bound / n_scenes, 6) if n_scenes else 0.0
        return {
            **self.counts,
            "missing": len(self.request.features),
            "candidates": result.n_candidates,
            "cover": {"scenes": n_scenes, "bound": result.lower_bound, "gap": gap},
            "bytes": None if None in sizes else sum(size or 0 for size in sizes),
            "unmet": result.unmet_counts,
            "searches": [search.to_dict() for search in result.searches],
            **({"warnings": self.warnings} if self.warnings else {}),
        }

    @property
    def is_empty(self) -> bool:
        """Whether no scene is to be downloaded."""
        return not self._search_result.scenes

    def build_outputs(self, context: BuildContext) -> BuildResult:
        """Download the products with `context.workers` threads, and convert each as soon as it arrives.

        Raises:
            SourceError: no product could be downloaded.
            UnsupportedProductError: no product could be read with the current options.
        """
        scenes = self._search_result.scenes
        raster_ids = assign_raster_ids(scenes, self.used_ids, self.recipe.into)
        imported, failed = import_scenes(self.recipe, self._download_source, scenes, raster_ids, context)
        if failed and not imported:
            raise_failure(failed)
        columns, properties = make_user_columns([scene.metadata for scene in imported])
        rows = [
            {**scene.row, "change": "added", "recipe": self.recipe.name, "properties": scene_properties}
            for scene, scene_properties in zip(imported, properties, strict=True)
        ]
        payload = {
            "recipe": recipe_to_json(self.recipe),
            "collection": self.recipe.into,
            "rasters": len(imported),
            "failed": len(failed),
            **self.summary_fields,
            **self._report_shortfalls(imported, failed),
            "columns": columns,
        }
        raster_rows = {"raster_change": make_raster_rows(rows)} if rows else {}
        new_ids = [scene.row["raster_id"] for scene in imported]
        products = [scene.scene.product for scene in imported]
        return BuildResult(
            EventDraft(self.recipe.event, payload, {**self.rows, **raster_rows, **_make_skipped_rows(failed)}),
            [(scene.path, scene.checksums) for scene in imported],
            check_still_valid=lambda revision: _check_ids_unused(revision, new_ids),
            on_recorded=lambda: delete_cached_products(products, self.run.root),
        )

    def _report_shortfalls(self, imported: Sequence[ImportedScene], failed: Sequence[FailedProduct]) -> dict[str, Any]:
        """Return counts and warnings about products that failed and features that stay without a raster."""
        warnings = list(self.warnings)
        if failed:
            warnings.append(f"{describe_failures(failed)}. geographer update tries again.")
        n_uncovered = self._count_uncovered_features(imported)
        if n_uncovered:
            verb = "is" if n_uncovered == 1 else "are"
            warnings.append(
                f"{format_count(n_uncovered, 'feature')} {verb} not within the valid pixels of the downloaded scenes, "
                "contrary to the archive's footprints. geographer update searches for other scenes."
            )
        return {**({"short": n_uncovered} if n_uncovered else {}), **({"warnings": warnings} if warnings else {})}

    def _count_uncovered_features(self, imported: Sequence[ImportedScene]) -> int:
        """Return how many features the imported rasters do not contain although the stated footprints do."""
        if self.recipe.union:
            return 0
        pairs = [(scene.scene.product, scene.row) for scene in imported]
        stated = [(product.footprint, product.crs, product.outline) for product, _ in pairs]
        actual = [(product.footprint, row["crs"], row["outline"]) for product, row in pairs]
        covered = [compute_coverage(self.request.features, scenes, union=False)[0] for scenes in (stated, actual)]
        stated_pairs, actual_pairs = (set(map(tuple, index_pairs.tolist())) for index_pairs in covered)
        return len({feature for _, feature in stated_pairs - actual_pairs})


def _check_ids_unused(revision: Revision, raster_ids: list[str]) -> None:
    """Raise `ConflictError` if a later revision has rasters with these ids."""
    existing = {row[0] for row in revision.fetch_rows("SELECT raster_id FROM current_raster")}
    conflicts = sorted(existing.intersection(raster_ids))
    if conflicts:
        rasters = f"{format_count(len(conflicts), 'raster')} of the same id ({quote_names(conflicts)})"
        raise ConflictError(f"another command added {rasters} during the download. Run the command again.")


def _make_skipped_rows(failed: Sequence[FailedProduct]) -> dict[str, Any]:
    """Return the failed products as rows of the log."""
    if not failed:
        return {}
    columns = {
        "input": ["downloads"] * len(failed),
        "name": [product.product_id for product in failed],
        "reason": [product.reason for product in failed],
    }
    return {"skipped_input": make_row_table("skipped_input", columns)}
