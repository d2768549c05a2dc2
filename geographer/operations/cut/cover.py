"""`cut cover`: the fewest chips that contain all features."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from geographer.base.parameters import Parameter
from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan
from geographer.operations.cut.events import CoverReport, make_payload_rules
from geographer.operations.cut.windows.chips import Chip
from geographer.planning.shared_parameters import SIZE, FeatureSelection, SizeSpec, TimeLimit


class CutCover(CutRecipe, kw_only=True, frozen=True):
    """Cut the fewest chips that contain all features, and record the proven minimum.

    Existing chips are kept while they contain a selected feature, unless covers are rebuilt. If time runs out, there
    may be more chips than needed. Equivalent chips come from different rasters.
    """

    kind: ClassVar[str] = "cut cover"
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("features", "cover")
    example: ClassVar[str] = "cut cover chips --size 512"

    size: Annotated[SizeSpec, SIZE]
    target_count: Annotated[int, Parameter("How many chips must contain each feature.", "COUNT", minimum=1)] = 1
    where: FeatureSelection = None
    at_border: Annotated[
        Literal["shift", "pad"],
        Parameter("Keep chips inside their rasters, or let them exceed the border, padded with nodata."),
    ] = "shift"
    time_limit: TimeLimit = 60.0

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """See `windows.cover.plan_cover`. The event's `cover` compares the chips with the proven lower bound."""
        from geographer.operations.cut.windows.cover import plan_cover

        tables = context.fetch_pair_tables(self.where)
        possible = [chip for chip in context.chips if not self.rebuild_covers and self._is_possible(chip, context)]
        # A removed chip counts as one that contains its features: no chip beside it takes its place.
        removed = [chip for chip in context.removed_chips if self._is_possible(chip, context)]
        planned, added, unmet, added_bound = plan_cover(*tables, self, [*possible, *removed], context.accepts_window)
        kept = {*planned} - {*removed}
        is_unchanged = len(kept) == len(context.existing_ids) and not added
        bound = None if is_unchanged else added_bound
        if kept and not is_unchanged:
            bound = plan_cover(*tables, self, removed, context.accepts_window).bound
        count = len(kept) + len(added)
        gap = None if bound is None else round(1 - bound / count, 6) if count else 0.0
        cover = CoverReport(count, bound, gap, len(kept), len(added), added_bound)
        return WindowPlan([*planned, *added], unmet, features=len(tables[2]), cover=cover)

    def _is_possible(self, chip: Chip, context: PlanningContext) -> bool:
        """Return whether an existing chip could be planned now; after a change of parameters, some could not."""
        raster = context.raster_by_id.get(chip.raster_id)
        return (
            raster is not None
            and chip.window[2:] == (raster["chip_width"], raster["chip_height"])
            and (self.allows_padding or not context.crosses_edge(chip))
            and context.accepts_window(chip.raster_id, chip.window)
        )
