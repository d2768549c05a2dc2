"""The recipe of instance labels: an id for each object that is seen on a raster, with a table of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from geographer.operations.label.base import LabelRecipe

if TYPE_CHECKING:
    from geographer.operations.label.rendering.rasterize import InstanceDrawing


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelInstances(LabelRecipe):
    """The id of an object for each pixel, from 1 in each raster; the table `objects` says which object that is."""

    kind: ClassVar[str] = "label instances"

    overlap: Literal["smallest-on-top", "newest"] = "smallest-on-top"

    def drawing(self, form: dict[str, Any]) -> InstanceDrawing:
        """See `InstanceDrawing`."""
        from geographer.operations.label.rendering.rasterize import InstanceDrawing

        return InstanceDrawing(self.overlap, self.drawn_width())
