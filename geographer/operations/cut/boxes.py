"""`cut boxes`: chips of given boxes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from geographer.base.values import Size
from geographer.operations.cut.base import CutRecipe, Ground, Wanted, counted

if TYPE_CHECKING:
    import pyarrow as pa

    from geographer.storage.queries.revision import Revision

_BOXED: Final = Path(__file__).with_name("boxes_in_pixels.sql")
_RECORDED: Final = (
    "SELECT * EXCLUDE (position, ordinal, row_digest) FROM log.recipe_input WHERE recipe = $name AND subject = 'box' "
    "AND position >= (SELECT position FROM recipes WHERE name = $name) AND position <= getvariable('position') "
    "ORDER BY position, ordinal"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutBoxes(CutRecipe):
    """Chips of given boxes, each from `target_count` rasters that hold it; `size` is what their bounds make it.

    Attributes:
        boxes: The digest of the boxes, which the log keeps as rows.
        given: Those rows, where the recipe is new.
    """

    kind: ClassVar[str] = "cut boxes"

    size: Size = Size(1, 1)  # noqa: RUF009
    boxes: str
    target_count: int = 1
    at_border: Literal["pad", "skip"] = "skip"
    given: pa.Table | None = field(default=None, compare=False, repr=False)

    @property
    def padded(self) -> bool:
        """See `Cutting.padded`."""
        return self.at_border == "pad"

    def to_parameters(self) -> dict[str, Any]:
        """Every field that the log keeps."""
        kept = super(CutBoxes, self).to_parameters()
        return {name: value for name, value in kept.items() if name not in ("given", "size")}

    def windows(self, ground: Ground) -> Wanted:
        """See `planning.given.plan_given`."""
        from geographer.operations.cut.windows.boxes import plan_given

        new = not ground.revision.fetch_value("SELECT count(*) FROM recipes WHERE name = $name", {"name": self.name})
        boxes = self._boxes(ground.revision, new=new)
        planned = plan_given(
            ground.revision.fetch_arrow(_BOXED.read_text(), {"collection": self.source}),
            ground.rasters,
            boxes.rename_columns({"object_id": "box_id"}),
            target_count=self.target_count,
            padded=self.padded,
            fits=ground.fits,
        )
        counts = {"boxes": len(boxes), "unmet": counted(planned.unmet["reason"].to_pylist())}
        return Wanted(planned.chips, counts, {"recipe_input": boxes} if new else {})

    def _boxes(self, revision: Revision, *, new: bool) -> pa.Table:
        """The boxes, also as the table `given_box`: as given, or as the log has them."""
        boxes = self.given if new and self.given is not None else revision.fetch_arrow(_RECORDED, {"name": self.name})
        revision.connection.register("given_rows", boxes)
        revision.connection.execute("CREATE OR REPLACE TEMP TABLE given_box AS FROM given_rows")
        revision.connection.unregister("given_rows")
        return boxes
