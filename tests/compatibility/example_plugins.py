"""Plugins that the example commands name as `example_plugins:NAME`: a source, a cutter, a label maker, a selector.

They run under each version that is compared, and the names of geographer's Python API differ between versions. All
that depends on these names is in the first part of this file.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import shapely

import geographer

# --- The names of the API, which differ between versions ---------------------------------------------------------


def _find_name(*names: str) -> Any:
    """Return the first of `names` that geographer has. Add the new name here when one was renamed."""
    for name in names:
        if hasattr(geographer, name):
            return getattr(geographer, name)
    raise ImportError(f"geographer has none of {', '.join(names)}: add the new name in {__file__}")


_Source = _find_name("Source", "Archive")
_SourceError = _find_name("SourceError", "ArchiveError")
_Product = _find_name("Product", "Scene")
_Cutter = _find_name("Cutter", "ChipCutter")
_LabelMaker = _find_name("LabelMaker")

_PRODUCT_FIELDS = {
    "provider": ("provider",),
    "collection": ("collection", "product_collection"),
    "product_id": ("product_id", "id"),
    "footprint": ("footprint",),
    "crs": ("crs",),
    "outline": ("outline",),
    "acquired": ("acquired", "acquired_at"),
    "cloud_cover": ("cloud_cover",),
    "size": ("size", "size_bytes"),
    "licence": ("licence", "license"),
    "properties": ("properties",),
}
"""The fields of a product that `Shelf` fills, each with its names in all versions."""


def _field_name(key: str) -> str:
    """Return the name that the field `key` of a product has in this version."""
    known = {field.name for field in fields(_Product)}
    return next(name for name in _PRODUCT_FIELDS[key] if name in known)


def _make_product(**values: Any) -> Any:
    return _Product(**{_field_name(key): value for key, value in values.items()})


def _name_source_methods() -> tuple[str, str]:
    """Return the names of the two methods that a source defines."""
    first, second = sorted(_Source.__abstractmethods__, key=lambda name: "search" not in name)
    return first, second


def _name_cutter_method() -> str:
    """Return the name of the one method that a cutter defines."""
    (name,) = _Cutter.__abstractmethods__
    return str(name)


def _name_label_maker_method() -> str:
    """Return the name of the one method that a label maker defines."""
    (name,) = (name for name, value in vars(_LabelMaker).items() if callable(value) and not name.startswith("_"))
    return str(name)


# --- The plugins ---------------------------------------------------------------------------------------------------


class _Shelf:
    """An archive in the folder of the option `folder`: GeoTIFFs and an `index.json`; a page has two products."""

    version = "1"

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.folder = Path(given["folder"])

    def _search(self, query: Any, *_: Any, **__: Any) -> Any:
        box = shapely.box(query.west, query.south, query.east, query.north)
        index = json.loads((self.folder / "index.json").read_text())
        matches = [entry for entry in index if shapely.from_wkt(entry["footprint"]).intersects(box)]
        for start in range(0, max(len(matches), 1), 2):
            yield [self._product(entry) for entry in matches[start : start + 2]]

    def _fetch(self, product: Any, folder: Path, report_bytes: Any, *_: Any, **__: Any) -> None:
        path = self.folder / f"{getattr(product, _field_name('product_id'))}.tif"
        if not path.exists():
            raise _SourceError("the shelf lacks this product")
        shutil.copy(path, folder / path.name)
        report_bytes(path.stat().st_size)

    def _product(self, entry: dict[str, Any]) -> Any:
        return _make_product(
            provider="shelf",
            collection="scenes",
            product_id=entry["id"],
            footprint=shapely.to_wkb(shapely.from_wkt(entry["footprint"])),
            crs="EPSG:32633",
            outline=shapely.to_wkb(shapely.from_wkt(entry["outline"])),
            acquired=entry["acquired"],
            cloud_cover=entry["cloud_cover"],
            size=entry["size"],
            licence="CC0",
            properties=entry["properties"],
        )


Shelf = type(
    "Shelf", (_Shelf, _Source), dict(zip(_name_source_methods(), (_Shelf._search, _Shelf._fetch), strict=True))
)
Shelf.__module__ = __name__


class _Corners:
    """Cuts one chip near the upper left corner of every raster."""

    version = "1"

    def _windows(self, _features: Any, rasters: Any, *_: Any, **__: Any) -> list[tuple[str, tuple[int, int, int, int]]]:
        inset = self.options["inset"]  # type: ignore[attr-defined]
        return [
            (row["raster_id"], (inset, inset, row["chip_width"], row["chip_height"])) for row in rasters.to_pylist()
        ]


Corners = type("Corners", (_Corners, _Cutter), {_name_cutter_method(): _Corners._windows})
Corners.__module__ = __name__


class Depths:
    """Draws how many objects cover a pixel, by their bounds, and the sum of their depths times `scale`."""

    version = "1"
    bands = ("count", "depth")

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def _draw(self, objects: Any, grid: Any) -> Any:
        pixels = np.zeros((2, grid.height, grid.width), np.float32)
        for shape in objects:
            x0, y0, x1, y1 = (max(round(bound), 0) for bound in shape.geometry.bounds)
            pixels[0, y0:y1, x0:x1] += 1
            pixels[1, y0:y1, x0:x1] += (shape.properties.get("depth") or 0) * self.scale
        return pixels


setattr(Depths, _name_label_maker_method(), Depths._draw)


def select_ponds(features: Any) -> list[Any]:
    """Select the features of the class pond."""
    return [row["feature_id"] for row in features.to_pylist() if row["class"] == "pond"]


select_ponds.version = "1"  # type: ignore[attr-defined]
