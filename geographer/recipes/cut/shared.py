"""The cut recipes: chips around features, or in a grid. Plans windows, makes chips, hands back `chips_cut`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.database.confine import evaluating
from geographer.database.engine import run_script
from geographer.errors import UsageError, naming
from geographer.events import Draft
from geographer.intake.rasters import check_name, nodata_text, raster_rows
from geographer.log.digests import canonical_json
from geographer.projections.project import MACROS
from geographer.recipes.recipe import OnConflict, Outcome, Workshop, recipe_entry
from geographer.values import Window

if TYPE_CHECKING:
    from geographer.queries.revision import Revision
    from geographer.rasters.cut import ChipMade, ChipOrder

AtBorder = Literal["shift", "pad", "skip"]

_CANDIDATES: Final = Path(__file__).with_name("around_candidates.sql")
_SOURCES: Final = """
    SELECT raster_id, width, height, transform[1] AS a, transform[2] AS b, transform[3] AS c, transform[4] AS d,
           transform[5] AS e, transform[6] AS f, path, crs, bands, nodata
    FROM raster_now WHERE collection = $collection AND storage <> 'catalogue' ORDER BY raster_id
"""
_EXISTING: Final = Path(__file__).with_name("existing_chips.sql")
_THERE: Final = (
    "SELECT raster_id, col, \"row\", width, height FROM existing_chip WHERE parent_is = 'there' ORDER BY ALL"
)
_HELD: Final = """
    SELECT feature_key, count(*) AS chips
    FROM edge_now JOIN existing_chip USING (raster_key) SEMI JOIN selected_feature USING (feature_key)
    WHERE contains AND parent_is = 'gone' GROUP BY feature_key
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cutting:
    """What both cuts share: size in pixels (width, height), which bands of which collection, and what borders do."""

    name: str
    size: tuple[int, int]
    source: str = "source"
    bands: tuple[int, ...] | None = None
    at_border: AtBorder = "shift"
    pad_value: float | None = None

    def parameters(self) -> dict[str, Any]:
        """Every field but the name, as JSON."""
        fields = {key: value for key, value in asdict(self).items() if key != "name"}
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}


