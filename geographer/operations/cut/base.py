"""What all cuts share: the rasters that they cut from, and the way from wanted windows to chips made and retired."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import NotFoundError, UsageError, quote_names
from geographer.base.values import Size, Window, validate_name
from geographer.planning.raster_rows import make_raster_rows, nodata_to_text
from geographer.planning.recipe import BuildContext, BuildResult, RunOptions, recipe_to_json
from geographer.planning.removed_rasters import make_dependent_removal_rows
from geographer.planning.selection import Selections, SelectionSpec
from geographer.storage.database.connection import run_script
from geographer.storage.database.sql_sandbox import translate_sql_errors, validate_order_by
from geographer.storage.events import EventDraft
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.operations.cut.render import ChipMade, ChipOrder
    from geographer.operations.cut.windows.plan_tables import Fits
    from geographer.storage.queries.revision import Revision

Bands = tuple[tuple[str, tuple[int, ...]], ...]
"""Which bands, for the rasters whose id fits a pattern: the first that does counts."""

RANDOM: Final = "random"
_SCENES: Final = Path(__file__).with_name("rasters_to_cut.sql")
_EXISTING: Final = Path(__file__).with_name("existing_chips.sql")


class Wanted(NamedTuple):
    """The windows that a recipe wants (`planning.windows.CHIPS`), its counts, and rows that it adds to the event."""

    chips: pa.Table
    counts: dict[str, Any]
    rows: dict[str, Any] = {}  # noqa: RUF012


@dataclass(frozen=True, slots=True)
class Ground:
    """What a plan of windows stands on.

    Attributes:
        revision: The state of the dataset.
        run: How this run was asked for.
        rasters: The rasters to cut from, as `rasters_to_cut.sql` gives them.
        existing: The recipe's chips whose raster is there as it was when they were cut: `chip_id`, `raster_id`, and
            the window in its pixels.
        choices: Which features and rasters are taken.
        fits: Whether a window will do, by its pixels; None where all do.
    """

    revision: Revision
    run: RunOptions
    rasters: pa.Table
    existing: pa.Table
    choices: Selections
    fits: Fits | None

    def select_features(self, where: SelectionSpec) -> pa.Table:
        """The features that a recipe is about, in their order, also as the table `selected_feature`."""
        self.choices.stage_selection("feature", where)
        self.revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE selected_feature AS SELECT feature_key, feature_id, "
            "row_number() OVER (ORDER BY added, feature_id) AS turn "
            "FROM feature_now JOIN feature_order USING (feature_id) SEMI JOIN chosen_feature USING (feature_id)"
        )
        return self.revision.fetch_arrow("FROM selected_feature ORDER BY turn")


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRecipe(ABC):
    """A cut recipe: what it is called, which rasters it cuts in which order, and which of their bands.

    Attributes:
        name: Its name, and that of the collection of its chips.
        size: Of a chip.
        source: The collection that it cuts from.
        rasters_where: Only these of the collection's rasters.
        order_by: Which rasters come first, in SQL, or 'random'; those added first when left out.
        bands: Which bands of which rasters; all of those that no pattern fits.
        pad_value: What to pad with where a raster has no nodata value.
        max_nodata: The largest share of a chip's pixels that may be nodata or padding; None: any.
        seed: Of what is random.
    """

    kind: ClassVar[str]
    event: ClassVar[str] = "chips_cut"

    name: str
    size: Size
    source: str = "source"
    rasters_where: SelectionSpec = None
    order_by: str | None = None
    bands: Bands = ()
    pad_value: float | None = None
    max_nodata: float | None = None
    seed: int = 0

    @property
    @abstractmethod
    def padded(self) -> bool:
        """Whether windows may reach over their raster's edge."""

    @abstractmethod
    def windows(self, ground: Ground) -> Wanted:
        """All windows that the recipe wants of this revision, whether they are cut already or not."""

    def to_parameters(self) -> dict[str, Any]:
        """Every field but the name, as JSON."""
        return {one.name: _as_json(getattr(self, one.name)) for one in fields(self) if one.name != "name"}

    def make_plan(self, revision: Revision, run: RunOptions) -> CutPlan:
        """What differs between the windows that are wanted and the chips that there are."""
        self._check(revision)
        run_script(revision.connection, MACROS.read_text())
        choices = Selections(revision, self.name)
        rasters = self._scenes(revision, choices)
        new = not revision.fetch_rows("SELECT 1 FROM recipes WHERE name = $name", {"name": self.name})
        self._check_bands(rasters, new=new)
        self._check_size(rasters)
        run_script(revision.connection, _EXISTING.read_text(), {"name": self.name, "collection": self.source})
        existing = revision.fetch_arrow("FROM existing_chip WHERE parent_is_there ORDER BY chip_id")
        ground = Ground(revision, run, rasters, existing, choices, self._fits(rasters, existing, run))
        wanted = self.windows(ground)
        warnings = [*choices.list_warnings(), *self._warnings(rasters, wanted)]
        counts = {**wanted.counts, **choices.to_summary(), **({"warnings": warnings} if warnings else {})}
        wanted = wanted._replace(rows=_with_rows(wanted.rows, choices.to_rows()), counts=counts)
        return CutPlan(self, ground, wanted)

    def bands_of(self, raster_id: str) -> tuple[int, ...] | None:
        """Which bands of a raster are cut, from 1; None: all."""
        return next((bands for pattern, bands in self.bands if fnmatchcase(raster_id, pattern)), None)

    def _check(self, revision: Revision) -> None:
        validate_name("recipe", self.name)
        revision.require_pixels(self.source)
        if self.max_nodata is not None and not 0 <= self.max_nodata <= 1:
            raise UsageError(f"--max-nodata {self.max_nodata:g} is no share: pass 0 to 1")

    def _warnings(self, rasters: pa.Table, wanted: Wanted) -> list[str]:
        """What may be a slip of the pen."""
        if not len(rasters):
            return [f"no raster of '{self.source}' is chosen: see --rasters-where"]
        return ["no feature is selected: see --where"] if wanted.counts.get("features") == 0 else []

    def _check_size(self, rasters: pa.Table) -> None:
        if self.size.unit != "m":
            return
        for raster in rasters.to_pylist():
            if min(raster["chip_width"], raster["chip_height"]) <= 1:
                raise UsageError(
                    f"{self.size.width:g} x {self.size.height:g} m are but a pixel wide in raster "
                    f"'{raster['raster_id']}': give a larger size, or one in pixels"
                )

    def _check_bands(self, rasters: pa.Table, *, new: bool) -> None:
        for raster_id, count in zip(rasters["raster_id"].to_pylist(), rasters["bands"].to_pylist(), strict=True):
            wrong = [band for band in self.bands_of(raster_id) or () if not 1 <= band <= count]
            if wrong:
                raise UsageError(f"--bands {wrong[0]}: raster '{raster_id}' has bands 1 to {count}")
        names = rasters["raster_id"].to_pylist()
        idle = [pattern for pattern, _ in self.bands if not any(fnmatchcase(name, pattern) for name in names)]
        if idle and names and new:
            raise NotFoundError(
                f"--bands {idle[0]}=…: no raster of '{self.source}' is called so; see geographer rasters"
            )

    def _scenes(self, revision: Revision, choices: Selections) -> pa.Table:
        """The rasters to cut from, in order."""
        choices.stage_selection("raster", self.rasters_where)
        columns = revision.list_columns("rasters")
        order = "0"
        if self.order_by == RANDOM:
            revision.connection.execute("SET VARIABLE cut_seed = $seed", {"seed": str(self.seed)})
            order = "md5(getvariable('cut_seed') || ':' || raster_id)"
        elif self.order_by is not None:
            order = validate_order_by(revision.connection, self.order_by, columns)
        with translate_sql_errors(self.order_by, "--order-by"):
            revision.connection.execute(
                f"CREATE OR REPLACE TEMP TABLE ranked_raster AS SELECT raster_id, rank() OVER (ORDER BY {order}\n) "  # noqa: S608
                "AS place FROM (FROM rasters SEMI JOIN chosen_raster USING (raster_id))"
            )
        size = {"width": self.size.width, "height": self.size.height, "in_metres": self.size.unit == "m"}
        return revision.fetch_arrow(_SCENES.read_text(), {"collection": self.source, **size})

    def _fits(self, rasters: pa.Table, existing: pa.Table, run: RunOptions) -> Fits | None:
        """Whether a window has pixels enough; chips that there are had."""
        if self.max_nodata is None:
            return None
        from geographer.operations.cut.nodata_fraction import NodataShares

        most = self.max_nodata
        known = {(chip["raster_id"], _window(chip)) for chip in existing.to_pylist()}
        shares = NodataShares({row["raster_id"]: str(run.root / row["path"]) for row in rasters.to_pylist()})
        return lambda raster_id, window: (raster_id, window) in known or shares.of(raster_id, window) <= most


