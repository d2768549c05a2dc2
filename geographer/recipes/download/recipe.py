"""The recipe `download`: what is asked of which archive, and what is missing of it at a revision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.database.engine import run_script
from geographer.errors import ConflictError, UsageError
from geographer.intake.rasters import check_name
from geographer.projections.project import MACROS
from geographer.recipes.choice import Choice, Choices
from geographer.recipes.download.brought import SourceName, check_reader
from geographer.recipes.download.finding import Wanted
from geographer.recipes.download.moments import asked_moment
from geographer.recipes.download.origin import COLUMNS
from geographer.recipes.download.plan import DownloadPlan

if TYPE_CHECKING:
    from geographer.queries.revision import Revision
    from geographer.recipes.recipe import Run

_FOLDER: Final = Path(__file__).parent
_SELECT: Final = (
    "CREATE OR REPLACE TEMP TABLE selected_feature AS SELECT feature_key, "
    "row_number() OVER (ORDER BY added, feature_id) AS turn "
    "FROM feature_now JOIN feature_order USING (feature_id) SEMI JOIN chosen_feature USING (feature_id)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """The fewest scenes of an archive such that `target_count` rasters contain every selected feature.

    Attributes:
        name: The recipe's name.
        archive: Of which kind: 'eodag', 'alos', or one of a person's own.
        provider: Whose; the source's own choice when None.
        product_collection: The archive's own collection (product type).
        start: The first moment of acquisition, ISO 8601, UTC where there is no offset.
        end: The last one; a date is meant to its end.
        max_cloud: The highest cloud cover, in percent. Scenes that state none pass.
        near: The moment that scenes should be near to; the middle of `start` and `end`, or else the newest scene's.
        query: More that the archive is asked for, in its own words.
        options: The source's own.
        into: The collection that the rasters go to, and whose rasters count.
        where: Only these features.
        rasters_where: Only these rasters of the collection count. What downloads tell of rasters may be named before
            the first of them ran.
        target_count: How many rasters are to contain each feature.
        union: Rasters are to cover each feature together instead.
        keep_twins: All processings of an acquisition count, not only the newest.
        footprint: What of a raster counts: all of its 'bounds', or its 'valid' pixels.
        reader: Which reader; the one that knows the files when None.
        bands: Which bands, by name; the reader's choice when empty.
        resolution: Of the pixels, in metres or units of the CRS; the finest when None.
        reading: The reader's own options.
        time_limit: How many seconds the proof that the scenes are the fewest may take.
    """

    kind: ClassVar[str] = "download"
    event: ClassVar[str] = "rasters_downloaded"

    name: str
    archive: SourceName
    provider: str | None = None
    product_collection: str | None = None
    start: str | None = None
    end: str | None = None
    max_cloud: float | None = None
    near: str | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    into: str = "source"
    where: Choice = None
    rasters_where: Choice = None
    target_count: int = 1
    union: bool = False
    keep_twins: bool = False
    footprint: Literal["bounds", "valid"] = "valid"
    reader: str | None = None
    bands: tuple[str, ...] = ()
    resolution: float | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    time_limit: float = 60.0

    def parameters(self) -> dict[str, Any]:
        """Every field but the name, as JSON."""
        return {one.name: _as_json(getattr(self, one.name)) for one in fields(self) if one.name != "name"}

    def plan(self, revision: Revision, run: Run) -> DownloadPlan:
        """What is missing at this revision; the archive is searched when the plan is looked at, with no file held."""
        self._check(revision)
        run_script(revision.connection, MACROS.read_text())
        choices = Choices(revision, self.name)
        choices.choose("feature", self.where)
        choices.choose("raster", self.rasters_where, COLUMNS)
        revision.connection.execute(_SELECT)
        selected = int(revision.value("SELECT count(*) FROM selected_feature"))
        wanted = Wanted(
            missing=self._missing(revision),
            known=self._known(revision),
            span=(asked_moment(self.start, "--start"), asked_moment(self.end, "--end", last=True)),
            near=asked_moment(self.near, "--near"),
        )
        taken = {row[0] for row in revision.rows("SELECT raster_id FROM raster_now")}
        # A file that the log does not know is not to be written over.
        taken |= {path.stem for path in (run.root / "rasters" / self.into).glob("*.tif")}
        counts = {"features": selected, **choices.counts()}
        warnings = [*choices.warnings(), *(["no feature is selected: see --where"] if not selected else [])]
        return DownloadPlan(self, run, wanted, taken, counts, warnings, choices.rows())

    def _check(self, revision: Revision) -> None:
        check_name("recipe", self.name)
        check_name("collection", self.into)
        if revision.value("SELECT 1 FROM recipes WHERE name = $into AND kind LIKE 'cut%'", {"into": self.into}):
            raise ConflictError(f"'{self.into}' is the collection of a recipe's chips: take another --into")
        check_reader(self)
        start, end = asked_moment(self.start, "--start"), asked_moment(self.end, "--end", last=True)
        if start and end and start > end:
            raise UsageError(f"--start {self.start} is after --end {self.end}: turn them round")

    def _missing(self, revision: Revision) -> Any:
        """What is to be shown: `feature_key`, `feature_id`, `geometry` (WKB, longitude/latitude) and `lacking`."""
        if self.union:
            return revision.arrow((_FOLDER / "uncovered.sql").read_text(), {"collection": self.into})
        return revision.arrow(
            (_FOLDER / "missing.sql").read_text(), {"collection": self.into, "target_count": self.target_count}
        )

    def _known(self, revision: Revision) -> list[tuple[str, dict[str, Any]]]:
        """Id and properties of the products that the collection has, and of those that a person removed from it."""
        rows = revision.rows((_FOLDER / "known.sql").read_text(), {"collection": self.into})
        return [(product_id, json.loads(properties)) for product_id, properties in rows]


def _as_json(value: Any) -> Any:
    """A field as the log keeps it; whole numbers as such."""
    if hasattr(value, "as_json"):
        return value.as_json()
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, Mapping):
        return dict(value)
    return int(value) if isinstance(value, float) and value.is_integer() else value
