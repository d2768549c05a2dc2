"""`cut boxes`: chips of user-drawn boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.base.values import Size
from geographer.operations.cut.base import CutRecipe, PlanningContext, WindowPlan, count_reasons

if TYPE_CHECKING:
    import pyarrow as pa

_BOXES_IN_PIXELS: Final = Path(__file__).with_name("boxes_in_pixels.sql")
_RECORDED_BOXES: Final = (
    "SELECT * EXCLUDE (position, ordinal, row_digest) FROM log.recipe_input WHERE recipe = $name AND subject = 'box' "
    "AND position >= (SELECT position FROM recipes WHERE name = $name) AND position <= getvariable('position') "
    "ORDER BY position, ordinal"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutBoxes(CutRecipe):
    """Cut chips of boxes, each from `target_count` rasters that contain it. The boxes' bounds determine the size.

    Attributes:
        boxes: Digest of the boxes, which the log keeps as rows of `recipe_input`.
        target_count: From how many rasters each box is cut.
        at_border: `pad` windows that cross the raster's edge, or `skip` them.
        box_rows: The rows of `boxes`, for a new recipe.
    """

    kind: ClassVar[str] = "cut boxes"

    size: Size = Size(1, 1)  # noqa: RUF009
    boxes: str
    target_count: int = 1
    at_border: Literal["pad", "skip"] = "skip"
    box_rows: pa.Table | None = field(default=None, compare=False, repr=False)

    @property
    def allows_padding(self) -> bool:
        """See `CutRecipe.allows_padding`."""
        return self.at_border == "pad"

    def to_parameters(self) -> dict[str, Any]:
        """Return the fields that the log records as JSON."""
        parameters = super(CutBoxes, self).to_parameters()
        return {name: value for name, value in parameters.items() if name not in ("box_rows", "size")}

    def plan_windows(self, context: PlanningContext) -> WindowPlan:
        """See `windows.boxes.plan_boxes`."""
        from geographer.operations.cut.windows.boxes import plan_boxes

        boxes = self._stage_boxes(context)
        candidates = context.revision.fetch_arrow(_BOXES_IN_PIXELS.read_text())
        named = boxes.rename_columns({"object_id": "box_id"})
        chips, unmet = plan_boxes(candidates, context.rasters, named, self, context.accepts_window)
        summary_fields = {"boxes": len(boxes), "unmet": count_reasons(unmet)}
        return WindowPlan(chips, summary_fields, (boxes,) if context.is_new else ())

    def _stage_boxes(self, context: PlanningContext) -> pa.Table:
        """Stage the boxes as temp table `box_to_cut` and return them: the new recipe's rows, or those in the log."""
        boxes, revision = self.box_rows, context.revision
        if not context.is_new or boxes is None:
            boxes = revision.fetch_arrow(_RECORDED_BOXES, {"name": self.name})
        revision.connection.register("box_rows", boxes)
        revision.connection.execute("CREATE OR REPLACE TEMP TABLE box_to_cut AS FROM box_rows")
        revision.connection.unregister("box_rows")
        return boxes
