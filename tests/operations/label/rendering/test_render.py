"""Class masks, against shapely's answer for the centre of every pixel."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely

from geographer.base.errors import StorageError, UsageError
from geographer.base.values import Checksums, Grid, Transform, Window
from geographer.operations.cut.render import ChipOrder, cut
from geographer.operations.label.rendering.pixel_geometries import Shown
from geographer.operations.label.rendering.rasterize import MaskDrawing
from geographer.operations.label.rendering.render import LabelOrder, burn
from geographer.rasters.crs import crs_to_text, parse_crs
from geographer.rasters.pixel_digest import compute_pixel_digest
from geographer.rasters.read import read_raster_info
from tests.sample_rasters import CUSTOM, NORTH_UP, SOUTH_UP, TURNED, at, pixels, write_scene

PLACES = {
    "north-up": NORTH_UP,
    "south-up": SOUTH_UP,
    "turned": TURNED,
    "long pixels": (30, 0, 7.7, 0, -4, 3.3),
}


def grid(transform: tuple[float, ...] = NORTH_UP, width: int = 40, height: int = 30, crs: str = "EPSG:32633") -> Grid:
    return Grid(crs, Transform(*transform), width, height)


def ordered(path: Path, where: Grid, *shapes: tuple[shapely.Geometry, int]) -> LabelOrder:
    """The order of a label that shows `shapes`, each of a class with its value."""
    shown = (Shown(f"f{n}", f"c{value}", value, shapely.to_wkb(shape)) for n, (shape, value) in enumerate(shapes))
    return LabelOrder("a raster", where, tuple(shown), str(path))


def burn_one(path: Path, where: Grid, *shapes: tuple[shapely.Geometry, int], dtype: str = "uint8") -> np.ndarray:
    """The pixels of the one mask of `shapes`, of which the last lies on top."""
    list(burn([ordered(path, where, *shapes)], MaskDrawing(dtype, overlap="newest")))
    with rasterio.open(path) as raster:
        return raster.read(1)


def centres(where: Grid) -> np.ndarray:
    """The centre of every pixel, as points of shape (rows, columns)."""
    columns, rows = np.meshgrid(np.arange(where.width) + 0.5, np.arange(where.height) + 0.5)
    return shapely.points(*at(where.transform, columns, rows))


def blob(where: Grid, seed: int) -> shapely.Polygon:
    """An irregular polygon, partly outside the grid, whose edge runs through no pixel's centre."""
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 25))
    radius = random.uniform(3, 17, 25)
    middle = random.uniform(0, 1, 2) * (where.width, where.height)
    return shapely.Polygon(
        np.column_stack(at(where.transform, middle[0] + radius * np.cos(angles), middle[1] + radius * np.sin(angles)))
    )


@pytest.mark.parametrize("transform", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("seed", range(4))
def test_a_polygon_fills_the_pixels_whose_centres_it_holds(tmp_path: Path, transform: tuple[float, ...], seed: int):
    where = grid(transform)
    polygon = shapely.difference(blob(where, seed), blob(where, seed + 100))
    found = burn_one(tmp_path / "m.tif", where, (polygon, 3))
    assert np.array_equal(found, 3 * shapely.contains(polygon, centres(where)))
    assert found.any()


def test_later_shapes_lie_on_top_and_zero_erases(tmp_path: Path):
    where = grid()
    first, second, third, hole = (blob(where, seed) for seed in (1, 2, 3, 5))
    found = burn_one(tmp_path / "m.tif", where, (first, 5), (second, 2), (third, 5), (hole, 0))
    expected = np.zeros((30, 40), int)
    for polygon, value in ((first, 5), (second, 2), (third, 5), (hole, 0)):
        expected[shapely.contains(polygon, centres(where))] = value
    assert np.array_equal(found, expected)
    assert set(np.unique(found)) == {0, 2, 5}


@pytest.mark.parametrize("transform", PLACES.values(), ids=PLACES)
def test_a_point_marks_the_pixel_that_it_lies_in(tmp_path: Path, transform: tuple[float, ...]):
    where = grid(transform)
    inside = shapely.MultiPoint([at(transform, 3.3, 4.9), at(transform, 39.9, 0.1), at(transform, -0.5, 3)])
    found = burn_one(tmp_path / "m.tif", where, (inside, 9), (shapely.Point(at(transform, 7.5, 7.5)), 4))
    expected = np.zeros((30, 40), int)
    expected[4, 3] = expected[0, 39] = 9
    expected[7, 7] = 4
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("transform", PLACES.values(), ids=PLACES)
def test_a_line_marks_the_pixels_along_it(tmp_path: Path, transform: tuple[float, ...]):
    where = grid(transform)
    line = shapely.LineString([at(transform, 2.5, 6.5), at(transform, 20.5, 6.5), at(transform, 20.5, 25.5)])
    found = burn_one(tmp_path / "m.tif", where, (line, 1))
    expected = np.zeros((30, 40), int)
    expected[6, 2:21] = expected[6:26, 20] = 1
    assert np.array_equal(found, expected)


def test_collections_and_multipolygons_are_drawn_whole(tmp_path: Path):
    where = grid()
    parts = [
        shapely.box(500_020, 5_199_900, 500_050, 5_199_950),
        shapely.box(500_200, 5_199_800, 500_290, 5_199_890),
    ]
    point = shapely.Point(at(NORTH_UP, 39.5, 29.5))
    found = burn_one(tmp_path / "m.tif", where, (shapely.GeometryCollection([shapely.MultiPolygon(parts), point]), 1))
    expected = shapely.contains(shapely.union_all(parts), centres(where)).astype(int)
    expected[29, 39] = 1
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    "shapes",
    [(), ((shapely.Polygon(), 1),), ((shapely.box(0, 0, 1, 1), 1),)],
    ids=["none", "empty", "elsewhere"],
)
def test_without_anything_to_draw_all_is_background(tmp_path: Path, shapes: tuple[tuple[shapely.Geometry, int], ...]):
    assert np.array_equal(burn_one(tmp_path / "m.tif", grid(), *shapes), np.zeros((30, 40)))


