"""`cut grid`: chips that tile rasters."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from msgspec import UNSET

from geographer.base.errors import UsageError
from geographer.base.parameters import Parameter
from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan
from geographer.operations.cut.events import make_payload_rules
from geographer.planning.shared_parameters import SIZE, FeatureSelection, SizeSpec


class CutGrid(CutRecipe, kw_only=True, frozen=True):
    """Cut rasters into a grid of chips.

    The grid starts at the upper left corner of each raster. A raster smaller than a chip has none, except with padding.
    """

    kind: ClassVar[str] = "cut grid"
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules(optional=("features",))
    example: ClassVar[str] = "cut grid tiles --size 256 --overlap 32 --cells with-features"

    size: Annotated[SizeSpec, SIZE]
    overlap: Annotated[int, Parameter("How many pixels neighbouring chips share.", "PIXELS", minimum=0)] = 0
    edge: Annotated[
        Literal["drop", "pad", "shift"],
        Parameter("For a last column and row that exceed the raster: drop them, pad them, or shift them inside."),
    ] = "shift"
    cells: Annotated[
        Literal["all", "with-features"], Parameter("Cut all cells of the grid, or those that intersect a feature.")
    ] = "all"
    where: FeatureSelection = None

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """See `windows.grid.plan_grid`."""
        from geographer.operations.cut.windows.grid import plan_grid

        if self.cells == "all" and self.where is not None:
            raise UsageError("--where selects features, but --cells all ignores features. Pass --cells with-features.")
        features, geometries = UNSET, None
        if self.cells == "with-features":
            context.stage_features_in_pixels(self.where)
            features = context.revision.fetch_value("SELECT count(*) FROM feature_to_cut")
            query = "SELECT raster_id, ST_AsWKB(geometry)::BLOB AS wkb FROM feature_in_pixels ORDER BY rank, raster_id"
            geometries = context.revision.fetch_arrow(query)
        return WindowPlan(*plan_grid(context.rasters, self, geometries, context.accepts_window), features=features)
