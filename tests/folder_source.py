"""A custom source whose archive is a folder of GeoTIFFs with an index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shapely

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source
from geographer.base.errors import OrderRequiredError, SourceError
from geographer.readers.base import ProductFiles, Reader, ReadResult
from tests.sample_history import NORTH, PIXEL, WEST, grid_coordinates
from tests.sample_rasters import make_pixels, write_scene

SCENE_SIZE = 64


class FolderSource(Source):
    """Products listed in `index.json` of the folder in the option `folder`, two per page."""

    def __init__(self, *, provider: str | None, collection: str | None, folder: str, query: Any = None) -> None:
        super().__init__(provider=provider or "folder", collection=collection, folder=folder)
        self.folder, self.query = Path(folder), query or {}

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`; appends each query to `searches.jsonl`."""
        index = json.loads((self.folder / "index.json").read_text())
        with (self.folder / "searches.jsonl").open("a") as searches_file:
            searches_file.write(json.dumps(query) + "\n")
        if index.get("down"):
            raise SourceError("the archive is offline")
        search_area = shapely.box(*query[:4])
        matches = [entry for entry in index["products"] if shapely.from_wkt(entry["footprint"]).intersects(search_area)]
        for first in range(0, max(len(matches), 1), 2):
            yield [self._product(entry) for entry in matches[first : first + 2]]

    def fetch(self, product: Product, folder: Path, on_progress: BytesCallback) -> None:
        """See `Source.fetch`; appends each product id to `fetched.txt`."""
        if (self.folder / f"{product.product_id}.offline").exists():
            if product.order is None:
                _append_line(self.folder / "orders.txt", product.product_id)
            raise OrderRequiredError("in the archive's cellar", order={"id": f"order-{product.product_id}"})
        _append_line(self.folder / "fetched.txt", product.product_id)
        source = self.folder / f"{product.product_id}.tif"
        if not source.exists():
            raise SourceError("the product is missing")
        shutil.copy(source, folder / source.name)
        on_progress(source.stat().st_size)

    def _product(self, entry: dict[str, Any]) -> Product:
        return Product(
            provider=str(self.provider),
            collection=self.collection or "scenes",
            product_id=entry["id"],
            footprint=shapely.to_wkb(shapely.from_wkt(entry["footprint"])),
            crs="EPSG:32633" if entry["outline"] else None,
            outline=shapely.to_wkb(shapely.from_wkt(entry["outline"])) if entry["outline"] else None,
            acquired=entry["acquired"],
            cloud_cover=entry["cloud"],
            size=entry["size"],
            licence="CC0",
            properties=entry["properties"],
        )


class FailingReader(Reader):
    """A reader that raises an unexpected exception."""

    name = "failing"

    @classmethod
    def can_read(cls, product_files: ProductFiles) -> bool:
        """See `Reader.can_read`."""
        return False

    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        raise KeyError("nothing")


class IdleReader(FailingReader):
    """A reader that writes no file."""

    name = "idle"

    def read(self, product_files: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        return ReadResult()


def add_scene(
    folder: Path,
    name: str,
    *,
    column: int = 0,
    row: int = 0,
    n_pixels: int = SCENE_SIZE,
    acquired: str = "2026-06-01T10:00:00",
    cloud_cover: float | None = 5.0,
    has_outline: bool = True,
    is_missing: bool = False,
    valid_columns: int | None = None,
    **properties: Any,
) -> str:
    """Add a scene of `n_pixels` x `n_pixels` with its upper-left pixel at `column`, `row` of the first scene's grid."""
    folder.mkdir(exist_ok=True)
    index = json.loads((folder / "index.json").read_text()) if (folder / "index.json").exists() else {"products": []}
    values = make_pixels(2, n_pixels, n_pixels, "uint8", seed=len(index["products"]) + 1) // 2 + 1
    if valid_columns is not None:
        values[:, :, valid_columns:] = 0
    transform = (PIXEL, 0.0, WEST + PIXEL * column, 0.0, -PIXEL, NORTH - PIXEL * row)
    path = write_scene(folder / f"{name}.tif", values, transform=transform, nodata=0)
    corners = [
        grid_coordinates(column + x, row + y) for x, y in ((0, 0), (n_pixels, 0), (n_pixels, n_pixels), (0, n_pixels))
    ]
    valid_corners = [
        grid_coordinates(column + x, row + y)
        for x, y in ((0, 0), (valid_columns or n_pixels, 0), (valid_columns or n_pixels, n_pixels), (0, n_pixels))
    ]
    index["products"].append(
        {
            "id": name,
            "outline": shapely.Polygon(corners).wkt if has_outline else None,
            "footprint": _to_lonlat(shapely.Polygon(valid_corners)).wkt,
            "acquired": acquired,
            "cloud": cloud_cover,
            "size": path.stat().st_size,
            "properties": properties,
        }
    )
    (folder / "index.json").write_text(json.dumps(index))
    if is_missing:
        path.rename(path.with_suffix(".gone"))
    return name


def _append_line(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def set_product_offline(folder: Path, name: str, *, offline: bool = True) -> None:
    """Let a product need an order, or deliver it again."""
    flag = folder / f"{name}.offline"
    flag.touch() if offline else flag.unlink()


def list_orders(folder: Path) -> list[str]:
    """Return the ids of all ordered products, in order."""
    record_file = folder / "orders.txt"
    return record_file.read_text().splitlines() if record_file.exists() else []


def set_offline(folder: Path, *, offline: bool = True) -> None:
    """Let searches of the archive fail, or work again."""
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, "down": offline}))


def restore_scene(folder: Path, name: str) -> None:
    """Restore the file of a scene that was added with `is_missing`."""
    (folder / f"{name}.gone").rename(folder / f"{name}.tif")


def list_fetched(folder: Path) -> list[str]:
    """Return the ids of all fetched products, sorted."""
    record_file = folder / "fetched.txt"
    return sorted(record_file.read_text().splitlines()) if record_file.exists() else []


def count_searches(folder: Path) -> int:
    """Return how many searches were made."""
    record_file = folder / "searches.jsonl"
    return len(record_file.read_text().splitlines()) if record_file.exists() else 0


def _to_lonlat(polygon: shapely.Polygon) -> shapely.Polygon:
    from pyproj import Transformer

    transformer = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    return shapely.transform(
        polygon, lambda points: list(zip(*transformer.transform(points[:, 0], points[:, 1]), strict=True))
    )
