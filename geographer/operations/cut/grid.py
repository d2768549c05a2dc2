"""`cut grid`: chips that tile rasters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from geographer.base.errors import UsageError
from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan, count_reasons
from geographer.operations.cut.windows.grid import EdgePolicy
from geographer.planning.selection import SelectionSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class CutGrid(CutRecipe):
    """Cut chips that tile each raster from its upper-left pixel.

    Attributes:
        overlap: Columns or rows of pixels that neighbouring windows share.
        edge: What to do with windows of the last column and row that cross the raster's edge: `shift` moves them inside
            (they then overlap their neighbours more), `pad` keeps them, `drop` omits them. A raster smaller than a chip
            has no windows, except with `pad`.
        cells: Which windows to cut.
        where: Selects features for `with-features`; None: all.
    """

    kind: ClassVar[str] = "cut grid"

    overlap: int = 0
    edge: EdgePolicy = "shift"
    cells: Literal["all", "with-features"] = "all"
    where: SelectionSpec = None

    @property
    def allows_padding(self) -> bool:
        """See `CutRecipe.allows_padding`."""
        return self.edge == "pad"

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """See `windows.grid.plan_grid`."""
        from geographer.operations.cut.windows.grid import plan_grid

        if self.cells == "all" and self.where is not None:
            raise UsageError("--where selects features, but --cells all ignores features. Pass --cells with-features.")
        counts, geometries = {}, None
        if self.cells == "with-features":
            context.stage_features_in_pixels(self.where)
            counts = {"features": context.revision.fetch_value("SELECT count(*) FROM feature_to_cut")}
            geometries = context.revision.fetch_arrow(
                "SELECT raster_id, ST_AsWKB(geometry)::BLOB AS wkb FROM feature_in_pixels ORDER BY rank, raster_id"
            )
        chips, uncut = plan_grid(context.rasters, self, geometries, context.accepts_window)
        return WindowPlan(chips, {**counts, "unmet": count_reasons(uncut)})
