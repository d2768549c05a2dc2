"""Base of all cut recipes: rank the rasters, plan windows, cut the missing chips and retire chips no longer planned."""

import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, NamedTuple

from msgspec import UNSET, UnsetType

from geographer.base.errors import ConflictError, NotFoundError, UsageError, quote_objects
from geographer.base.parameters import Parameter
from geographer.base.values import Checksums, Size, Window, clip_window, validate_name
from geographer.operations.cut.chip_labels import ChipLabels, add_label_rows
from geographer.operations.cut.chip_rows import (
    describe_chip_file,
    describe_virtual_chip,
    list_virtual_ids,
    read_recorded_rasters,
)
from geographer.operations.cut.events import ChipsCut, ChipsCutV1, CoverReport, CutterRun
from geographer.operations.cut.windows.chip_names import make_names_distinct
from geographer.operations.cut.windows.chips import Chip, Shortage, WindowFilter
from geographer.planning.collections import require_pixels
from geographer.planning.raster_rows import make_raster_rows
from geographer.planning.recipe import Recipe, find_recipe, list_recipe_records, list_recipes
from geographer.planning.removed_rasters import make_dependent_removal_rows
from geographer.planning.selection import Selection, Selections
from geographer.planning.shared_parameters import NAME_SCHEMA, RasterSelection, parse_size
from geographer.storage.database.connection import run_script
from geographer.storage.database.sql_sandbox import translate_sql_errors, validate_order_by
from geographer.storage.queries.remembered_removals import stage_remembered_removals
from geographer.storage.queries.renamings import stage_renamings
from geographer.storage.queries.revision import Revision
from geographer.storage.request import BuildContext, Change, PlanContext, PlannedFile, PlannedFiles
from geographer.storage.state.update import MACROS
from geographer.storage.workspace.source_rasters import ReplacingFile, SourceRasters

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

BandPatterns = tuple[tuple[str, tuple[int, ...]], ...]
"""Pairs of a glob pattern for raster ids and band numbers from 1. The first pattern that matches a raster applies."""

_FOLDER: Final = Path(__file__).parent
_INPUT_PARAMETERS: Final = ("collection", "source")
"""The parameters in which the log records the collection that a recipe uses."""
_REMOVED: Final = "removed (geographer restore rasters brings them back)"
"""Why a planned chip is not cut, as events record it."""
_VIRTUAL: Final = Parameter(
    "Record windows only; chips are read from their rasters, until geographer materialise writes them.",
    records_default=False,
    since=2,
)


class WindowPlan(NamedTuple):
    """Windows of a recipe, what gets too few, fields of `ChipsCut`, and rows for `recipe_input`."""

    chips: Sequence[Chip]
    unmet: Sequence[Shortage] = ()
    features: int | UnsetType = UNSET
    boxes: int | UnsetType = UNSET
    cover: CoverReport | UnsetType = UNSET
    cutter: CutterRun | UnsetType = UNSET
    recipe_inputs: tuple["pa.Table", ...] = ()


