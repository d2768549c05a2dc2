"""The recipe of box labels: upright and oriented boxes of the objects that a raster shows, as JSON and as rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from geographer.base.errors import UsageError
from geographer.base.values import parse_line_width
from geographer.operations.label.base import LabelRecipe

if TYPE_CHECKING:
    from geographer.operations.label.rendering.box_files import BoxDrawing
    from geographer.storage.queries.revision import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBoxes(LabelRecipe):
    """A JSON file for each raster, with its objects' boxes in pixel coordinates; the table `objects` has them too.

    Of an object, `min_visible` is the least share of its area that must lie on the raster.
    """

    kind: ClassVar[str] = "label boxes"
    suffix: ClassVar[str] = ".json"

    width: str | None = "1px"
    min_visible: float = 0.0

    def form(self, revision: Revision) -> dict[str, Any]:
        """Nothing.

        Raises:
            UsageError: `min_visible` is no share.
        """
        if not 0 <= self.min_visible <= 1:
            raise UsageError(f"{self.min_visible} is no share of an object: give --min-visible from 0 to 1")
        return {}

    def drawing(self, form: dict[str, Any]) -> BoxDrawing:
        """See `BoxDrawing`."""
        from geographer.operations.label.rendering.box_files import BoxDrawing

        return BoxDrawing(parse_line_width(self.width or "1px"), self.min_visible)
