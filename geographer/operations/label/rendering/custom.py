"""Render labels with a user's label maker: its interface, and checks of what it returns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geographer.base.errors import UsageError
from geographer.base.plugins import PluginKind
from geographer.base.values import Grid
from geographer.operations.label.rendering.pixel_geometries import PixelGeometries, iter_pixel_geometries
from geographer.operations.label.rendering.render import DrawnLabel, write_labels
from geographer.operations.label.tasks import LabelResult, LabelTask
from geographer.planning.up_to_date_labels import LabelSettings

if TYPE_CHECKING:
    from geographer.operations.label.custom import LabelCustom

LABEL_MAKERS: Final = PluginKind("label maker", "geographer.labels", "geographer.LabelMaker")
"""Label makers are named by entry points of this kind."""

_DTYPES = frozenset({"uint8", "uint16", "uint32", "int16", "int32", "float32", "float64"})


@dataclass(frozen=True, slots=True)
class LabelObject:
    """An object on a raster, as a label maker receives it; `value` is the class value, 0 that of the background class.

    `geometry` is in pixel coordinates: x is the column and y the row, both 0 at the outer corner of the first pixel, so
    that `rasterio.features.rasterize` needs no transform. It is not clipped to the raster. `properties` are the user
    columns of the feature, with the values of the file that it was added from.
    """

    feature_id: str
    class_name: str
    value: int
    geometry: BaseGeometry
    properties: Mapping[str, Any]


class LabelMaker(Protocol):
    """A user's class that draws labels. Its constructor takes the recipe's options as keyword arguments.

    It is found in the entry points of the group `geographer.labels`, or by `module:Class`. Equal objects and grids must
    give equal pixels in every process, in any order of rasters, and at any time. An optional attribute `bands`, a
    sequence of text, names the bands.
    """

    def draw(self, objects: Sequence[LabelObject], grid: Grid) -> NDArray[np.generic]:
        """Return the pixels of a label, shape (bands, rows, columns) or (rows, columns).

        The dtype is uint8, uint16, uint32, int16, int32, float32 or float64; it and the number of bands must be the
        same for every raster. `objects` are in the order in which the features were added; `grid` is the raster's CRS,
        transform, width and height.
        """
        ...


def render_custom_labels(
    tasks: Sequence[LabelTask], recipe: "LabelCustom", settings: LabelSettings
) -> Iterator[LabelResult]:
    """Draw labels with the recipe's label maker; raise `UsageError` if it does not return one."""
    geometries = iter_pixel_geometries(tasks, recipe.line_width, represent_small=False)
    return write_labels(map(partial(_draw_custom_label, recipe, settings), tasks, geometries))


def _draw_custom_label(
    recipe: "LabelCustom", settings: LabelSettings, task: LabelTask, shapes: PixelGeometries
) -> DrawnLabel:
    name = settings.maker.class_path if settings.maker else str(recipe.maker)
    maker = make_label_maker(name, recipe.options)
    objects = [
        LabelObject(item.feature_id, item.class_name, item.value, geometry, dict(item.properties or {}))
        for item, geometry in zip(shapes.objects, shapes.geometries, strict=True)
    ]
    drawn, size = np.asarray(maker.draw(objects, task.grid)), shapes.raster_size
    if drawn.ndim not in (2, 3) or drawn.shape[-2:] != size or not drawn.size or drawn.dtype.name not in _DTYPES:
        raise UsageError(
            f"label maker '{name}' drew {drawn.dtype.name} of shape {drawn.shape} for raster '{task.raster_id}'. "
            f"Expected shape (bands, {size[0]}, {size[1]}), dtype {', '.join(sorted(_DTYPES))}."
        )
    pixels = drawn[np.newaxis] if drawn.ndim == 2 else drawn
    bands = tuple(str(band) for band in getattr(maker, "bands", ()))
    if bands and len(bands) != len(pixels):
        raise UsageError(
            f"label maker '{name}' drew pixels of shape {pixels.shape} and has band names {bands}. "
            "Return one band for each name."
        )
    return DrawnLabel(task, pixels, bands)


def make_label_maker(name: str, options: Mapping[str, Any]) -> LabelMaker:
    """Return the label maker of an entry point or `module:Class`, made with its options.

    Raise `PluginError` if it cannot be imported, `UsageError` if it has no method `draw` or rejects the options.
    """
    maker_class = LABEL_MAKERS.require_plugin(name)
    if not callable(getattr(maker_class, "draw", None)):
        raise UsageError(f"'{name}' is not a label maker. Give it a method draw(objects, grid).")
    try:
        maker: LabelMaker = maker_class(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"label maker '{name}' does not accept the options {dict(options)}: {error}") from error
    return maker
