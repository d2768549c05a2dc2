"""The ground of the model: a grid of pixels in longitude/latitude, on which rasters and features have whole coordinates.

Pixels are 1/1024 degree wide, so that every coordinate is an exact number, and no test depends on rounding.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import shapely

from tests.sample_rasters import make_pixels, write_scene

PIXEL: Final = 1 / 1024
WEST, NORTH, CRS = 10.0, 50.0, "EPSG:4326"
SCENE_SIZE: Final = 32
SCENES: Final = {"a": (0, 0), "b": (24, 0), "c": (64, 0), "d": (64, 40), "e": (88, 44)}
"""The column and row of the upper left pixel of each scene; `a` and `b` overlap, and `d` and `e`."""
CHIP_SIZES: Final = (8, 12)
GRID_SIZE: Final = 16


class Box(NamedTuple):
    """A rectangle of whole pixels: the geometry of features."""

    column: int
    row: int
    width: int
    height: int

    def make_polygon(self) -> shapely.Polygon:
        """Return the rectangle in longitude/latitude."""
        west, north = WEST + self.column * PIXEL, NORTH - self.row * PIXEL
        return shapely.box(west, north - self.height * PIXEL, west + self.width * PIXEL, north)


def write_raster(folder: Path, name: str, content: int) -> Path:
    """Write the scene `name`: one file for each content, a number from 1."""
    column, row = SCENES[name]
    path = folder / str(content) / f"{name}.tif"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        transform = (PIXEL, 0.0, WEST + column * PIXEL, 0.0, -PIXEL, NORTH - row * PIXEL)
        seed = 100 * content + ord(name)
        write_scene(path, make_pixels(1, SCENE_SIZE, SCENE_SIZE, "uint8", seed), transform=transform, crs=CRS)
    return path


def make_feature_table(features: dict[str, dict[str, Any]]) -> pa.Table:
    """Make an Arrow table of features from their class, box and properties."""
    names = sorted({name for columns in features.values() for name in columns} - {"box", "class"})
    crs = json.dumps({"ARROW:extension:name": "x", "crs": CRS})
    metadata = {"ARROW:extension:name": "geoarrow.wkb", "ARROW:extension:metadata": crs}
    geometries = [shapely.to_wkb(columns["box"].make_polygon()) for columns in features.values()]
    columns = [
        pa.array([*features], pa.string()),
        pa.array([columns["class"] for columns in features.values()], pa.string()),
        *(pa.array([columns.get(name) for columns in features.values()], pa.string()) for name in names),
        pa.array(geometries, pa.binary()),
    ]
    fields = [pa.field(name, pa.string()) for name in ("feature_id", "class", *names)]
    return pa.table(columns, schema=pa.schema([*fields, pa.field("geometry", pa.binary(), metadata=metadata)]))


def make_boxes_table(boxes: dict[str, Box]) -> pa.Table:
    """Make an Arrow table of the boxes that a recipe cuts."""
    return make_feature_table({name: {"box": box, "class": "box"} for name, box in boxes.items()}).rename_columns(
        ["box_id", "kind", "geometry"]
    )