def test_an_empty_shape_does_not_hide_the_others(tmp_path: Path):
    found = burn_one(tmp_path / "m.tif", grid(), (shapely.Polygon(), 1), (shapely.Point(at(NORTH_UP, 1.5, 2.5)), 2))
    assert found.sum() == found[2, 1] == 2


def test_class_values_must_fit_the_type(tmp_path: Path):
    box = shapely.box(500_000, 5_199_700, 500_400, 5_200_000)
    for dtype, value in (("uint8", 256), ("uint16", 65_536), ("uint8", -1)):
        with pytest.raises(UsageError, match=rf"class value {value} .*doesn't fit {dtype}"):
            burn_one(tmp_path / "m.tif", grid(), (box, value), dtype=dtype)
    assert (burn_one(tmp_path / "m.tif", grid(), (box, 255)) == 255).all()
    large = burn_one(tmp_path / "m.tif", grid(), (box, 65_535), dtype="uint16")
    assert large.dtype == "uint16"
    assert (large == 65_535).all()


@pytest.mark.parametrize("crs", ["EPSG:32633", CUSTOM], ids=["code", "no code"])
def test_a_mask_lies_on_its_chips_grid_and_says_nothing_else(tmp_path: Path, crs: str):
    source = write_scene(tmp_path / "a.tif", pixels(3, 90, 90), transform=TURNED, crs=crs, nodata=4)
    (chip,) = cut([ChipOrder(str(source), Window(7, 9, 40, 33), str(tmp_path / "chip.tif"))])
    path = tmp_path / "mask.tif"
    (made,) = burn([ordered(path, chip.grid, (blob(chip.grid, 1), 1))], MaskDrawing())
    content, facts = path.read_bytes(), read_raster_info(path)
    assert facts.grid == read_raster_info(tmp_path / "chip.tif").grid == chip.grid
    assert (facts.count, facts.dtype, facts.nodata) == (1, "uint8", None)
    with rasterio.open(path) as raster:
        assert raster.tags() == {"AREA_OR_POINT": "Area"}
    checksums = Checksums(len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())
    assert (made.destination, made.checksums, made.pixel_digest) == (str(path), checksums, compute_pixel_digest(path))


def test_two_workers_make_the_same_bytes_as_one_in_the_same_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("geographer.operations.label.rendering.render._RUN", 10)
    made = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        shapes = [(blob(grid(), seed), seed % 7 + 1) for seed in range(45)]
        orders = (ordered(folder / f"{number}.tif", grid(), shape) for number, shape in enumerate(shapes))
        made[workers] = [
            (Path(mask.destination).name, mask.checksums, mask.pixel_digest)
            for mask in burn(orders, MaskDrawing(), workers=workers)
        ]
    assert made[1] == made[2]
    assert [name for name, *_ in made[1]] == [f"{number}.tif" for number in range(45)]
    contents = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("1", "2")]
    assert contents[0] == contents[1]


def test_a_crs_that_geotiff_would_change_is_refused(tmp_path: Path):
    krovak = crs_to_text(parse_crs("+proj=krovak +ellps=bessel"))
    with pytest.raises(UsageError, match="can't hold the CRS"):
        burn_one(tmp_path / "m.tif", grid(crs=krovak))


def test_a_mask_that_cant_be_written_is_a_storage_error(tmp_path: Path):
    with pytest.raises(StorageError, match="No such file or directory"):
        burn_one(tmp_path / "none" / "m.tif", grid())
