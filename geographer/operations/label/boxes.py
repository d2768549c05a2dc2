"""Recipe of box labels: axis-aligned and oriented boxes of the objects on a raster, as JSON and as table rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from geographer.base.errors import UsageError
from geographer.base.values import parse_line_width
from geographer.operations.label.base import LabelRecipe

if TYPE_CHECKING:
    from geographer.operations.label.rendering.box_files import BoxRenderer
    from geographer.storage.queries.revision import Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelBoxes(LabelRecipe):
    """A JSON file for each raster with the boxes of its objects in pixel coordinates; the table `objects` has them too.

    `min_visible` is the smallest fraction of an object's area that must lie on the raster, from 0 to 1.
    """

    kind: ClassVar[str] = "label boxes"
    file_suffix: ClassVar[str] = ".json"

    width: str | None = "1px"
    min_visible: float = 0.0

    def determine_settings(self, revision: Revision) -> dict[str, Any]:
        """Return no settings: the files depend on the recipe's parameters only.

        Raises:
            UsageError: `min_visible` is not from 0 to 1.
        """
        if not 0 <= self.min_visible <= 1:
            raise UsageError(f"invalid visible fraction {self.min_visible}. Pass --min-visible from 0 to 1.")
        return {}

    def make_renderer(self, settings: dict[str, Any]) -> BoxRenderer:
        """Return the renderer that writes the files."""
        from geographer.operations.label.rendering.box_files import BoxRenderer

        return BoxRenderer(parse_line_width(self.width or "1px"), self.min_visible)
