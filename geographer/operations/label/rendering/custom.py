"""Draws labels with a person's own label maker: what such a maker is, what it is given, and what it must hand back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geographer.base.errors import UsageError
from geographer.base.values import Grid, LineWidth
from geographer.operations.label.rendering.pixel_geometries import shapes_on
from geographer.operations.label.rendering.render import LabelMade, LabelOrder, write_label

_DTYPES = frozenset({"uint8", "uint16", "uint32", "int16", "int32", "float32", "float64"})


@dataclass(frozen=True, slots=True)
class LabelObject:
    """An object that a raster shows, as a label maker is given it.

    Attributes:
        feature_id: The feature's id, as text.
        class_name: Its class.
        value: The class's value; 0 is the background class.
        geometry: In pixel coordinates of the raster: x is the column and y the row, both 0 at the outer corner of the
            first pixel, so `rasterio.features.rasterize` takes it without a transform. It may reach past the raster.
        properties: The person's own columns of the feature, as they stood in the file that it came from.
    """

    feature_id: str
    class_name: str
    value: int
    geometry: BaseGeometry
    properties: Mapping[str, Any]


class LabelMaker(Protocol):
    """A label maker: a class that is made with the recipe's options as keyword arguments, and draws one raster's label.

    It is found by its name in the entry points of the group `geographer.labels`, or by `module:Class`. Equal objects
    and grids must give equal pixels, whatever the process, the order of rasters and the time of day. A maker that names
    its bands has an attribute `bands`, a sequence of text.
    """

    def draw(self, objects: Sequence[LabelObject], grid: Grid) -> NDArray[np.generic]:
        """The label of one raster.

        Args:
            objects: What the raster shows, in the order in which it was added.
            grid: The raster's CRS, transform, width and height.

        Returns:
            Pixels, shape (bands, rows, columns) or (rows, columns): uint8, uint16, uint32, int16, int32, float32 or
            float64. The number of bands and the type must be the same for every raster.
        """
        ...


@dataclass(frozen=True, slots=True)
class OwnDrawing:
    """What a person's label maker draws. `maker` is its `module:Class`; it is imported wherever labels are made."""

    maker: str
    options: Mapping[str, Any] = field(default_factory=dict)
    width: LineWidth | None = None

    def make(self, order: LabelOrder) -> LabelMade:
        """See `Drawing.make`.

        Raises:
            UsageError: the maker's options or what it hands back can't be used.
        """
        maker = made(self.maker, self.options)
        shapes = shapes_on(order.grid, order.shown, self.width, standing_in=False)
        objects = [
            LabelObject(one.feature_id, one.class_name, one.value, geometry, dict(one.properties or {}))
            for one, geometry in zip(shapes.shown, shapes.geometries, strict=True)
        ]
        drawn = np.asarray(maker.draw(objects, order.grid))
        self._check(drawn, order)
        pixels = drawn[np.newaxis] if drawn.ndim == 2 else drawn
        bands = tuple(str(name) for name in getattr(maker, "bands", ()))
        if bands and len(bands) != len(pixels):
            raise UsageError(f"label maker '{self.maker}' names {len(bands)} bands and draws {len(pixels)}")
        return write_label(order, pixels, bands)

    def _check(self, drawn: NDArray[np.generic], order: LabelOrder) -> None:
        due = (order.grid.height, order.grid.width)
        if drawn.ndim not in (2, 3) or drawn.shape[-2:] != due or not drawn.size or drawn.dtype.name not in _DTYPES:
            raise UsageError(
                f"label maker '{self.maker}' drew {drawn.dtype.name} of shape {drawn.shape} for raster "
                f"'{order.raster_id}': due is (bands, {due[0]}, {due[1]}) of {', '.join(sorted(_DTYPES))}"
            )


def maker_class(name: str) -> Any:
    """The class that `module:Class` names.

    Raises:
        UsageError: it can't be imported, or is no label maker.
    """
    module, _, attribute = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"label maker '{name}' can't be imported ({error}): install it, or set PYTHONPATH") from error
    if not callable(getattr(found, "draw", None)):
        raise UsageError(f"'{name}' is no label maker: it needs a method draw(objects, grid)")
    return found


def made(name: str, options: Mapping[str, Any]) -> LabelMaker:
    """The label maker `module:Class`, made with its options.

    Raises:
        UsageError: it can't be imported, or doesn't take those options.
    """
    try:
        maker: LabelMaker = maker_class(name)(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"label maker '{name}' doesn't take the options {dict(options)}: {error}") from error
    return maker
