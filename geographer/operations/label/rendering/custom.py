"""Render labels with a user's label maker: its interface, and checks of what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from geographer.base.errors import UsageError
from geographer.base.plugins import import_object
from geographer.operations.label.rendering.pixel_geometries import to_pixel_geometries
from geographer.operations.label.rendering.render import LabelResult, LabelTask, write_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from shapely.geometry.base import BaseGeometry

    from geographer.base.values import Grid, LineWidth

_DTYPES = frozenset({"uint8", "uint16", "uint32", "int16", "int32", "float32", "float64"})


@dataclass(frozen=True, slots=True)
class LabelObject:
    """An object on a raster, as a label maker receives it.

    Attributes:
        feature_id: The feature's id, as text.
        class_name: Its class.
        value: The class value; 0 is the background class.
        geometry: In pixel coordinates of the raster: x is the column and y the row, both 0 at the outer corner of the
            first pixel, so that `rasterio.features.rasterize` needs no transform. Not clipped to the raster.
        properties: The user columns of the feature, with the values of the file that it was added from.
    """

    feature_id: str
    class_name: str
    value: int
    geometry: BaseGeometry
    properties: Mapping[str, Any]


class LabelMaker(Protocol):
    """A user's class that draws labels. Its constructor takes the recipe's options as keyword arguments.

    It is found by its name in the entry points of the group `geographer.labels`, or by `module:Class`. Equal objects
    and grids must give equal pixels in every process, in any order of rasters, and at any time. An optional attribute
    `bands`, a sequence of text, names the bands.
    """

    def draw(self, objects: Sequence[LabelObject], grid: Grid) -> NDArray[np.generic]:
        """Return the label of one raster.

        Args:
            objects: The objects on the raster, in the order in which the features were added.
            grid: The raster's CRS, transform, width and height.

        Returns:
            Pixels, shape (bands, rows, columns) or (rows, columns): uint8, uint16, uint32, int16, int32, float32 or
            float64. The number of bands and the dtype must be the same for every raster.
        """
        ...


@dataclass(frozen=True, slots=True)
class CustomRenderer:
    """Renders labels with the label maker `maker`, `module:Class`, which each worker process imports."""

    maker: str
    options: Mapping[str, Any] = field(default_factory=dict)
    width: LineWidth | None = None

    def render_label(self, task: LabelTask) -> LabelResult:
        """Make one label; see `LabelRenderer.render_label`.

        Raises:
            UsageError: the label maker does not accept its options, or does not return a label.
        """
        maker = make_label_maker(self.maker, self.options)
        shapes = to_pixel_geometries(task.grid, task.objects, self.width, represent_small=False)
        objects = [
            LabelObject(item.feature_id, item.class_name, item.value, geometry, dict(item.properties or {}))
            for item, geometry in zip(shapes.objects, shapes.geometries, strict=True)
        ]
        drawn = np.asarray(maker.draw(objects, task.grid))
        size = (task.grid.height, task.grid.width)
        if drawn.ndim not in (2, 3) or drawn.shape[-2:] != size or not drawn.size or drawn.dtype.name not in _DTYPES:
            raise UsageError(
                f"label maker '{self.maker}' drew {drawn.dtype.name} of shape {drawn.shape} for raster "
                f"'{task.raster_id}'. Expected shape (bands, {size[0]}, {size[1]}), "
                f"dtype {', '.join(sorted(_DTYPES))}."
            )
        pixels = drawn[np.newaxis] if drawn.ndim == 2 else drawn
        bands = tuple(str(name) for name in getattr(maker, "bands", ()))
        if bands and len(bands) != len(pixels):
            raise UsageError(
                f"label maker '{self.maker}' drew pixels of shape {pixels.shape} and has band names {bands}. "
                "Return one band for each name."
            )
        return write_label(task, pixels, bands)


def make_label_maker(name: str, options: Mapping[str, Any]) -> LabelMaker:
    """Return the label maker `module:Class`, made with its options.

    Raises:
        UsageError: it cannot be imported, has no method `draw`, or does not accept these options.
    """
    try:
        maker_class = import_object(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"label maker '{name}' cannot be imported ({error}). Install it, or set PYTHONPATH."
        ) from error
    if not callable(getattr(maker_class, "draw", None)):
        raise UsageError(f"'{name}' is not a label maker. Give it a method draw(objects, grid).")
    try:
        maker: LabelMaker = maker_class(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"label maker '{name}' does not accept the options {dict(options)}: {error}") from error
    return maker
