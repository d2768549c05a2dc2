"""The recipe `download`: its parameters, the features that lack rasters, and the products that exist already."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.base.errors import ConflictError, UsageError
from geographer.base.timestamps import parse_time_option
from geographer.base.values import validate_name
from geographer.operations.download.convert import check_reader
from geographer.operations.download.deduplicate import ProductProcessing
from geographer.operations.download.metadata_columns import METADATA_COLUMNS
from geographer.operations.download.plan import DownloadPlan
from geographer.operations.download.search import SearchRequest, TimeRange
from geographer.planning.recipe import fields_to_json
from geographer.planning.selection import Selections
from geographer.storage.database.connection import run_script
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geographer.base.plugins import PluginRef
    from geographer.planning.recipe import RunOptions
    from geographer.planning.selection import SelectionSpec
    from geographer.storage.queries.revision import Revision

_FOLDER: Final = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadRecipe:
    """Download the fewest scenes such that `target_count` rasters contain each selected feature.

    Attributes:
        name: Name of the recipe.
        archive: The source: 'eodag', 'alos' or a custom one.
        provider: Operator of the archive; None: the source's default.
        product_collection: The archive's collection (product type).
        start: Earliest acquisition time, ISO 8601, UTC without an offset.
        end: Latest acquisition time; a date includes its whole day.
        max_cloud: Maximum cloud cover in percent. Scenes without a stated cloud cover pass.
        near: Prefer scenes near this time. None: the middle of `start` and `end`, or else the newest scene's time.
        query: Further search parameters, as the archive names them.
        options: Options of the source.
        into: Collection of the downloaded rasters; its rasters count as covering features.
        where: Selects features; None: all.
        rasters_where: Selects rasters of the collection that count. It may name columns that downloads add, even before
            the first download.
        target_count: Number of rasters that must contain each feature.
        union: Let rasters cover each feature together instead.
        keep_twins: Keep all processings of an acquisition, not only the newest.
        footprint: Area that a raster covers: its 'bounds' or its 'valid' pixels.
        reader: Name of the reader; None: chosen by the files.
        bands: Names of the bands to read; empty: the reader's default.
        resolution: Pixel size in metres or units of the CRS; None: the finest.
        reading: Options of the reader.
        time_limit: Seconds for proving that the number of scenes is minimal.
    """

    kind: ClassVar[str] = "download"
    event: ClassVar[str] = "rasters_downloaded"

    name: str
    archive: PluginRef
    provider: str | None = None
    product_collection: str | None = None
    start: str | None = None
    end: str | None = None
    max_cloud: float | None = None
    near: str | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    into: str = "source"
    where: SelectionSpec = None
    rasters_where: SelectionSpec = None
    target_count: int = 1
    union: bool = False
    keep_twins: bool = False
    footprint: Literal["bounds", "valid"] = "valid"
    reader: str | None = None
    bands: tuple[str, ...] = ()
    resolution: float | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float = 60.0

    def to_parameters(self) -> dict[str, Any]:
        """Return every field except the name as JSON."""
        return fields_to_json(self)

    def make_plan(self, revision: Revision, run: RunOptions) -> DownloadPlan:
        """Plan a download at `revision`. The plan searches the archive when it is first read, without a lock held."""
        time_range = self._validate_parameters(revision)
        run_script(revision.connection, MACROS.read_text())
        selections = Selections(revision, self.name)
        selections.stage_selection("feature", self.where)
        selections.stage_selection("raster", self.rasters_where, METADATA_COLUMNS)
        run_script(revision.connection, (_FOLDER / "features_to_cover.sql").read_text())
        n_features = int(revision.fetch_value("SELECT count(*) FROM feature_to_cover"))
        request = SearchRequest(
            features=self._find_uncovered_features(revision),
            existing_products=self._find_existing_products(revision),
            time_range=time_range,
            target_time=parse_time_option(self.near, "--near"),
        )
        used_ids = {row[0] for row in revision.fetch_rows("SELECT raster_id FROM current_raster")}
        # Never overwrite a file that the log does not know.
        used_ids |= {path.stem for path in (run.root / "rasters" / self.into).glob("*.tif")}
        counts = {"features": n_features, **selections.to_summary()}
        warnings = selections.list_warnings() + ([] if n_features else [_warn_no_features(revision)])
        return DownloadPlan(self, run, request, used_ids, counts, warnings, selections.to_rows())

    def _validate_parameters(self, revision: Revision) -> TimeRange:
        """Check the parameters and return the time range."""
        validate_name("recipe", self.name)
        validate_name("collection", self.into)
        if revision.fetch_value("SELECT 1 FROM recipes WHERE name = $into AND kind LIKE 'cut%'", {"into": self.into}):
            raise ConflictError(f"collection '{self.into}' contains a recipe's chips. Choose another --to-collection.")
        check_reader(self)
        start, end = parse_time_option(self.start, "--start"), parse_time_option(self.end, "--end", end_of_day=True)
        if start and end and start > end:
            raise UsageError(f"--start {self.start} is after --end {self.end}. Swap them.")
        return start, end

    def _find_uncovered_features(self, revision: Revision) -> Any:
        """Return the features that lack rasters, as described in `SearchRequest.features`."""
        parameters = {"collection": self.into}
        if self.union:
            return revision.fetch_arrow((_FOLDER / "uncovered_area.sql").read_text(), parameters)
        sql = (_FOLDER / "features_lacking_rasters.sql").read_text()
        return revision.fetch_arrow(sql, {**parameters, "target_count": self.target_count})

    def _find_existing_products(self, revision: Revision) -> list[ProductProcessing]:
        """Return the products in the collection, and those that a user removed from it."""
        rows = revision.fetch_rows((_FOLDER / "existing_products.sql").read_text(), {"collection": self.into})
        return [ProductProcessing(product_id, json.loads(texts), footprint) for product_id, texts, footprint in rows]


def _warn_no_features(revision: Revision) -> str:
    if revision.fetch_value("SELECT count(*) FROM current_feature"):
        return "No feature is selected. Check --where."
    return "The dataset has no features. Add some with: geographer add features"
