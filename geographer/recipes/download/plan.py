"""The plan of a download: what was chosen; and its making: fetched, read into GeoTIFFs, and told as one event."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from geographer.errors import ConflictError, CorruptError, GeographerError, naming
from geographer.events import Draft
from geographer.intake.rasters import RasterOptions, raster_row, raster_rows
from geographer.log.tables import arrow_table
from geographer.recipes.download.brought import made, read_product
from geographer.recipes.download.finding import Found, Scene, Wanted, find
from geographer.recipes.download.moments import moment_of
from geographer.recipes.download.origin import key_of, origin_of, own_columns, raster_ids
from geographer.recipes.recipe import Outcome, Run, Workshop, recipe_entry
from geographer.sources.source import SourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from geographer.queries.revision import Revision
    from geographer.recipes.download.recipe import Download
    from geographer.sources.fetching import Fetched
    from geographer.sources.source import Source
    from geographer.values import Checksums

_FOLDER: Final = Path(".geographer") / "downloads"
_SCENES: Final = {
    "product_id": "string",
    "provider": "string",
    "acquired": "string",
    "cloud_cover": "float64",
    "bytes": "int64",
    "shows": "int64",
    "cost": "float64",
}
_UNFIT: Final = re.compile(r"[^\w.-]+")


@dataclass(frozen=True, slots=True)
class Brought:
    """A product that is a raster now: its row, what the log is to know of where it came from, and its file."""

    product_id: str
    row: dict[str, Any]
    origin: dict[str, Any]
    path: Path
    checksums: Checksums


@dataclass(frozen=True, slots=True)
class Refused:
    """A product that could not be had, or not be read, and why."""

    product_id: str
    reason: str


class DownloadPlan:
    """The scenes to fetch. The archive is searched when the plan is first looked at."""

    def __init__(
        self,
        recipe: Download,
        run: Run,
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
        return made(self.recipe)

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
    def empty(self) -> bool:
        """Whether nothing is missing that the archive has."""
        return not self._found.scenes

    def make(self, workshop: Workshop) -> Outcome:
        """Fetch the products, as many at once as the workshop has workers, and read each as soon as it is there.

        Raises:
            SourceError: not one of them could be had.
        """
        from geographer.sources.fetching import discard

        brought, refused = self._brought(workshop)
        if refused and not brought:
            raise SourceError(f"{_told(refused)}; what arrived is kept: run it again")
        columns, properties = own_columns([one.origin for one in brought])
        rows = [
            {**one.row, "change": "added", "recipe": self.recipe.name, "properties": own}
            for one, own in zip(brought, properties, strict=True)
        ]
        payload = {
            "recipe": recipe_entry(self.recipe),
            "collection": self.recipe.into,
            "rasters": len(brought),
            "failed": len(refused),
            **self.summary,
            "columns": columns,
        }
        tables = dict(self._rows)
        if rows:
            tables["raster_change"] = raster_rows(rows)
        if refused:
            payload["warnings"] = [*self._warnings, f"{_told(refused)}; geographer update tries again"]
            names, reasons = [one.product_id for one in refused], [one.reason for one in refused]
            skipped = {"input": ["downloads"] * len(refused), "name": names, "reason": reasons}
            tables["skipped_input"] = arrow_table("skipped_input", skipped)
        taken_over = {one.product_id for one in brought}
        done = [scene.product for scene in self.scenes if scene.product.product_id in taken_over]
        return Outcome(
            Draft(self.recipe.event, payload, tables),
            [(one.path, one.checksums) for one in brought],
            holds_at=lambda later: self._refuse_taken(later, [one.row["raster_id"] for one in brought]),
            afterwards=lambda: discard(self._root / _FOLDER, done),
        )

    def _brought(self, workshop: Workshop) -> tuple[list[Brought], list[Refused]]:
        """What was fetched and read, and what was not, each by id."""
        from geographer.sources.fetching import Fetched, fetch_all

        names = raster_ids(self.scenes, self._taken, self.recipe.into)
        scenes = {key_of(scene.product): scene for scene in self.scenes}
        products = [scene.product for scene in self.scenes]
        brought: list[Brought] = []
        refused: list[Refused] = []
        arrivals = fetch_all(
            self._source,
            products,
            self._root / _FOLDER,
            workers=workshop.workers,
            told=lambda done, of, arrived: workshop.progress(f"products, {arrived / 1e6:,.1f} MB", done, of),
        )
        with closing(arrivals):
            for arrival in arrivals:
                if not isinstance(arrival, Fetched):
                    refused.append(Refused(arrival.product.product_id, _without_paths(arrival.reason, workshop)))
                    continue
                key = key_of(arrival.product)
                try:
                    brought.append(self._read(arrival, scenes[key], names[key], workshop))
                except GeographerError as error:
                    refused.append(Refused(arrival.product.product_id, _without_paths(str(error), workshop)))
        return sorted(brought, key=lambda one: one.row["raster_id"]), sorted(refused, key=lambda one: one.product_id)

    def _read(self, fetched: Fetched, scene: Scene, raster_id: str, workshop: Workshop) -> Brought:
        """Turn what arrived into a GeoTIFF in the staging folder, described as a row.

        Raises:
            UsageError, CorruptError, StorageError: it can't be read; nothing is left in the staging folder.
        """
        from geographer.sources.fetching import discard

        product, path = fetched.product, workshop.staging / f"{raster_id}.tif"
        try:
            read = read_product(self.recipe, self._source, fetched, workshop.staging / "unpacked", path)
            options = RasterOptions(collection=self.recipe.into, footprint=self.recipe.footprint)
            row, checksums, _ = raster_row(path, self._root, options)
        except GeographerError as error:
            path.unlink(missing_ok=True)
            if isinstance(error, CorruptError):
                # What arrived was all that the archive stated, and still damaged: the next run fetches it anew.
                discard(self._root / _FOLDER, [product])
            raise
        told = read.facts.pop("acquired", None)
        when = moment_of(product.acquired or told)
        row["acquired"] = when.isoformat() if when else None
        return Brought(product.product_id, row, origin_of(fetched, scene, read), path, checksums)

    def _refuse_taken(self, later: Revision, raster_ids: list[str]) -> None:
        """Raise if rasters of these ids have come in the meantime."""
        standing = {row[0] for row in later.rows("SELECT raster_id FROM raster_now")}
        both = sorted(standing.intersection(raster_ids))
        if both:
            raise ConflictError(f"raster {naming(both)} was added while it was downloaded: run it again")


def _told(refused: Sequence[Refused]) -> str:
    """The failures, in words: how many, and why the first ones."""
    shown = "; ".join(f"'{one.product_id}': {one.reason}" for one in refused[:3])
    more = f"; and {len(refused) - 3:,} more" if len(refused) > 3 else ""
    return f"{len(refused):,} of the products could not be had ({shown}{more})"


def _without_paths(text: str, workshop: Workshop) -> str:
    """An error's text without this machine's paths: the log keeps it."""
    for folder in (workshop.staging / "unpacked", workshop.staging, workshop.root):
        text = text.replace(f"{folder}/", "")
    return text