class CutPlan:
    """The chips to cut, those to retire, and the counts of what can't be met."""

    def __init__(self, recipe: CutRecipe, ground: Ground, wanted: Wanted) -> None:
        self.recipe = recipe
        self._sources = {source["raster_id"]: source for source in ground.rasters.to_pylist()}
        rows = ground.revision.fetch_rows(
            "SELECT raster_id FROM raster_now WHERE recipe = $name", {"name": recipe.name}
        )
        self._known = {row[0] for row in rows}
        standing = {(chip["chip_id"], chip["raster_id"], _window(chip)) for chip in ground.existing.to_pylist()}
        due = {f"{recipe.name}/{chip['name']}": chip for chip in wanted.chips.to_pylist()}
        self.chips = [chip for name, chip in due.items() if (name, chip["raster_id"], _window(chip)) not in standing]
        self.retired = sorted(self._known.difference(due))
        self._rows = {**wanted.rows, **make_dependent_removal_rows(ground.revision, self.retired)}
        self.summary = {"chips": len(self.chips), "retired": len(self.retired), **wanted.counts}
        self._refuse_unpaddable()

    @property
    def is_empty(self) -> bool:
        """Whether the chips are what they should be."""
        return not self.chips and not self.retired

    def build_outputs(self, workshop: BuildContext) -> BuildResult:
        """Cut the chips into the staging folder."""
        from geographer.operations.cut.render import cut

        orders = [self._order(chip, workshop) for chip in self.chips]
        crs = {str(workshop.root / source["path"]): source["crs"] for source in self._sources.values()}
        made: list[ChipMade] = []
        for chip in cut(orders, workers=workshop.count_workers(len(orders)), crs=crs):
            made.append(chip)
            workshop.progress("chips cut", len(made), len(orders))
        rows = [self._row(chip, one) for chip, one in zip(self.chips, made, strict=True)]
        rows += [{"change": "removed", "raster_id": chip_id} for chip_id in self.retired]
        draft = EventDraft(
            "chips_cut",
            {"recipe": recipe_to_json(self.recipe), **self.summary},
            {**({"raster_change": make_raster_rows(rows)} if rows else {}), **self._rows},
        )
        return BuildResult(draft, [(Path(one.destination), one.checksums) for one in made])

    def _refuse_unpaddable(self) -> None:
        if not self.recipe.padded or self.recipe.pad_value is not None:
            return
        bare = [
            chip["raster_id"]
            for chip in self.chips
            if self._sources[chip["raster_id"]]["nodata"] is None and self._reaches_over(chip)
        ]
        if bare:
            raise UsageError(
                f"raster {quote_names(sorted(set(bare)))} has no nodata value to pad with: pass --pad-value N, or let chips "
                "be shifted"
            )

    def _reaches_over(self, chip: dict[str, Any]) -> bool:
        source, window = self._sources[chip["raster_id"]], _window(chip)
        return (
            min(window.col, window.row) < 0
            or window.col + window.width > source["width"]
            or window.row + window.height > source["height"]
        )

    def _order(self, chip: dict[str, Any], workshop: BuildContext) -> ChipOrder:
        from geographer.operations.cut.render import ChipOrder

        source = self._sources[chip["raster_id"]]
        pad = self.recipe.pad_value if self.recipe.pad_value is not None else source["nodata"]
        return ChipOrder(
            source=str(workshop.root / source["path"]),
            window=_window(chip),
            destination=str(workshop.staging / f"{chip['name']}.tif"),
            bands=self.recipe.bands_of(chip["raster_id"]),
            pad_value=pad if self.recipe.padded else None,
        )

    def _row(self, chip: dict[str, Any], made: ChipMade) -> dict[str, Any]:
        raster_id = f"{self.recipe.name}/{chip['name']}"
        return {
            "change": "changed" if raster_id in self._known else "added",
            "raster_id": raster_id,
            "collection": self.recipe.name,
            "path": f"rasters/{self.recipe.name}/{chip['name']}.tif",
            "storage": "dvc",
            "crs": made.grid.crs,
            "width": made.grid.width,
            "height": made.grid.height,
            "transform": canonical_json([float(number) for number in made.grid.transform]),
            "bands": made.count,
            "dtype": made.dtype,
            "nodata": nodata_to_text(made.nodata),
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


def counted(reasons: list[str]) -> dict[str, int]:
    """How often each reason stands there, by reason."""
    return dict(sorted(Counter(reasons).items()))


def _with_rows(rows: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Rows of the log's tables, and more of them."""
    import pyarrow as pa

    return {
        table: pa.concat_tables([part[table] for part in (rows, more) if table in part])
        for table in sorted({*rows, *more})
    }


def _window(chip: dict[str, Any]) -> Window:
    return Window(chip["col"], chip["row"], chip["width"], chip["height"])


def _outline(made: ChipMade) -> bytes:
    """A chip's corners in its CRS, as rasterio computes them from its transform."""
    from geographer.rasters.read import grid_outline_wkb

    return grid_outline_wkb(made.grid)


def _as_json(value: Any) -> Any:
    """A field as the log keeps it; whole numbers as such."""
    if hasattr(value, "as_json"):
        return value.as_json()
    if isinstance(value, tuple):
        return [_as_json(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
