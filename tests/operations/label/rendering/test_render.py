"""Class masks, against shapely's answer for the centre of every pixel."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import rasterio
import shapely

from geographer.base.errors import StorageError, UsageError
from geographer.base.values import Checksums, Grid, Window
from geographer.operations.cut.render import ChipTask, cut_chips
from geographer.operations.label.rendering.render import render_labels
from geographer.operations.label.tasks import LabelTask, VisibleObject
from geographer.planning.up_to_date_labels import LabelSettings
from geographer.rasters.crs import crs_to_text, parse_crs
from geographer.rasters.pixel_digest import compute_pixel_digest
from geographer.rasters.read import read_raster_info
from tests.operations.label.rendering.visible_objects import SETTINGS, make_grid, make_mask
from tests.sample_rasters import CUSTOM_CRS, NORTH_UP, ROTATED, SOUTH_UP, make_pixels, to_xy, write_scene

TRANSFORMS = {
    "north-up": NORTH_UP,
    "south-up": SOUTH_UP,
    "rotated": ROTATED,
    "long pixels": (30, 0, 7.7, 0, -4, 3.3),
}


def make_task(path: Path, grid: Grid, *shapes: tuple[shapely.Geometry, int]) -> LabelTask:
    """A task whose objects are `shapes`, each of a class with its value."""
    objects = [
        VisibleObject(f"f{number}", f"c{value}", value, shapely.to_wkb(shape))
        for number, (shape, value) in enumerate(shapes)
    ]
    return LabelTask("a raster", grid, tuple(objects), str(path))


def burn_mask(
    path: Path, grid: Grid, *shapes: tuple[shapely.Geometry, int], dtype: Literal["uint8", "uint16"] = "uint8"
) -> np.ndarray:
    """The pixels of a mask of `shapes`, of which the last is on top."""
    list(render_labels([make_task(path, grid, *shapes)], make_mask(overlap="newest"), LabelSettings(dtype=dtype)))
    with rasterio.open(path) as raster:
        return raster.read(1)


def map_centres(grid: Grid) -> np.ndarray:
    """The centre of every pixel in the CRS of the grid, as points of shape (rows, columns)."""
    columns, rows = np.meshgrid(np.arange(grid.width) + 0.5, np.arange(grid.height) + 0.5)
    return shapely.points(*to_xy(grid.transform, columns, rows))


def make_map_blob(grid: Grid, seed: int) -> shapely.Polygon:
    """An irregular polygon, partly outside the grid, whose edge crosses no pixel centre."""
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 25))
    radius = random.uniform(3, 17, 25)
    middle = random.uniform(0, 1, 2) * (grid.width, grid.height)
    return shapely.Polygon(
        np.column_stack(to_xy(grid.transform, middle[0] + radius * np.cos(angles), middle[1] + radius * np.sin(angles)))
    )


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("seed", range(4))
def test_mask_burns_centres_of_polygon(tmp_path: Path, transform: tuple[float, ...], seed: int):
    grid = make_grid(transform)
    polygon = shapely.difference(make_map_blob(grid, seed), make_map_blob(grid, seed + 100))
    actual = burn_mask(tmp_path / "m.tif", grid, (polygon, 3))
    assert np.array_equal(actual, 3 * shapely.contains(polygon, map_centres(grid)))
    assert actual.any()


def test_mask_draws_later_over_earlier(tmp_path: Path):
    """Later objects are on top, and value 0 erases."""
    grid = make_grid()
    first, second, third, hole = (make_map_blob(grid, seed) for seed in (1, 2, 3, 5))
    actual = burn_mask(tmp_path / "m.tif", grid, (first, 5), (second, 2), (third, 5), (hole, 0))
    expected = np.zeros((30, 40), int)
    for polygon, value in ((first, 5), (second, 2), (third, 5), (hole, 0)):
        expected[shapely.contains(polygon, map_centres(grid))] = value
    assert np.array_equal(actual, expected)
    assert set(np.unique(actual)) == {0, 2, 5}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_mask_burns_pixel_of_point(tmp_path: Path, transform: tuple[float, ...]):
    grid = make_grid(transform)
    points = shapely.MultiPoint([to_xy(transform, 3.3, 4.9), to_xy(transform, 39.9, 0.1), to_xy(transform, -0.5, 3)])
    actual = burn_mask(tmp_path / "m.tif", grid, (points, 9), (shapely.Point(to_xy(transform, 7.5, 7.5)), 4))
    expected = np.zeros((30, 40), int)
    expected[4, 3] = expected[0, 39] = 9
    expected[7, 7] = 4
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_mask_burns_pixels_along_line(tmp_path: Path, transform: tuple[float, ...]):
    grid = make_grid(transform)
    line = shapely.LineString([to_xy(transform, 2.5, 6.5), to_xy(transform, 20.5, 6.5), to_xy(transform, 20.5, 25.5)])
    actual = burn_mask(tmp_path / "m.tif", grid, (line, 1))
    expected = np.zeros((30, 40), int)
    expected[6, 2:21] = expected[6:26, 20] = 1
    assert np.array_equal(actual, expected)


def test_mask_burns_all_parts(tmp_path: Path):
    grid = make_grid()
    parts = [
        shapely.box(500_020, 5_199_900, 500_050, 5_199_950),
        shapely.box(500_200, 5_199_800, 500_290, 5_199_890),
    ]
    point = shapely.Point(to_xy(NORTH_UP, 39.5, 29.5))
    collection = shapely.GeometryCollection([shapely.MultiPolygon(parts), point])
    actual = burn_mask(tmp_path / "m.tif", grid, (collection, 1))
    expected = shapely.contains(shapely.union_all(parts), map_centres(grid)).astype(int)
    expected[29, 39] = 1
    assert np.array_equal(actual, expected)


@pytest.mark.parametrize(
    "shapes",
    [(), ((shapely.Polygon(), 1),), ((shapely.box(0, 0, 1, 1), 1),)],
    ids=["none", "empty", "elsewhere"],
)
def test_mask_without_visible_objects_is_zero(tmp_path: Path, shapes: tuple[tuple[shapely.Geometry, int], ...]):
    assert np.array_equal(burn_mask(tmp_path / "m.tif", make_grid(), *shapes), np.zeros((30, 40)))


def test_mask_skips_empty_geometry(tmp_path: Path):
    point = shapely.Point(to_xy(NORTH_UP, 1.5, 2.5))
    actual = burn_mask(tmp_path / "m.tif", make_grid(), (shapely.Polygon(), 1), (point, 2))
    assert actual.sum() == actual[2, 1] == 2


def test_mask_rejects_value_beyond_dtype(tmp_path: Path):
    box = shapely.box(500_000, 5_199_700, 500_400, 5_200_000)
    rejected: list[tuple[Literal["uint8", "uint16"], int]] = [("uint8", 256), ("uint16", 65_536), ("uint8", -1)]
    for dtype, value in rejected:
        with pytest.raises(
            UsageError, match=rf"class value {value} .* does not fit {dtype}\. Choose a value from 0 to"
        ):
            burn_mask(tmp_path / "m.tif", make_grid(), (box, value), dtype=dtype)
    assert (burn_mask(tmp_path / "m.tif", make_grid(), (box, 255)) == 255).all()
    large = burn_mask(tmp_path / "m.tif", make_grid(), (box, 65_535), dtype="uint16")
    assert large.dtype == "uint16"
    assert (large == 65_535).all()


@pytest.mark.parametrize("crs", ["EPSG:32633", CUSTOM_CRS], ids=["code", "no code"])
def test_mask_has_grid_of_chip(tmp_path: Path, crs: str):
    """The mask of a rotated chip has the chip's grid, no nodata and no tags."""
    source = write_scene(tmp_path / "a.tif", make_pixels(3, 90, 90), transform=ROTATED, crs=crs, nodata=4)
    (chip,) = cut_chips([ChipTask(str(source), Window(7, 9, 40, 33), str(tmp_path / "chip.tif"))])
    path = tmp_path / "mask.tif"
    (label,) = render_labels([make_task(path, chip.grid, (make_map_blob(chip.grid, 1), 1))], make_mask(), SETTINGS)
    content, info = path.read_bytes(), read_raster_info(path)
    assert info.grid == read_raster_info(tmp_path / "chip.tif").grid == chip.grid
    assert (info.band_count, info.dtype, info.nodata) == (1, "uint8", None)
    with rasterio.open(path) as raster:
        assert raster.tags() == {"AREA_OR_POINT": "Area"}
    checksums = Checksums(len(content), hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest())
    assert (label.destination, label.checksums, label.pixel_digest) == (
        str(path),
        checksums,
        compute_pixel_digest(path),
    )


