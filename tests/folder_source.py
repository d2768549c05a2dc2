"""An archive that is a folder, as a source of one's own: its products are GeoTIFFs beside an index."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import shapely

from geographer.archives.base import BytesCallback, Product, SearchQuery, Source
from geographer.base.errors import SourceError
from geographer.readers.base import ProductFiles, Reader, ReadResult
from tests.sample_history import NORTH, PIXEL, WEST, place
from tests.sample_rasters import pixels, write_scene

SIDE = 64


class Shelf(Source):
    """Products of `index.json` in the folder that the option `folder` names, two on a page."""

    def __init__(self, *, provider: str | None, collection: str | None, folder: str, query: Any = None) -> None:
        super().__init__(provider=provider or "shelf", collection=collection, folder=folder)
        self.folder, self.query = Path(folder), query or {}

    def search(self, query: SearchQuery) -> Iterator[list[Product]]:
        """See `Source.search`; what was asked is noted in `asked.jsonl`."""
        index = json.loads((self.folder / "index.json").read_text())
        with (self.folder / "asked.jsonl").open("a") as asked:
            asked.write(json.dumps(query) + "\n")
        if index.get("down"):
            raise SourceError("the shelf is closed")
        around = shapely.box(*query[:4])
        met = [one for one in index["products"] if shapely.from_wkt(one["footprint"]).intersects(around)]
        for first in range(0, max(len(met), 1), 2):
            yield [self._product(one) for one in met[first : first + 2]]

    def fetch(self, product: Product, folder: Path, told: BytesCallback) -> None:
        """See `Source.fetch`; what was fetched is noted in `fetched.txt`."""
        with (self.folder / "fetched.txt").open("a") as fetched:
            fetched.write(f"{product.product_id}\n")
        source = self.folder / f"{product.product_id}.tif"
        if not source.exists():
            raise SourceError("it has fallen off the shelf")
        shutil.copy(source, folder / source.name)
        told(source.stat().st_size)

    def _product(self, one: dict[str, Any]) -> Product:
        return Product(
            provider=str(self.provider),
            collection=self.collection or "scenes",
            product_id=one["id"],
            footprint=shapely.to_wkb(shapely.from_wkt(one["footprint"])),
            crs="EPSG:32633" if one["outline"] else None,
            outline=shapely.to_wkb(shapely.from_wkt(one["outline"])) if one["outline"] else None,
            acquired=one["acquired"],
            cloud_cover=one["cloud"],
            size=one["size"],
            licence="CC0",
            properties=one["properties"],
        )


class Broken(Reader):
    """A reader that raises what it should not."""

    name = "broken"

    @classmethod
    def can_read(cls, arrived: ProductFiles) -> bool:
        """See `Reader.reads`."""
        return False

    def read(self, arrived: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        raise KeyError("nothing")


class Idle(Broken):
    """A reader that makes nothing."""

    name = "idle"

    def read(self, arrived: ProductFiles, destination: Path) -> ReadResult:
        """See `Reader.read`."""
        return ReadResult()


def shelve(
    folder: Path,
    name: str,
    *,
    column: int = 0,
    row: int = 0,
    side: int = SIDE,
    acquired: str = "2026-06-01T10:00:00",
    cloud: float | None = 5.0,
    exact: bool = True,
    missing: bool = False,
    valid_columns: int | None = None,
    **properties: Any,
) -> str:
    """Put a scene of `side` pixels on the shelf, whose upper-left pixel is at `column`, `row` of the first scene's grid."""
    folder.mkdir(exist_ok=True)
    index = json.loads((folder / "index.json").read_text()) if (folder / "index.json").exists() else {"products": []}
    values = pixels(2, side, side, "uint8", seed=len(index["products"]) + 1) // 2 + 1
    if valid_columns is not None:
        values[:, :, valid_columns:] = 0
    transform = (PIXEL, 0.0, WEST + PIXEL * column, 0.0, -PIXEL, NORTH - PIXEL * row)
    path = write_scene(folder / f"{name}.tif", values, transform=transform, nodata=0)
    corners = [place(column + x, row + y) for x, y in ((0, 0), (side, 0), (side, side), (0, side))]
    shown = [
        place(column + x, row + y)
        for x, y in ((0, 0), (valid_columns or side, 0), (valid_columns or side, side), (0, side))
    ]
    index["products"].append(
        {
            "id": name,
            "outline": shapely.Polygon(corners).wkt if exact else None,
            "footprint": _degrees(shapely.Polygon(shown)).wkt,
            "acquired": acquired,
            "cloud": cloud,
            "size": path.stat().st_size,
            "properties": properties,
        }
    )
    (folder / "index.json").write_text(json.dumps(index))
    if missing:
        path.rename(path.with_suffix(".gone"))
    return name


def close(folder: Path, *, closed: bool = True) -> None:
    """Let the shelf answer no search."""
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, "down": closed}))


def bring_back(folder: Path, name: str) -> None:
    """Let a scene that was missing be there."""
    (folder / f"{name}.gone").rename(folder / f"{name}.tif")


def fetched(folder: Path) -> list[str]:
    """What has been fetched so far, in the order of their names."""
    noted = folder / "fetched.txt"
    return sorted(noted.read_text().splitlines()) if noted.exists() else []


def searches(folder: Path) -> int:
    """How often the shelf was searched."""
    noted = folder / "asked.jsonl"
    return len(noted.read_text().splitlines()) if noted.exists() else 0


def _degrees(polygon: shapely.Polygon) -> shapely.Polygon:
    from pyproj import Transformer

    into = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    return shapely.transform(polygon, lambda at: list(zip(*into.transform(at[:, 0], at[:, 1]), strict=True)))
