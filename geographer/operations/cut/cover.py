"""`cut cover`: the fewest chips that contain all features."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import pyarrow as pa

from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan, count_reasons, list_windows
from geographer.operations.cut.windows.plan_tables import CHIPS_SCHEMA
from geographer.planning.selection import SelectionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CutCover(CutRecipe):
    """Cut the fewest chips of one size such that `target_count` chips contain every selected feature.

    Existing chips are kept while they contain a selected feature, unless the run has `rebuild_covers`.

    Attributes:
        target_count: How many different chips contain each feature.
        at_border: `shift`: windows lie inside their rasters; `pad`: they may cross the edge.
        where: Selects features; None: all.
        time_limit: Seconds for the proof. After that, the best cover found so far is used.
    """

    kind: ClassVar[str] = "cut cover"

    target_count: int = 1
    at_border: Literal["shift", "pad"] = "shift"
    where: SelectionSpec = None
    time_limit: float = 60.0

    @property
    def allows_padding(self) -> bool:
        """See `CutRecipe.allows_padding`."""
        return self.at_border == "pad"

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """See `windows.cover.plan_cover`. The summary's `cover` compares the chips with the proven lower bound.

        `gap` is the greatest fraction of chips that a rebuilt cover might save.
        """
        from geographer.operations.cut.windows.cover import flag_windows_with_features, plan_cover

        tables = context.fetch_pair_tables(self.where)
        kept = CHIPS_SCHEMA.empty_table()
        if not context.run.rebuild_covers:
            has_feature = flag_windows_with_features(*tables, list_windows(context.chips))
            kept = context.chips.filter(pa.array(has_feature, pa.bool_())).cast(CHIPS_SCHEMA)
        solve = partial(plan_cover, *tables, self, accepts_window=context.accepts_window)
        plan = solve(existing_windows=list_windows(kept))
        is_unchanged = len(kept) == len(context.existing_ids) and not len(plan.chips)
        bound = None if is_unchanged else solve().bound if len(kept) else plan.bound
        chips = pa.concat_tables([kept, plan.chips])
        count = len(chips)
        gap = None if bound is None else round(1 - bound / count, 6) if count else 0.0
        cover = {"chips": count, "bound": bound, "gap": gap, "kept": len(kept)}
        cover |= {"added": len(plan.chips), "added_bound": plan.bound}
        return WindowPlan(chips, {"features": len(tables[2]), "unmet": count_reasons(plan.unmet), "cover": cover})