def checked(cutting: Cutting, revision: Revision) -> None:
    """Raise unless the cut can be made at all: its name, its source, its bands."""
    check_name("recipe", cutting.name)
    revision.require_pixels(cutting.source)
    bands = revision.value("SELECT min(bands) FROM raster_now WHERE collection = $c", {"c": cutting.source})
    wrong = [band for band in cutting.bands or () if band < 1 or (bands is not None and band > bands)]
    if wrong:
        raise UsageError(f"--bands {wrong[0]}: the rasters of '{cutting.source}' have bands 1 to {bands}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAround(Cutting):
    """Chips around features: each selected feature is contained by `target_count` of them, where rasters allow."""

    kind: ClassVar[str] = "cut around"
    event: ClassVar[str] = "chips_cut"

    mode: Literal["centered", "random"] = "centered"
    seed: int = 0
    target_count: int = 1
    where: str | None = None

    def plan(self, revision: Revision, *, on_conflict: OnConflict | None = None) -> CutPlan:
        """The chips that features still lack. See `planning.windows.plan_around`."""
        from geographer.planning.windows import chip_name, plan_around

        checked(self, revision)
        run_script(revision.connection, MACROS.read_text())
        _look_up_existing(revision, self)
        # The keys in a table of their own: the candidates' query can begin with them.
        with evaluating(self.where):
            revision.connection.execute(
                "CREATE OR REPLACE TEMP TABLE selected_feature AS SELECT feature_key, feature_id FROM feature_now "  # noqa: S608
                "WHERE feature_id IN (SELECT feature_id::VARCHAR FROM features "
                f"WHERE {revision.where('features', self.where)}) "
                "ORDER BY feature_key"
            )
        planned = plan_around(
            revision.arrow(_CANDIDATES.read_text(), {"collection": self.source}),
            revision.arrow(_SOURCES, {"collection": self.source}),
            revision.arrow(_THERE),
            selected=revision.arrow("SELECT feature_key, feature_id FROM selected_feature ORDER BY feature_key"),
            held=revision.arrow(_HELD),
            size=self.size,
            mode=self.mode,
            seed=self.seed,
            target_count=self.target_count,
            at_border=self.at_border,
        )
        chips = planned.chips.to_pylist()
        unmet = _counted(planned.unmet["reason"].to_pylist())
        names = [chip_name(chip["raster_id"], chip["feature_id"]) for chip in chips]
        return CutPlan(
            self,
            revision,
            chips,
            _untaken(names, revision, self),
            {"features": revision.value("SELECT count(*) FROM selected_feature"), "unmet": unmet},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CutGrid(Cutting):
    """Chips that tile each raster of the collection from its upper left."""

    kind: ClassVar[str] = "cut grid"
    event: ClassVar[str] = "chips_cut"

    def plan(self, revision: Revision, *, on_conflict: OnConflict | None = None) -> CutPlan:
        """The cells that are not cut yet. See `planning.windows.plan_grid`."""
        from geographer.planning.windows import cell_name, plan_grid

        checked(self, revision)
        _look_up_existing(revision, self)
        planned = plan_grid(
            revision.arrow(_SOURCES, {"collection": self.source}),
            revision.arrow(_THERE),
            size=self.size,
            at_border=self.at_border,
        )
        chips = [{**chip, "feature_id": None} for chip in planned.chips.to_pylist()]
        names = [cell_name(chip["raster_id"], chip["col"], chip["row"]) for chip in chips]
        return CutPlan(self, revision, chips, names, {"unmet": _counted(planned.uncut["reason"].to_pylist())})


class CutPlan:
    """The chips to cut: for each the parent, the window and the name, and the counts of what can't be met."""

    def __init__(
        self,
        recipe: CutAround | CutGrid,
        revision: Revision,
        chips: list[dict[str, Any]],
        names: list[str],
        counts: dict[str, Any],
    ) -> None:
        self.recipe, self.chips, self.names = recipe, chips, names
        self.summary = {"chips": len(chips), **counts}
        sources = revision.arrow(_SOURCES, {"collection": recipe.source}).to_pylist()
        self._sources = {source["raster_id"]: source for source in sources}
        self._known = {
            row[0] for row in revision.rows("SELECT raster_id FROM raster_now WHERE recipe = $n", {"n": recipe.name})
        }
        self._refuse_unpaddable()

    @property
    def empty(self) -> bool:
        """Whether no chip is missing."""
        return not self.chips

    def make(self, workshop: Workshop) -> Outcome:
        """Cut the chips into the staging folder."""
        from geographer.rasters.cut import cut

        orders = [self._order(chip, name, workshop) for chip, name in zip(self.chips, self.names, strict=True)]
        crs = {str(workshop.root / source["path"]): source["crs"] for source in self._sources.values()}
        made: list[ChipMade] = []
        for chip in cut(orders, workers=workshop.workers_for(len(orders)), crs=crs):
            made.append(chip)
            workshop.progress("chips cut", len(made), len(orders))
        rows = [self._row(chip, name, one) for chip, name, one in zip(self.chips, self.names, made, strict=True)]
        draft = Draft(
            "chips_cut",
            {"recipe": recipe_entry(self.recipe), **self.summary},
            {"raster_change": raster_rows(rows)} if rows else {},
        )
        return Outcome(draft, [(Path(one.destination), one.checksums) for one in made])

    def _refuse_unpaddable(self) -> None:
        if self.recipe.at_border != "pad" or self.recipe.pad_value is not None:
            return
        bare = sorted({chip["raster_id"] for chip in self.chips if self._sources[chip["raster_id"]]["nodata"] is None})
        if bare:
            raise UsageError(
                f"raster {naming(bare)} has no nodata value to pad with: pass --pad-value N or --at-border shift"
            )

    def _order(self, chip: dict[str, Any], name: str, workshop: Workshop) -> ChipOrder:
        from geographer.rasters.cut import ChipOrder

        source = self._sources[chip["raster_id"]]
        pad = self.recipe.pad_value if self.recipe.pad_value is not None else source["nodata"]
        return ChipOrder(
            source=str(workshop.root / source["path"]),
            window=_window(chip),
            destination=str(workshop.staging / f"{name}.tif"),
            bands=self.recipe.bands,
            pad_value=pad if self.recipe.at_border == "pad" else None,
        )

    def _row(self, chip: dict[str, Any], name: str, made: ChipMade) -> dict[str, Any]:
        raster_id = f"{self.recipe.name}/{name}"
        return {
            "change": "changed" if raster_id in self._known else "added",
            "raster_id": raster_id,
            "collection": self.recipe.name,
            "path": f"rasters/{self.recipe.name}/{name}.tif",
            "storage": "dvc",
            "crs": made.grid.crs,
            "width": made.grid.width,
            "height": made.grid.height,
            "transform": canonical_json([float(number) for number in made.grid.transform]),
            "bands": made.count,
            "dtype": made.dtype,
            "nodata": nodata_text(made.nodata),
            "size": made.checksums.size,
            "md5": made.checksums.md5,
            "sha256": made.checksums.sha256,
            "pixel_digest": made.pixel_digest,
            "outline": _outline(made),
            "parent_id": chip["raster_id"],
            "col": chip["col"],
            "row": chip["row"],
            "recipe": self.recipe.name,
            "feature_id": chip["feature_id"],
            "properties": "{}",
        }


def _look_up_existing(revision: Revision, recipe: Cutting) -> None:
    """Make the temporary table `existing_chip`. Chips of a replaced raster count for nothing: they are cut anew."""
    revision.connection.execute(_EXISTING.read_text(), {"name": recipe.name, "collection": recipe.source})


def _untaken(names: list[str], revision: Revision, recipe: Cutting) -> list[str]:
    """The names, with `~2` (or 3 …) behind those of chips that stand around a feature's former place."""
    rows = revision.rows("SELECT chip_id FROM existing_chip WHERE parent_is = 'there'")
    taken = {row[0].removeprefix(f"{recipe.name}/") for row in rows}
    chosen = []
    for name in names:
        variants = (f"{name}~{number}" for number in count(2))
        chosen.append(next(variant for variant in chain([name], variants) if variant not in taken))
    return chosen


def _window(chip: dict[str, Any]) -> Window:
    return Window(chip["col"], chip["row"], chip["width"], chip["height"])


def _outline(made: ChipMade) -> bytes:
    """A chip's corners in its CRS, as rasterio computes them from its transform."""
    from geographer.rasters.read import outline_of

    return outline_of(made.grid)


def _counted(reasons: list[str]) -> dict[str, int]:
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}
