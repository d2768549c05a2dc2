"""Base of all cut recipes: rank the rasters, plan windows, cut the missing chips and retire chips no longer planned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from geographer.base.canonical_json import canonical_json
from geographer.base.errors import NotFoundError, UsageError, quote_objects
from geographer.base.values import Size, Window, validate_name
from geographer.operations.cut.windows.clipping import crosses_edge
from geographer.planning.raster_rows import make_raster_rows, nodata_to_text
from geographer.planning.recipe import BuildContext, BuildResult, RunOptions, fields_to_json, recipe_to_json
from geographer.planning.removed_rasters import make_dependent_removal_rows
from geographer.planning.selection import Selections, SelectionSpec
from geographer.storage.database.connection import run_script
from geographer.storage.database.sql_sandbox import translate_sql_errors, validate_order_by
from geographer.storage.events import EventDraft
from geographer.storage.state.update import MACROS

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.operations.cut.render import ChipResult, ChipTask
    from geographer.operations.cut.windows.plan_tables import WindowPredicate
    from geographer.storage.queries.revision import Revision

BandPatterns = tuple[tuple[str, tuple[int, ...]], ...]
"""Pairs of a glob pattern for raster ids and band numbers from 1. The first pattern that matches a raster applies."""

_RASTERS: Final = Path(__file__).with_name("rasters_to_cut.sql")
_CONTAINING_RASTERS: Final = Path(__file__).with_name("containing_rasters.sql")
_FEATURES_IN_PIXELS: Final = Path(__file__).with_name("features_in_pixels.sql")
_EXISTING_CHIPS: Final = "SELECT raster_id FROM current_raster WHERE recipe = $name"
_UNCHANGED_CHIPS: Final = Path(__file__).with_name("unchanged_chips.sql")


class WindowPlan(NamedTuple):
    """Windows of a recipe (`plan_tables.CHIPS_SCHEMA`), fields for the event's summary, rows for `recipe_input`."""

    chips: pa.Table
    summary_fields: dict[str, Any]
    recipe_inputs: tuple[pa.Table, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanningContext:
    """Input of `CutRecipe.plan_windows`.

    Attributes:
        revision: The dataset at the planned revision.
        run: Options of this run.
        is_new: Whether the recipe has not run before.
        existing_ids: Ids of the recipe's chips.
        rasters: The rasters to cut from, with the columns of `rasters_to_cut.sql`.
        chips: The recipe's chips whose parent raster is unchanged, as `plan_tables.CHIPS_SCHEMA`.
        selections: The selections of features and rasters.
        accepts_window: Whether a window has enough valid pixels; None: all windows are accepted.
    """

    revision: Revision
    run: RunOptions
    is_new: bool
    existing_ids: set[str]
    rasters: pa.Table
    chips: pa.Table
    selections: Selections
    accepts_window: WindowPredicate | None

    def select_features(self, where: SelectionSpec) -> pa.Table:
        """Stage the selected features as temp table `feature_to_cut` (feature_key, feature_id, rank) and return it."""
        self.selections.stage_selection("feature", where)
        self.revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE feature_to_cut AS SELECT feature_key, feature_id, "
            "row_number() OVER (ORDER BY added, feature_id) AS rank "
            "FROM current_feature JOIN feature_order USING (feature_id) SEMI JOIN filtered_feature USING (feature_id)"
        )
        return self.revision.fetch_arrow("FROM feature_to_cut ORDER BY rank")

    def fetch_pair_tables(self, where: SelectionSpec) -> tuple[pa.Table, pa.Table, pa.Table]:
        """Return the tables that `plan_around` takes: pairs of selected features and rasters, rasters, features."""
        features = self.select_features(where)
        return self.revision.fetch_arrow(_CONTAINING_RASTERS.read_text()), self.rasters, features

    def stage_features_in_pixels(self, where: SelectionSpec) -> None:
        """Stage the selected features in the pixels of each raster as temp table `feature_in_pixels`."""
        self.select_features(where)
        run_script(self.revision.connection, _FEATURES_IN_PIXELS.read_text())