def test_labels_do_not_depend_on_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("geographer.operations.label.rendering.render._BATCH_SIZE", 10)
    labels = {}
    for workers in (1, 2):
        folder = tmp_path / str(workers)
        folder.mkdir()
        shapes = [(make_map_blob(make_grid(), seed), seed % 7 + 1) for seed in range(45)]
        tasks = (make_task(folder / f"{number}.tif", make_grid(), shape) for number, shape in enumerate(shapes))
        labels[workers] = [
            (Path(label.destination).name, label.checksums, label.pixel_digest)
            for label in render_labels(tasks, make_mask(), SETTINGS, workers=workers)
        ]
    assert labels[1] == labels[2]
    assert [name for name, *_ in labels[1]] == [f"{number}.tif" for number in range(45)]
    contents = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("1", "2")]
    assert contents[0] == contents[1]


def test_label_rejects_crs_beyond_geotiff(tmp_path: Path):
    krovak = crs_to_text(parse_crs("+proj=krovak +ellps=bessel"))
    with pytest.raises(UsageError, match="GeoTIFF cannot store the CRS"):
        burn_mask(tmp_path / "m.tif", make_grid(crs=krovak))


def test_unwritable_label_is_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"Not a directory|File exists"):
        burn_mask(tmp_path / "file" / "m.tif", make_grid())
