"""The plan of a download: what was chosen; and its making: fetched, read into GeoTIFFs, and told as one event."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from geographer.base.errors import ConflictError, quote_names
from geographer.operations.download.coverage import shown
from geographer.operations.download.fetch import Brought, Refused, bring, discard, failure, told
from geographer.operations.download.make_source import archive_of
from geographer.operations.download.metadata_columns import own_columns, raster_ids
from geographer.operations.download.search import Found, Scene, Wanted, find
from geographer.planning.raster_rows import make_raster_rows
from geographer.planning.recipe import BuildContext, BuildResult, RunOptions, recipe_to_json
from geographer.storage.events import EventDraft
from geographer.storage.log.row_tables import make_row_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from geographer.archives.base import Source
    from geographer.operations.download.parameters import Asked
    from geographer.storage.queries.revision import Revision

_SCENES: Final = {
    "product_id": "string",
    "provider": "string",
    "acquired": "string",
    "cloud_cover": "float64",
    "bytes": "int64",
    "shows": "int64",
    "cost": "float64",
}


class DownloadPlan:
    """The scenes to fetch. The archive is searched when the plan is first looked at."""

    def __init__(
        self,
        recipe: Asked,
        run: RunOptions,
        wanted: Wanted,
        taken: set[str],
        counts: dict[str, Any],
        warnings: list[str],
        rows: dict[str, Any],
    ) -> None:
        self.recipe, self._root, self._progress = recipe, run.root, run.progress
        self._wanted, self._taken = wanted, taken
        self._counts, self._warnings, self._rows = counts, warnings, rows

    @cached_property
    def _source(self) -> Source:
        return archive_of(self.recipe)

    @cached_property
    def _found(self) -> Found:
        if not len(self._wanted.missing):
            return Found([], 0, [], 0, {})
        return find(self.recipe, self._wanted, self._source, self._progress)

    def table(self) -> pa.Table:
        """A row for each scene that would be fetched."""
        import pyarrow as pa

        rows = [
            {
                "product_id": scene.product.product_id,
                "provider": scene.product.provider,
                "acquired": scene.product.acquired,
                "cloud_cover": scene.product.cloud_cover,
                "bytes": scene.product.size,
                "shows": scene.shows,
                "cost": scene.cost,
            }
            for scene in self.scenes
        ]
        return pa.Table.from_pylist(rows, schema=pa.schema(list(_SCENES.items())))

    @property
    def scenes(self) -> list[Scene]:
        """What would be fetched."""
        return self._found.scenes

    @property
    def summary(self) -> dict[str, Any]:
        """The counts, the searches, and how near the scenes come to the fewest that can be."""
        found = self._found
        sizes = [scene.product.size for scene in found.scenes]
        scenes = len(found.scenes)
        gap = round(1 - found.bound / scenes, 6) if scenes else 0.0
        return {
            **self._counts,
            "missing": len(self._wanted.missing),
            "candidates": found.candidates,
            "cover": {"scenes": scenes, "bound": found.bound, "gap": gap},
            "bytes": None if None in sizes else sum(size or 0 for size in sizes),
            "unmet": found.unmet,
            "searches": [search.as_json() for search in found.searches],
            **({"warnings": self._warnings} if self._warnings else {}),
        }

    @property
    def is_empty(self) -> bool:
        """Whether nothing is missing that the archive has."""
        return not self._found.scenes

    def build_outputs(self, workshop: BuildContext) -> BuildResult:
        """Fetch the products, as many at once as the workshop has workers, and read each as soon as it is there.

        Raises:
            SourceError: not one of them could be had.
            UsageError: not one of them could be read with these options.
        """
        names = raster_ids(self.scenes, self._taken, self.recipe.into)
        brought, refused = bring(self.recipe, self._source, self.scenes, names, workshop)
        if refused and not brought:
            raise failure(refused)
        columns, properties = own_columns([one.origin for one in brought])
        rows = [
            {**one.row, "change": "added", "recipe": self.recipe.name, "properties": own}
            for one, own in zip(brought, properties, strict=True)
        ]
        payload = {
            "recipe": recipe_to_json(self.recipe),
            "collection": self.recipe.into,
            "rasters": len(brought),
            "failed": len(refused),
            **self.summary,
            **self._outcome(brought, refused),
            "columns": columns,
        }
        tables = {**self._rows, **({"raster_change": make_raster_rows(rows)} if rows else {}), **_skipped(refused)}
        done = [one.scene.product for one in brought]
        return BuildResult(
            EventDraft(self.recipe.event, payload, tables),
            [(one.path, one.checksums) for one in brought],
            check_still_valid=lambda later: self._refuse_taken(later, [one.row["raster_id"] for one in brought]),
            on_recorded=lambda: discard(done, self._root),
        )

    def _outcome(self, brought: Sequence[Brought], refused: Sequence[Refused]) -> dict[str, Any]:
        """What did not come to what was planned, as counts and warnings."""
        warnings = list(self._warnings)
        if refused:
            warnings.append(f"{told(refused)}; geographer update tries again")
        short = self._short(brought)
        if short:
            features = "feature is" if short == 1 else "features are"
            warnings.append(
                f"{short:,} {features} not shown by what was fetched for it, whose valid pixels end before: geographer "
                "update looks for another scene"
            )
        return {**({"short": short} if short else {}), **({"warnings": warnings} if warnings else {})}

    def _short(self, brought: Sequence[Brought]) -> int:
        """How many features the scenes that came do not contain, though the archive had said so."""
        if self.recipe.union:
            return 0
        stated = [(one.scene.product.footprint, one.scene.product.crs, one.scene.product.outline) for one in brought]
        came = [(one.scene.product.footprint, one.row["crs"], one.row["outline"]) for one in brought]
        missing = self._wanted.missing
        planned, actual = (
            {tuple(pair) for pair in shown(missing, places, union=False)[0].tolist()} for places in (stated, came)
        )
        return len({feature for _, feature in planned - actual})

    def _refuse_taken(self, later: Revision, raster_ids: list[str]) -> None:
        """Raise if rasters of these ids have come in the meantime."""
        standing = {row[0] for row in later.fetch_rows("SELECT raster_id FROM raster_now")}
        both = sorted(standing.intersection(raster_ids))
        if both:
            raise ConflictError(f"raster {quote_names(both)} was added while it was downloaded: run it again")


def _skipped(refused: Sequence[Refused]) -> dict[str, Any]:
    """What could not be had, as rows of the log."""
    if not refused:
        return {}
    columns = {
        "input": ["downloads"] * len(refused),
        "name": [one.product_id for one in refused],
        "reason": [one.reason for one in refused],
    }
    return {"skipped_input": make_row_table("skipped_input", columns)}