@dataclass(frozen=True, slots=True, kw_only=True)
class CutRecipe(ABC):
    """A recipe that cuts chips from the rasters of a collection.

    Attributes:
        name: Name of the recipe and of the collection of its chips.
        size: Size of a chip.
        source: The collection to cut from.
        rasters_where: Selects rasters of the collection; None: all.
        order_by: SQL expressions that rank the rasters, or 'random'; None: by the order in which they were added.
        bands: Bands to cut, by raster id; all bands of rasters that match no pattern.
        pad_value: Value of padding in rasters without a nodata value.
        max_nodata: The greatest accepted fraction of nodata and padding in a chip; None: no limit.
        seed: Seed of random choices.
    """

    kind: ClassVar[str]
    event: ClassVar[str] = "chips_cut"

    name: str
    size: Size
    source: str = "source"
    rasters_where: SelectionSpec = None
    order_by: str | None = None
    bands: BandPatterns = ()
    pad_value: float | None = None
    max_nodata: float | None = None
    seed: int = 0

    @property
    @abstractmethod
    def allows_padding(self) -> bool:
        """Whether windows may cross the raster's edge."""

    @abstractmethod
    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """Plan all windows of the recipe at a revision, including those whose chips exist."""

    @property
    def is_order_random(self) -> bool:
        """Whether the order of the rasters is drawn from the seed."""
        return self.order_by == "random"

    def to_parameters(self) -> dict[str, Any]:
        """Return every field but the name as JSON."""
        return fields_to_json(self)

    def make_plan(self, revision: Revision, run: RunOptions) -> CutPlan:
        """Plan the chips to cut and to retire at a revision."""
        self._validate_parameters(revision)
        run_script(revision.connection, MACROS.read_text())
        selections, name = Selections(revision, self.name), {"name": self.name}
        rasters = self._rank_rasters(revision, selections)
        is_new = not revision.fetch_rows("SELECT 1 FROM recipes WHERE name = $name", name)
        self._validate_bands(rasters, is_new=is_new)
        self._validate_size(rasters)
        existing_ids = {id for (id,) in revision.fetch_rows(_EXISTING_CHIPS, name)}
        chips = revision.fetch_arrow(_UNCHANGED_CHIPS.read_text(), name | {"collection": self.source})
        accepts_window = self._make_window_predicate(rasters, chips, run)
        context = PlanningContext(revision, run, is_new, existing_ids, rasters, chips, selections, accepts_window)
        windows = self.plan_windows(context)
        summary_fields = {**windows.summary_fields, **selections.to_summary()}
        if warnings := [*selections.list_warnings(), *self._list_warnings(rasters, windows)]:
            summary_fields["warnings"] = warnings
        recipe_inputs = (*windows.recipe_inputs, *selections.to_rows().values())
        return CutPlan(self, context, WindowPlan(windows.chips, summary_fields, recipe_inputs))

    def select_bands(self, raster_id: str) -> tuple[int, ...] | None:
        """Return the bands, from 1, to cut from a raster; None: all."""
        return next((bands for pattern, bands in self.bands if fnmatchcase(raster_id, pattern)), None)

    def _validate_parameters(self, revision: Revision) -> None:
        validate_name("recipe", self.name)
        revision.require_pixels(self.source)
        if self.max_nodata is not None and not 0 <= self.max_nodata <= 1:
            raise UsageError(f"invalid --max-nodata {self.max_nodata:g}. Use a fraction from 0 to 1.")

    def _list_warnings(self, rasters: pa.Table, windows: WindowPlan) -> list[str]:
        if not len(rasters):
            return [f"no raster of '{self.source}' is selected. Check --rasters-where."]
        return ["no feature is selected. Check --where."] if windows.summary_fields.get("features") == 0 else []

    def _validate_size(self, rasters: pa.Table) -> None:
        too_small = [row["raster_id"] for row in rasters.to_pylist() if min(row["chip_width"], row["chip_height"]) <= 1]
        if too_small and self.size.unit == "m":
            raise UsageError(
                f"a chip of {self.size.width:g} x {self.size.height:g} m is only 1 pixel wide or high in raster "
                f"'{too_small[0]}'. Use a larger size, or a size in pixels."
            )

    def _validate_bands(self, rasters: pa.Table, *, is_new: bool) -> None:
        raster_ids = rasters["raster_id"].to_pylist()
        for raster_id, count in zip(raster_ids, rasters["bands"].to_pylist(), strict=True):
            invalid = [band for band in self.select_bands(raster_id) or () if not 1 <= band <= count]
            if invalid:
                raise UsageError(f"invalid --bands {invalid[0]}. Raster '{raster_id}' has bands 1 to {count}.")
        unmatched = [pattern for pattern, _ in self.bands if not any(fnmatchcase(id, pattern) for id in raster_ids)]
        if unmatched and raster_ids and is_new:
            raise NotFoundError(
                f"no raster of '{self.source}' matches --bands {unmatched[0]}=…. List them with geographer rasters."
            )

    def _rank_rasters(self, revision: Revision, selections: Selections) -> pa.Table:
        """Stage the selected rasters as temp table `raster_to_cut` (raster_id, sort_rank) and return them by rank."""
        selections.stage_selection("raster", self.rasters_where)
        order = "0"
        if self.is_order_random:
            revision.connection.execute("SET VARIABLE cut_seed = $seed", {"seed": str(self.seed)})
            order = "md5(getvariable('cut_seed') || ':' || raster_id)"
        elif self.order_by is not None:
            order = validate_order_by(revision.connection, self.order_by, revision.list_columns("rasters"))
        with translate_sql_errors(self.order_by, "--order-by"):
            revision.connection.execute(
                f"CREATE OR REPLACE TEMP TABLE raster_to_cut AS SELECT raster_id, rank() OVER (ORDER BY {order}\n) "  # noqa: S608
                "AS sort_rank FROM (FROM rasters SEMI JOIN filtered_raster USING (raster_id) SEMI JOIN (FROM "
                "current_raster WHERE collection = $collection AND storage <> 'catalogue') AS r USING (raster_id))",
                {"collection": self.source},
            )
        size = {"width": self.size.width, "height": self.size.height, "in_metres": self.size.unit == "m"}
        return revision.fetch_arrow(_RASTERS.read_text(), size)

    def _make_window_predicate(self, rasters: pa.Table, chips: pa.Table, run: RunOptions) -> WindowPredicate | None:
        """Return a predicate that accepts windows of existing chips and windows with at most `max_nodata`."""
        if self.max_nodata is None:
            return None
        from geographer.operations.cut.nodata_fraction import NodataFractions

        limit = self.max_nodata
        existing = set(list_windows(chips))
        fractions = NodataFractions({row["raster_id"]: str(run.root / row["path"]) for row in rasters.to_pylist()})

        def accepts_window(raster_id: str, window: Window) -> bool:
            return (raster_id, window) in existing or fractions.compute_fraction(raster_id, window) <= limit

        return accepts_window


