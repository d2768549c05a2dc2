"""`label boxes`: axis-aligned and oriented boxes of the objects on a raster, as JSON and as table rows."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from geographer.base.parameters import Parameter
from geographer.operations.label.base import WIDTH, LabelRecipe
from geographer.operations.label.events import DROPPED, make_payload_rules


class LabelBoxes(LabelRecipe, kw_only=True, frozen=True):
    """Make a JSON file of axis-aligned and oriented boxes in pixel coordinates; 'geographer objects' lists them.

    An object is transformed into the raster's pixel grid, clipped to the raster, then boxed. Coordinates are fractional
    pixels (x = column, y = row, both 0 at the outer corner of the first pixel). The oriented box is the smallest
    rectangle around the visible part; its corners start at the topmost one, run from x towards y, and may lie outside
    the raster. `visible` is the visible fraction of the object's area. The background class has no boxes and hides
    none.
    """

    kind: ClassVar[str] = "label boxes"
    renderer: ClassVar[str] = "box_files:render_boxes"
    lists_objects: ClassVar[bool] = True
    payload_rules: ClassVar[Mapping[str, Any]] = make_payload_rules("labels", notes=(DROPPED,))
    file_suffix: ClassVar[str] = ".json"
    names_features: ClassVar[bool] = True
    example: ClassVar[str] = "label boxes boxes --collection chips --min-visible 0.5"

    # Lines and points need a width to have a box.
    width: Annotated[str | float | None, WIDTH._replace(default="none")] = "1px"
    min_visible: Annotated[
        float,
        Parameter("Drop objects of which a smaller fraction lies on the raster.", "FRACTION", minimum=0, maximum=1),
    ] = 0.0