@dataclass(frozen=True, slots=True)
class PlanningContext:
    """Input of `CutRecipe.plan_windows`.

    `recorded` is the recipe of this name in the log, perhaps with other parameters, `existing_ids` are its chips, and
    `chips` those whose parent raster is unchanged, and `removed_chips` those that users removed: a plan counts them as
    existing, and they are not cut again. `rasters` to cut from have the columns of `rasters_to_cut.sql`;
    `raster_by_id` has their rows, and `sources` their files. `accepts_window` returns whether a window has enough valid
    pixels.
    """

    revision: Revision
    recorded: Recipe | None
    existing_ids: set[str]
    rasters: "pa.Table"
    raster_by_id: Mapping[str, Any]
    chips: Sequence[Chip]
    removed_chips: Sequence[Chip]
    selections: Selections
    sources: SourceRasters
    accepts_window: WindowFilter

    @property
    def id_by_name(self) -> dict[str, str]:
        """The ids of the recipe's chips by file stem; an id begins with the name that the recipe then had."""
        return {chip_id.rpartition("/")[2]: chip_id for chip_id in sorted(self.existing_ids)}

    def crosses_edge(self, chip: Chip) -> bool:
        """Return whether a chip has pixels outside its raster."""
        raster = self.raster_by_id[chip.raster_id]
        return clip_window(chip.window, raster["width"], raster["height"]) != chip.window

    def select_features(self, where: Selection) -> "pa.Table":
        """Stage the selected features as temp table `feature_to_cut` (feature_key, feature_id, rank) and return it."""
        self.selections.stage_selection("feature", where)
        self.revision.connection.execute(
            "CREATE OR REPLACE TEMP TABLE feature_to_cut AS SELECT feature_key, feature_id, "
            "row_number() OVER (ORDER BY added, added_by, feature_id) AS rank "
            "FROM current_feature JOIN feature_order USING (feature_id) SEMI JOIN filtered_feature USING (feature_id)"
        )
        return self.revision.fetch_arrow("FROM feature_to_cut ORDER BY rank")

    def fetch_pair_tables(self, where: Selection) -> "tuple[pa.Table, pa.Table, pa.Table]":
        """Return the tables that `plan_around` takes: pairs of selected features and rasters, rasters, features."""
        features = self.select_features(where)
        return self.revision.fetch_arrow((_FOLDER / "containing_rasters.sql").read_text()), self.rasters, features

    def stage_features_in_pixels(self, where: Selection) -> None:
        """Stage the selected features in the pixels of each raster as temp table `feature_in_pixels`."""
        self.select_features(where)
        run_script(self.revision.connection, (_FOLDER / "features_in_pixels.sql").read_text())


def parse_bands(bands: Any) -> BandPatterns:
    """Return the bands by pattern of raster ids, given as numbers, by pattern, or as pairs of pattern and numbers."""
    if isinstance(bands, str):
        bands = dict([parse_band_text(bands)])
    if not bands:
        return ()
    if not hasattr(bands, "items") and not isinstance(bands[0], tuple):
        bands = {"*": bands}
    return tuple((pattern, tuple(numbers)) for pattern, numbers in dict(bands).items())


def parse_band_text(text: str) -> tuple[str, tuple[int, ...]]:
    """Return the pattern of raster ids and the band numbers in `1,2,3` or `*-dem=1`."""
    pattern, _, numbers = text.rpartition("=")
    parts = numbers.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"invalid band numbers '{numbers}'. Use whole numbers from 1, e.g. 1,2,3 or *-dem=1.")
    return pattern or "*", tuple(int(part) for part in parts)