class CutPlan:
    """The chips to cut and to retire: the difference between planned windows and existing chips."""

    def __init__(self, recipe: CutRecipe, context: PlanningContext, windows: WindowPlan) -> None:
        import pyarrow as pa

        self.recipe = recipe
        self._rasters = {raster["raster_id"]: raster for raster in context.rasters.to_pylist()}
        self._existing_ids = context.existing_ids
        unchanged = {_make_chip_key(chip) for chip in context.chips.to_pylist()}
        planned = windows.chips.to_pylist()
        self.chips = [chip for chip in planned if _make_chip_key(chip) not in unchanged]
        self.retired = sorted(context.existing_ids.difference(self._make_chip_id(chip) for chip in planned))
        self._log_rows = make_dependent_removal_rows(context.revision, self.retired)
        if windows.recipe_inputs:
            self._log_rows["recipe_input"] = pa.concat_tables(windows.recipe_inputs)
        self.summary_fields = {"chips": len(self.chips), "retired": len(self.retired), **windows.summary_fields}
        self._require_pad_values()

    @property
    def is_empty(self) -> bool:
        """Whether the existing chips are the planned ones."""
        return not self.chips and not self.retired

    def build_outputs(self, context: BuildContext) -> BuildResult:
        """Cut the chips into the staging folder."""
        from geographer.operations.cut.render import cut_chips

        tasks = [self._make_task(chip, context) for chip in self.chips]
        crs_by_path = {str(context.root / raster["path"]): raster["crs"] for raster in self._rasters.values()}
        results: list[ChipResult] = []
        for result in cut_chips(tasks, workers=context.count_workers(len(tasks)), crs_by_path=crs_by_path):
            results.append(result)
            context.progress("chips cut", len(results), len(tasks))
        rows = [self._make_row(chip, result) for chip, result in zip(self.chips, results, strict=True)]
        rows += [{"change": "removed", "raster_id": chip_id} for chip_id in self.retired]
        draft = EventDraft(
            "chips_cut",
            {"recipe": recipe_to_json(self.recipe), **self.summary_fields},
            {**({"raster_change": make_raster_rows(rows)} if rows else {}), **self._log_rows},
        )
        return BuildResult(draft, [(Path(result.destination), result.checksums) for result in results])

    def _require_pad_values(self) -> None:
        if not self.recipe.allows_padding or self.recipe.pad_value is not None:
            return
        missing = set()
        for chip in self.chips:
            raster = self._rasters[chip["raster_id"]]
            if raster["nodata"] is None and crosses_edge(get_window(chip), raster["width"], raster["height"]):
                missing.add(chip["raster_id"])
        if missing:
            raise UsageError(
                f"{quote_objects('raster', sorted(missing), 'has|have')} no nodata value for "
                "padding. Pass --pad-value N, or "
                "shift chips inside the raster."
            )

    def _make_chip_id(self, chip: dict[str, Any]) -> str:
        return f"{self.recipe.name}/{chip['name']}"

    def _make_task(self, chip: dict[str, Any], context: BuildContext) -> ChipTask:
        from geographer.operations.cut.render import ChipTask

        raster = self._rasters[chip["raster_id"]]
        pad_value = self.recipe.pad_value if self.recipe.pad_value is not None else raster["nodata"]
        return ChipTask(
            raster_path=str(context.root / raster["path"]),
            window=get_window(chip),
            destination=str(context.staging / f"{chip['name']}.tif"),
            bands=self.recipe.select_bands(chip["raster_id"]),
            pad_value=pad_value if self.recipe.allows_padding else None,
        )

    def _make_row(self, chip: dict[str, Any], result: ChipResult) -> dict[str, Any]:
        from geographer.rasters.read import grid_footprint_wkb

        raster_id = self._make_chip_id(chip)
        return {
            "change": "changed" if raster_id in self._existing_ids else "added",
            "raster_id": raster_id,
            "collection": self.recipe.name,
            "path": f"rasters/{raster_id}.tif",
            "storage": "dvc",
            "crs": result.grid.crs,
            "width": result.grid.width,
            "height": result.grid.height,
            "transform": canonical_json([float(number) for number in result.grid.transform]),
            "bands": result.band_count,
            "dtype": result.dtype,
            "nodata": nodata_to_text(result.nodata),
            "size": result.checksums.size,
            "md5": result.checksums.md5,
            "sha256": result.checksums.sha256,
            "pixel_digest": result.pixel_digest,
            "outline": grid_footprint_wkb(result.grid),
            "parent_id": chip["raster_id"],
            "col": chip["col"],
            "row": chip["row"],
            "recipe": self.recipe.name,
            "feature_id": chip["feature_id"],
            "properties": "{}",
        }


def get_window(chip: dict[str, Any]) -> Window:
    """Return the window of a row with `col`, `row`, `width` and `height`."""
    return Window(*(chip[name] for name in Window._fields))


def _make_chip_key(chip: dict[str, Any]) -> tuple[str, str, Window]:
    return chip["name"], chip["raster_id"], get_window(chip)


def list_windows(chips: pa.Table) -> list[tuple[str, Window]]:
    """Return the parent's id and the window of each chip."""
    return [(chip["raster_id"], get_window(chip)) for chip in chips.to_pylist()]


def count_reasons(table: pa.Table) -> dict[str, int]:
    """Count the rows of a table by their `reason`, sorted."""
    return dict(sorted(Counter(table["reason"].to_pylist()).items()))
