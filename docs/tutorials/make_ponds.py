"""Write the sample input of the tutorials: ponds in a GeoPackage, and two scenes that show them as GeoTIFFs.

`python make_ponds.py DIR` writes `ponds.gpkg`, `survey.gpkg` (what a later survey found), `scenes/west.tif` and
`scenes/east.tif`. The same files are written each time.
"""

import sys
from pathlib import Path

import numpy as np
import pyogrio
import rasterio
import rasterio.features
import shapely
from affine import Affine

CRS = "EPSG:32633"
PIXEL = 10.0
SIZE = 240
WEST, NORTH = 500_000.0, 5_200_000.0
SCENES = {"west": WEST, "east": WEST + 200 * PIXEL}
"""The western edge of each scene; they overlap by 40 columns."""
BANDS = {"blue": 700, "green": 900, "red": 850, "nir": 2600}
"""Mean reflectance of land in each band, times 10,000."""
KINDS = ("pond", "pond", "reservoir", "gravel pit")


def make_ponds(rng: np.random.Generator) -> list[tuple[str, str, shapely.Polygon]]:
    """Return the id, kind and outline of the ponds: one in each cell of a grid, at a random position of the cell."""
    ponds = []
    for row in range(5):
        for column in range(9):
            x = WEST + 250 + 480 * column + rng.uniform(-80, 80)
            y = NORTH - 250 - 480 * row + rng.uniform(-80, 80)
            outline = shapely.Point(x, y).buffer(rng.uniform(45, 110), quad_segs=4)
            ponds.append((f"P{row}{column}", KINDS[(2 * row + column) % 4], outline))
    return ponds


def write_ponds(path: Path, ponds: list[tuple[str, str, shapely.Polygon]]) -> None:
    """Write ponds as a layer with the columns `pond_id` and `kind`."""
    ids, kinds, outlines = zip(*ponds, strict=True)
    columns = {"pond_id": np.array(ids, object), "kind": np.array(kinds, object)}
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(np.array(outlines)),
        field_data=[*columns.values()],
        fields=[*columns],
        geometry_type="Polygon",
        crs=CRS,
        driver="GPKG",
    )


def make_fields(west: float) -> np.ndarray:
    """Return the relative brightness of the land that a scene shows: fields of 60 m by 60 m."""
    scenes = SIZE + round((SCENES["east"] - WEST) / PIXEL)
    fields = np.random.default_rng(1).uniform(0.7, 1.3, (SIZE // 6 + 1, scenes // 6 + 1))
    first = round((west - WEST) / PIXEL)
    return fields.repeat(6, axis=0).repeat(6, axis=1)[:SIZE, first : first + SIZE]


def write_scene(
    path: Path, west: float, ponds: list[tuple[str, str, shapely.Polygon]], rng: np.random.Generator
) -> None:
    """Write a scene of 16 bit in which the ponds are dark, above all in the near infrared."""
    transform = Affine(PIXEL, 0, west, 0, -PIXEL, NORTH)
    outlines = [outline for _, _, outline in ponds]
    water = rasterio.features.rasterize(outlines, (SIZE, SIZE), transform=transform).astype(bool)
    fields = make_fields(west)
    pixels = [np.where(water, 350, mean * fields) + rng.normal(0, 25, water.shape) for mean in BANDS.values()]
    profile = {"driver": "GTiff", "width": SIZE, "height": SIZE, "count": len(BANDS), "dtype": "uint16", "crs": CRS}
    with rasterio.open(path, "w", **profile, transform=transform, compress="deflate") as scene:
        scene.write(np.array(pixels).round().astype(np.uint16))
        scene.descriptions = tuple(BANDS)


def write_input(folder: Path) -> None:
    """Write all files into a folder."""
    rng = np.random.default_rng(18)
    (folder / "scenes").mkdir(parents=True)
    ponds = make_ponds(rng)
    write_ponds(folder / "ponds.gpkg", [pond for pond in ponds if pond[0] != "P44"])
    for name, west in SCENES.items():
        write_scene(folder / "scenes" / f"{name}.tif", west, ponds, rng)
    grown = [(id, kind, outline.buffer(30)) for id, kind, outline in ponds if id == "P22"]
    write_ponds(folder / "survey.gpkg", [*grown, *(pond for pond in ponds if pond[0] == "P44")])


if __name__ == "__main__":
    write_input(Path(sys.argv[1]))
