"""`cut around`: chips around features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan, count_reasons
from geographer.operations.cut.windows.positions import BorderPolicy, PlacementMode
from geographer.planning.selection import SelectionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CutAround(CutRecipe):
    """Cut chips around features.

    Attributes:
        mode: `centered`, at a `random` position, or of a `variable` size: `scale` times the feature's bounds, at least
            `size`.
        scale: For `variable` chips.
        target_count: In how many chips each feature should be.
        at_border: What to do with a window that crosses the raster's edge: `shift` moves it inside, `pad` keeps it
            (`col` and `row` may be negative), `skip` omits it. `random` windows are drawn inside by both `shift` and
            `skip`.
        where: Selects features; None: all.
    """

    kind: ClassVar[str] = "cut around"

    mode: PlacementMode = "centered"
    scale: float = 1.0
    target_count: int = 1
    at_border: BorderPolicy = "shift"
    where: SelectionSpec = None

    @property
    def allows_padding(self) -> bool:
        """See `CutRecipe.allows_padding`."""
        return self.at_border == "pad"

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """See `windows.around.plan_around`. Where rasters are in random order, each feature has its own order."""
        from geographer.operations.cut.windows.around import plan_around

        candidates, rasters, features = context.fetch_pair_tables(self.where)
        chips, unmet = plan_around(candidates, rasters, features, self, context.accepts_window)
        return WindowPlan(chips, {"features": len(features), "unmet": count_reasons(unmet)})