class CutRecipe(Recipe, kw_only=True, frozen=True):
    """A recipe that cuts chips from the rasters of a collection; the chips form the collection of its name.

    A chip's pixels are a window of its raster's pixels; nothing is resampled.
    """

    event: ClassVar[type[ChipsCut]] = ChipsCut
    makes_chips: ClassVar[bool] = True

    source: Annotated[
        str, Parameter("The collection of rasters to cut.", "COLLECTION", flags="--from", schema=NAME_SCHEMA)
    ] = "source"
    rasters_where: RasterSelection = None
    order_by: Annotated[
        str | None, Parameter("The rasters' order, e.g. 'cloud_cover DESC', or random.", "SQL", "the order of addition")
    ] = None
    bands: Annotated[
        str | Sequence[int] | Mapping[str, Sequence[int]] | BandPatterns,
        Parameter(
            "Band numbers, from 1; with a pattern of raster ids, only for those, such as '*-dem=1'.",
            *("[PATTERN=]1,2,3", "all bands", "", parse_bands),
            cli="list",
            parse=parse_band_text,
            schema={"$ref": "event.v1.json#/$defs/bands"},
        ),
    ] = ()
    max_nodata: Annotated[
        float | None,
        Parameter("Skip chips with a larger fraction of nodata pixels.", "FRACTION", "no limit", minimum=0, maximum=1),
    ] = None
    pad_value: Annotated[
        float | None, Parameter("The pixel value of padding.", "VALUE", "the raster's nodata value")
    ] = None
    seed: Annotated[int, Parameter("Seed of all random choices.", "NUMBER")] = 0
    virtual: Annotated[bool, _VIRTUAL] = False

    @property
    def chip_size(self) -> Size:
        """The size of a chip; it has no meaning for boxes."""
        return parse_size(getattr(self, "size", 1))

    @property
    def allows_padding(self) -> bool:
        """Whether windows may cross the raster's edge."""
        return "pad" in (getattr(self, "at_border", ""), getattr(self, "edge", ""))

    @property
    def uses_seed(self) -> bool:
        """Whether a choice is random."""
        return "random" in (self.order_by, getattr(self, "mode", ""))

    def list_unused_options(self) -> list[str]:
        """Return what to say of options that have no effect beside the others."""
        unused = []
        if self.pad_value is not None and not self.allows_padding:
            option = "--edge" if hasattr(self, "edge") else "--at-border"
            unused.append(f"--pad-value has no effect, because no chip is padded. Pass {option} pad, too.")
        if self.seed and not self.uses_seed:
            unused.append("--seed has no effect, because no choice is random. Pass --order-by random, too.")
        return unused

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """Plan all windows of the recipe at a revision, including those whose chips exist."""
        raise NotImplementedError

    def make_plan(self, revision: Revision, context: PlanContext) -> "CutPlan":
        """Plan the chips to cut and to retire at a revision."""
        validate_name("recipe", self.name)
        require_pixels(revision, self.source)
        self._reject_cycle(revision)
        run_script(revision.connection, MACROS.read_text())
        recorded = find_recipe(revision, self.name)
        is_changed = self.is_changed(revision)
        for text in self.list_unused_options() if is_changed else ():
            logger.warning("%s", text)
        selections, name = Selections(revision, self.name), {"name": self.name}
        rasters = self._rank_rasters(revision, selections)
        raster_by_id = {row["raster_id"]: row for row in rasters.to_pylist()}
        self._validate_rasters(raster_by_id, is_changed=is_changed)
        chip_query = "SELECT raster_id FROM current_raster WHERE recipe = $name"
        existing_ids = {id for (id,) in revision.fetch_rows(chip_query, name)}
        chips, removed_chips = self._read_unchanged_chips(revision)
        accepted = set() if is_changed else {(chip.raster_id, chip.window) for chip in (*chips, *removed_chips)}
        sources = SourceRasters(revision, context.root, raster_by_id)
        accepts_window = self._make_window_predicate(sources, accepted)
        staged = (rasters, raster_by_id, chips, removed_chips, selections, sources, accepts_window)
        planning = PlanningContext(revision, recorded, existing_ids, *staged)
        windows = self.plan_windows(planning)
        sources.require_unchanged()
        known_names = {*planning.id_by_name} | {chip.name for chip in removed_chips}
        windows = windows._replace(chips=make_names_distinct(windows.chips, known_names))
        self._reject_other_rasters(revision, [chip for chip in windows.chips if chip.name not in planning.id_by_name])
        return CutPlan(self, planning, windows, ChipLabels(revision, context.root, self.name))

    def select_bands(self, raster_id: str) -> tuple[int, ...] | None:
        """Return the bands, from 1, to cut from a raster; None: all."""
        return next((bands for pattern, bands in parse_bands(self.bands) if fnmatchcase(raster_id, pattern)), None)

    def _read_unchanged_chips(self, revision: Revision) -> tuple[list[Chip], list[Chip]]:
        """Return the chips whose parent raster is unchanged: those that exist; those that users removed or withdrew.

        With `replace`, removed chips are forgotten, so the recipe cuts them again; withdrawn ones are not.
        """
        from geographer.storage.workspace.withdrawn_files import list_withdrawn_md5s

        stage_remembered_removals(revision)
        stage_renamings(revision)
        query = (_FOLDER / "unchanged_chips.sql").read_text()
        withdrawn = sorted(list_withdrawn_md5s(revision))
        rows = revision.fetch_rows(query, {"name": self.name, "collection": self.source, "withdrawn": withdrawn})
        existing: list[Chip] = []
        removed: list[Chip] = []
        for is_removed, is_withdrawn, stem, raster, feature, *sides in rows:
            if not is_removed or is_withdrawn or not self.replace:
                (removed if is_removed else existing).append(Chip(stem, raster, feature, Window(*sides)))
        return existing, removed

    def _validate_rasters(self, raster_by_id: Mapping[str, Any], *, is_changed: bool) -> None:
        """Reject bands that rasters do not have, patterns without rasters, and sizes in metres below two pixels."""
        for id, raster in raster_by_id.items():
            invalid = [band for band in self.select_bands(id) or () if not 1 <= band <= raster["bands"]]
            if invalid:
                raise UsageError(f"invalid --bands {invalid[0]}. Raster '{id}' has bands 1 to {raster['bands']}.")
        patterns = [pattern for pattern, _ in parse_bands(self.bands)]
        unmatched = [pattern for pattern in patterns if not any(fnmatchcase(id, pattern) for id in raster_by_id)]
        if unmatched and raster_by_id and is_changed:
            raise NotFoundError(
                f"no raster of '{self.source}' matches --bands {unmatched[0]}=…. List them with geographer rasters."
            )
        width, height, unit = self.chip_size
        for id, raster in raster_by_id.items():
            if unit == "m" and min(raster["chip_width"], raster["chip_height"]) <= 1:
                raise UsageError(
                    f"a chip of {width:g} x {height:g} m is only 1 pixel wide or high in raster '{id}'. "
                    "Use a larger size, or a size in pixels."
                )

    def _reject_cycle(self, revision: Revision) -> None:
        """Reject a source that comes from the chips of this recipe: every update would cut them again."""
        recipes = {recipe.name: recipe for recipe in list_recipes(revision) if isinstance(recipe, CutRecipe)}
        source: str | None = self.source
        while source is not None and source != self.name:
            source = recipes.pop(source).source if source in recipes else None
        if source == self.name:
            raise ConflictError(f"'{self.source}' comes from the chips of '{self.name}' itself. Choose another --from.")

    def _reject_other_rasters(self, revision: Revision, chips: Sequence[Chip]) -> None:
        """Reject chips with the ids of rasters that are not the recipe's, such as footprints of a catalogue."""
        condition = "starts_with(raster_id, $prefix) AND recipe IS DISTINCT FROM $name"
        names = {"prefix": f"{self.name}/", "name": self.name}
        rows = revision.fetch_rows(f"SELECT raster_id FROM current_raster WHERE {condition}", names)  # noqa: S608
        if taken := sorted({id for (id,) in rows} & {f"{self.name}/{chip.name}" for chip in chips}):
            raise ConflictError(
                f"{quote_objects('raster', taken, 'exists|exist')}, and chips would get the same ids. Use another name."
            )

    def _rank_rasters(self, revision: Revision, selections: Selections) -> "pa.Table":
        """Stage the selected rasters as temp table `raster_to_cut` (raster_id, sort_rank) and return them by rank."""
        selections.stage_selection("raster", self.rasters_where)
        order = "0"
        if self.order_by == "random":
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
        width, height, unit = self.chip_size
        parameters = {"width": width, "height": height, "in_metres": unit == "m"}
        return revision.fetch_arrow((_FOLDER / "rasters_to_cut.sql").read_text(), parameters)

    def _make_window_predicate(self, sources: SourceRasters, accepted: Collection[tuple[str, Window]]) -> WindowFilter:
        """Return a predicate that accepts windows with at most `max_nodata`, and `accepted` without reading pixels."""
        if self.max_nodata is None:
            return lambda _id, _window: True
        from geographer.operations.cut.nodata_fraction import NodataFractions

        limit, fractions = self.max_nodata, NodataFractions(sources.open_raster)
        return lambda id, window: (id, window) in accepted or fractions.compute_fraction(id, window) <= limit


class CutPlan:
    """The chips to cut and to retire: the difference between planned windows and existing chips."""

    def __init__(self, recipe: CutRecipe, context: PlanningContext, windows: WindowPlan, labels: ChipLabels) -> None:
        import pyarrow as pa

        self.recipe, self._context, self._labels = recipe, context, labels
        self._id_by_name = context.id_by_name
        unchanged, removed_names = set(context.chips), {chip.name for chip in context.removed_chips}
        planned = [chip for chip in windows.chips if chip.name not in removed_names]
        self._virtual_ids = set() if recipe.virtual else {*list_virtual_ids(context.revision, recipe.name)}
        self.chips = [chip for chip in planned if chip not in unchanged or self._must_replace(chip)]
        used_ids = {chip.raster_id for chip in self.chips} if recipe.virtual else ()
        self._recorded_rasters = read_recorded_rasters(context.revision, used_ids)
        chip_by_id = {self._make_chip_id(chip): chip for chip in planned}
        self.retired = sorted(context.existing_ids.difference(chip_by_id))
        labels.plan_labels(chip_by_id, {*map(self._make_chip_id, self.chips)})
        unmet = Counter(shortage.reason for shortage in windows.unmet)
        unmet[_REMOVED] += len(windows.chips) - len(planned)
        removed = make_dependent_removal_rows(context.revision, self.retired)
        self._log_rows: dict[str, pa.Table] = {table: rows.to_arrow() for table, rows in removed.items()}
        if inputs := (*windows.recipe_inputs, *context.selections.to_rows().values()):
            self._log_rows["recipe_input"] = pa.concat_tables(inputs)
        warnings = context.selections.list_warnings()
        if not context.raster_by_id:
            if not context.selections.describes_empty("raster"):
                warnings.append(f"no raster of '{recipe.source}' is selected. Check --rasters-where.")
        elif windows.features == 0:
            if not context.selections.describes_empty("feature"):
                warnings.append("no feature is selected. Check --where.")
        elif not windows.chips:
            reasons = sorted({shortage.reason for shortage in windows.unmet})
            warnings.append(
                f"no chip is planned ({'; '.join(reasons) or 'no window'}). Check --size and the selection."
            )
        if users := self._list_users_of_old_chips():
            text = quote_objects("recipe", users, "uses|use")
            warnings.append(f"{text} chips of '{recipe.name}' that are replaced. Run them again: geographer update")
        self.event = (ChipsCut if recipe.virtual else ChipsCutV1)(
            recipe=recipe.to_record(),
            chips=len(self.chips),
            retired=len(self.retired),
            features=windows.features,
            boxes=windows.boxes,
            unmet=dict(sorted((+unmet).items())),
            selectors=context.selections.list_runs(),
            cover=windows.cover,
            cutter=windows.cutter,
            warnings=warnings or UNSET,
        )
        self._require_pad_values()

    @property
    def is_empty(self) -> bool:
        """Whether the existing chips are the planned ones."""
        return not self.chips and not self.retired and not self._labels.to_cut and not self._labels.removed

    def build_outputs(self, context: BuildContext) -> Change:
        """Cut the chips, and their windows of labels that users added, into the staging folder."""
        rows, files = (self._describe_chips(), []) if self.recipe.virtual else self._cut_files(context)
        grids = {raster_id: source.grid for raster_id, source in self._context.sources.raster_by_id.items()}
        labels = self._labels.cut_windows(grids, context)
        rows += [{"change": "removed", "raster_id": chip_id} for chip_id in self.retired]
        if not rows and not labels.rows and not self._is_changed:
            return Change(self.event)
        tables = {"raster_change": make_raster_rows(rows)} if rows else {}
        tables = add_label_rows({**tables, **self._log_rows}, labels)
        return Change(self.event, tables, files + labels.files, move_files=True)

    def _describe_chips(self) -> list[dict[str, object]]:
        """Return the rows of virtual chips."""
        rows = []
        for chip in self.chips:
            pad_value = self._find_pad_value(self.recipe, chip) if self._context.crosses_edge(chip) else None
            bands = self.recipe.select_bands(chip.raster_id)
            columns = describe_virtual_chip(self._recorded_rasters[chip.raster_id], chip.window, bands, pad_value)
            rows.append(self._make_row(chip, columns))
        return rows

    def _cut_files(self, context: BuildContext) -> tuple[list[dict[str, object]], list[tuple[Path, Checksums]]]:
        """Cut the chips into the staging folder; return their rows and files."""
        from geographer.operations.cut.render import ChipTask, cut_chips

        tasks, rows, files = [], [], []
        for chip in self.chips:
            raster, destination = self._context.raster_by_id[chip.raster_id], context.staging / f"{chip.name}.tif"
            bands = self.recipe.select_bands(chip.raster_id)
            padding = self._find_pad_value(self.recipe, chip) if self.recipe.allows_padding else None
            source = self._context.sources.raster_by_id[chip.raster_id]
            grid = (raster["crs"], source.is_referenced)
            tasks.append(ChipTask(str(source.path), chip.window, str(destination), bands, padding, *grid))
        self._context.sources.require_intact(chip.raster_id for chip in self.chips)
        for result in cut_chips(
            tasks, workers=context.make_executor(len(tasks)), md5s=self._context.sources.list_md5s()
        ):
            rows.append(self._make_row(self.chips[result.index], describe_chip_file(self.recipe.name, result)))
            files.append((Path(result.destination), result.checksums))
            context.progress("chips cut", len(rows), len(tasks))
        self._context.sources.require_unchanged()
        return rows, files

    def list_files(self) -> PlannedFiles:
        """See `ReplayablePlan.list_files`."""
        existing_ids = self._context.existing_ids
        made = []
        for chip in self.chips:
            chip_id = self._make_chip_id(chip)
            is_new = chip_id not in existing_ids
            place = (chip.raster_id, chip.window, chip.feature_id)
            made.append(PlannedFile(None, chip_id, *place, (chip.raster_id,), is_new))
        made += self._labels.list_files()
        return PlannedFiles(made, [(None, chip_id) for chip_id in self.retired])

    def select_files(self, raster_ids: Collection[str]) -> None:
        """See `ReplayablePlan.select_files`."""
        self.chips = [chip for chip in self.chips if self._make_chip_id(chip) in raster_ids]
        self._labels.select_files(raster_ids)

    def replace_sources(self, files: Mapping[str, ReplacingFile]) -> None:
        """See `ReplayablePlan.replace_sources`."""
        self._context.sources.replace_files(files)

    @property
    def _is_changed(self) -> bool:
        """Whether the recipe is new, or has other parameters than the recorded one."""
        recorded = self._context.recorded
        return recorded is None or not recorded.has_same_parameters(self.recipe)

    def _list_users_of_old_chips(self) -> list[str]:
        """Return the recipes that use the chips of this one, if its parameters change and chips differ."""
        recorded = self._context.recorded
        if self.is_empty or recorded is None or recorded.has_same_parameters(self.recipe):
            return []
        records = list_recipe_records(self._context.revision)
        return [record.name for record in records if self.recipe.name in map(record.parameters.get, _INPUT_PARAMETERS)]

    def _must_replace(self, chip: Chip) -> bool:
        """Return whether an existing chip is virtual and is to be a file, or has other pixels."""
        return self._make_chip_id(chip) in self._virtual_ids or self._has_other_pixels(chip)

    def _has_other_pixels(self, chip: Chip) -> bool:
        """Return whether the recorded recipe cut other bands of this window, or padded it with another value."""
        recorded = self._context.recorded
        if not isinstance(recorded, CutRecipe):
            return False
        all_bands = tuple(range(1, self._context.raster_by_id[chip.raster_id]["bands"] + 1))
        old_bands, bands = (recipe.select_bands(chip.raster_id) or all_bands for recipe in (recorded, self.recipe))
        old_padding, padding = (self._find_pad_value(recipe, chip) for recipe in (recorded, self.recipe))
        return old_bands != bands or (old_padding != padding and self._context.crosses_edge(chip))

    def _find_pad_value(self, recipe: CutRecipe, chip: Chip) -> float | None:
        nodata: float | None = self._context.raster_by_id[chip.raster_id]["nodata"]
        return nodata if recipe.pad_value is None else recipe.pad_value

    def _require_pad_values(self) -> None:
        padded = [chip for chip in self.chips if self.recipe.allows_padding and self._context.crosses_edge(chip)]
        if missing := {chip.raster_id for chip in padded if self._find_pad_value(self.recipe, chip) is None}:
            raise UsageError(
                f"{quote_objects('raster', sorted(missing), 'has|have')} no nodata value for padding. Pass "
                "--pad-value N, or shift chips inside the raster."
            )

    def _make_chip_id(self, chip: Chip) -> str:
        return self._id_by_name.get(chip.name) or f"{self.recipe.name}/{chip.name}"

    def _make_row(self, chip: Chip, columns: Mapping[str, object]) -> dict[str, object]:
        raster_id = self._make_chip_id(chip)
        return {
            "change": "changed" if raster_id in self._context.existing_ids else "added",
            "raster_id": raster_id,
            "collection": self.recipe.name,
            **columns,
            "parent_id": chip.raster_id,
            "col": chip.window.col,
            "row": chip.window.row,
            "recipe": self.recipe.name,
            "feature_id": chip.feature_id,
            "properties": "{}",
        }
