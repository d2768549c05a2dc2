"""Masks, instances and multilabels, against shapely's answer for the centre of every pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from geographer.base.errors import UsageError
from geographer.base.values import Grid, Transform
from geographer.operations.label.boxes import LabelBoxes
from geographer.operations.label.tasks import Overlap, VisibleObject
from geographer.planning.up_to_date_labels import LabelSettings
from tests.operations.label.rendering.visible_objects import (
    make_blob,
    make_chip_grid,
    make_grid,
    make_instances,
    make_mask,
    make_multilabel,
    make_objects,
    pixel_centres,
    pixel_squares,
    render_one,
    render_pixels,
    to_map,
)
from tests.sample_rasters import NORTH_UP, ROTATED, SOUTH_UP, make_pixels, write_scene

MANY = [(f"f{seed}", 1 + seed * 7 % 5, make_blob(seed)) for seed in range(25)]
"""Twenty-five blobs of five classes, in the order in which they were added."""
TINY = {
    "a dot": shapely.box(3.1, 4.1, 3.3, 4.2),
    "across four pixels": shapely.box(9.8, 9.9, 10.3, 10.2),
    "a long sliver between centres": shapely.box(15.2, 2.6, 33.8, 3.4),
    "a crumb of a triangle": shapely.Polygon([(20, 20), (20.4, 20), (20, 20.4)]),
    "two crumbs": shapely.MultiPolygon([shapely.box(30.1, 20.1, 30.2, 20.2), shapely.box(35.1, 20.1, 35.2, 20.2)]),
}
"""Areas that contain no pixel centre."""
TOP = {
    "class-order": lambda index, value, shape: (value, index),
    "smallest-on-top": lambda index, value, shape: (-shape.area, index),
    "newest": lambda index, value, shape: index,
}
"""For each rule, the sort key that is largest for the object on top."""


def find_topmost(shapes, overlap: Overlap, width: int = 40, height: int = 30) -> np.ndarray:
    """For each pixel the index of the object on top, -1 if there is none."""
    topmost = np.full((height, width), -1)
    ranked = sorted(range(len(shapes)), key=lambda index: TOP[overlap](index, *shapes[index][1:]))
    for index in ranked:
        topmost[shapely.contains(shapes[index][2], pixel_centres(width, height))] = index
    return topmost


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, ROTATED], ids=["north-up", "south-up", "rotated"])
@pytest.mark.parametrize("overlap", TOP)
def test_mask_overlap_rule_decides_top(tmp_path: Path, overlap: Overlap, transform):
    grid = make_grid(transform)
    actual = render_pixels(tmp_path / "m.tif", grid, make_objects(grid, *MANY), make_mask(overlap=overlap))
    values = np.array([value for _, value, _ in MANY] + [0])
    assert np.array_equal(actual[0], values[find_topmost(MANY, overlap)])


def test_smallest_on_top_orders_equal_areas(tmp_path: Path):
    """Of equal areas the later object is on top; lines and points are above areas."""
    grid = make_grid()
    first, second = shapely.box(2, 2, 10, 10), shapely.box(6, 6, 14, 14)
    line = shapely.LineString([(3.5, 3.5), (3.5, 8.5)])
    objects = make_objects(grid, ("line", 7, line), ("first", 2, first), ("second", 1, second))
    actual = render_pixels(tmp_path / "m.tif", grid, objects, make_mask(overlap="smallest-on-top"))[0]
    assert (actual[6:10, 6:10] == 1).all()
    assert (actual[3:9, 3] == 7).all()
    reordered = render_pixels(
        tmp_path / "n.tif", grid, (objects[2], *objects[:2]), make_mask(overlap="smallest-on-top")
    )[0]
    assert (reordered[6:10, 6:10] == 2).all()


@pytest.mark.parametrize("overlap", TOP)
def test_mask_draws_background_below_ignored(tmp_path: Path, overlap: Overlap):
    grid = make_grid()
    lake, cloud, late = make_blob(101), make_blob(102), make_blob(103)
    (ignored,) = make_objects(grid, ("cloud", 3, cloud), ignored=True)
    objects = (*make_objects(grid, ("lake", 0, lake)), ignored, *make_objects(grid, *MANY, ("late", 5, late)))
    actual = render_pixels(
        tmp_path / "m.tif", grid, objects, make_mask(overlap=overlap, ignore=255), write_raster(tmp_path)
    )
    shapes = [*MANY, ("late", 5, late)]
    expected = np.array([value for _, value, _ in shapes] + [0])[find_topmost(shapes, overlap)]
    expected[shapely.contains(lake, pixel_centres(40, 30))] = 0
    expected[shapely.contains(cloud, pixel_centres(40, 30))] = 255
    assert np.array_equal(actual[0], expected)
    assert 0 < (expected == 255).sum() < expected.size


def write_raster(folder: Path, holes: tuple[slice, slice] | None = None, nodata: int | None = None) -> str:
    array = make_pixels(2, 30, 40, "uint8")
    if holes is not None:
        array[(slice(None), *holes)] = nodata
    return str(write_scene(folder / "scene.tif", array, nodata=nodata))


def test_mask_ignores_invalid_pixels_above_all(tmp_path: Path):
    grid, holes = make_grid(), (slice(3, 9), slice(20, 31))
    objects = make_objects(grid, *MANY, ("lake", 0, shapely.box(18, 5, 25, 12)))
    raster = write_raster(tmp_path, holes, nodata=0)
    expected = render_pixels(tmp_path / "without.tif", grid, objects, make_mask())[0]
    expected[holes] = 200
    assert np.array_equal(render_pixels(tmp_path / "m.tif", grid, objects, make_mask(ignore=200), raster)[0], expected)


def test_all_touched_burns_intersecting_pixels(tmp_path: Path):
    grid = make_grid()
    for shape in (*map(make_blob, range(6)), *TINY.values()):
        actual = render_pixels(
            tmp_path / "m.tif", grid, make_objects(grid, ("f", 1, shape)), make_mask(all_touched=True)
        )[0]
        assert np.array_equal(actual != 0, shapely.area(shapely.intersection(shape, pixel_squares(40, 30))) > 0)


# --- smaller than a pixel -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_subpixel_area_burns_one_pixel(tmp_path: Path, name: str):
    grid = make_grid()
    label = render_one(tmp_path / "m.tif", grid, make_objects(grid, (name, 4, TINY[name])), make_mask())
    with rasterio.open(tmp_path / "m.tif") as mask:
        (((row, column),),) = (np.argwhere(mask.read(1) == 4),)
    assert TINY[name].intersection(shapely.box(column, row, column + 1, row + 1)).area > 0
    assert label.notes["subpixel"] == (name,)


def test_thin_area_with_distant_centre_burns(tmp_path: Path):
    """A long sliver with a sliver at its end: its representative point lies in the thin part."""
    grid = make_grid()
    sliver = shapely.union_all([shapely.box(-3000, 4.6, 39, 4.95), shapely.box(38.9, 4.35, 39.6, 4.95)])
    actual = render_pixels(tmp_path / "m.tif", grid, make_objects(grid, ("f", 1, sliver)), make_mask())[0]
    assert np.argwhere(actual).tolist() == [[4, 39]]
    beyond = render_pixels(
        tmp_path / "n.tif", make_chip_grid(grid, -3000, 0, 40, 30), make_objects(grid, ("f", 1, sliver)), make_mask()
    )[0]
    assert not beyond.any()


def test_sliver_at_chip_border_burns_nothing(tmp_path: Path):
    grid = make_grid()
    label = render_one(
        tmp_path / "m.tif", grid, make_objects(grid, ("f", 1, shapely.box(39.7, 3, 90, 20))), make_mask()
    )
    with rasterio.open(tmp_path / "m.tif") as mask:
        assert not mask.read().any()
    assert label.notes["subpixel"] == ()


@pytest.mark.parametrize(
    "transform",
    [NORTH_UP, ROTATED, (0.3, 0.0, 512_345.7, 0.0, -0.3, 5_198_765.4)],
    ids=["north-up", "rotated", "thirds"],
)
@pytest.mark.parametrize(
    "recipe",
    [
        make_mask(overlap="smallest-on-top"),
        make_mask(all_touched=True),
        make_mask(width="3.2px"),
        make_mask(width="7m"),
        make_multilabel(width=0.4),
    ],
    ids=["smallest-on-top", "all touched", "3.2px", "7m", "multilabel"],
)
def test_chip_label_equals_scene_window(tmp_path: Path, recipe, transform):
    grid = make_grid(transform)
    random = np.random.default_rng(5)
    crumbs = [shapely.box(x, y, x + 0.3, y + 0.2) for x, y in random.uniform(0, 30, (40, 2)).round(1)]
    lines = [shapely.LineString(random.uniform(0, 40, (4, 2))) for _ in range(5)]
    points = [shapely.Point(x, y) for x, y in random.integers(0, 80, (20, 2)) / 2]
    on_centres = [shapely.box(x, y, x + 5, y + 3) for x, y in random.integers(0, 30, (10, 2)) + 0.5]
    shapes = crumbs + lines + points + on_centres
    more = [(f"m{number}", 1 + number % 5, shape) for number, shape in enumerate(shapes)]
    objects = make_objects(grid, *MANY, *more, ("sea", 0, make_blob(77)))
    whole = render_pixels(tmp_path / "scene.tif", grid, objects, recipe)
    for column, row, width, height in ((0, 0, 16, 16), (7, 3, 16, 16), (24, 14, 16, 16), (13, 0, 1, 30)):
        part = render_pixels(tmp_path / "chip.tif", make_chip_grid(grid, column, row, width, height), objects, recipe)
        assert np.array_equal(part, whole[:, row : row + height, column : column + width])


# --- widths -------------------------------------------------------------------------------------------------------


def test_width_in_pixels_covers_near_centres(tmp_path: Path):
    grid = make_grid()
    line = shapely.LineString([(5, 5), (30, 12), (31, 28)])
    actual = render_pixels(tmp_path / "m.tif", grid, make_objects(grid, ("f", 1, line)), make_mask(width="5px"))[0]
    distance = shapely.distance(line, pixel_centres(40, 30))
    certain = abs(distance - 2.5) > 0.02
    assert np.array_equal(actual[certain] == 1, distance[certain] < 2.5)
    assert certain.mean() > 0.98


@pytest.mark.parametrize("latitude", [0.01, 47.3, -70.0])
def test_width_in_metres_is_ground_circle(tmp_path: Path, latitude: float):
    grid = Grid("EPSG:4326", Transform(0.0002, 0, 11.0, 0, -0.0001, latitude + 0.003), 60, 60)
    middle = shapely.Point(30.2, 29.7)
    objects = make_objects(grid, ("f", 1, middle))
    render_one(tmp_path / "m.tif", grid, objects, make_mask(width="240m"))
    with rasterio.open(tmp_path / "m.tif") as mask:
        actual = mask.read(1)
    points = shapely.get_coordinates([to_map(point, grid) for point in pixel_centres(60, 60).ravel()])
    ground = shapely.get_coordinates(to_map(middle, grid))[0]
    count = len(points)
    _, _, distance = pyproj.Geod(ellps="WGS84").inv(
        np.full(count, ground[0]), np.full(count, ground[1]), points[:, 0], points[:, 1]
    )
    distance = np.array(distance).reshape(60, 60)
    certain = abs(distance - 120) > 1.5
    assert np.array_equal(actual[certain] == 1, distance[certain] < 120)
    assert actual.any()


def test_width_in_metres_uses_crs_unit(tmp_path: Path):
    feet = Grid("EPSG:2263", Transform(10, 0, 980_000, 0, -10, 200_000), 30, 30)
    objects = make_objects(feet, ("f", 1, shapely.Point(15, 15)))
    render_one(tmp_path / "m.tif", feet, objects, make_mask(width="30.48m"))
    with rasterio.open(tmp_path / "m.tif") as mask:
        actual = mask.read(1)
    distance = shapely.distance(shapely.Point(15, 15), pixel_centres(30, 30))
    assert np.array_equal(actual == 1, distance < 5)


# --- instances ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", ["smallest-on-top", "newest"])
def test_instances_are_numbered_by_addition(tmp_path: Path, overlap: Overlap):
    grid = make_grid()
    covered = ("covered", 2, shapely.box(10, 10, 12, 12))
    shapes = [covered, *MANY[:12], ("lid", 1, shapely.box(9, 9, 12.2, 12.2)), ("beside", 1, shapely.box(60, 3, 70, 9))]
    objects = (*make_objects(grid, *shapes), *make_objects(grid, ("sea", 0, shapely.box(30, 0, 40, 30))))
    label = render_one(tmp_path / "i.tif", grid, objects, make_instances(overlap=overlap))
    with rasterio.open(tmp_path / "i.tif") as file:
        actual = file.read(1)
    top = find_topmost(shapes, overlap)
    top[:, 30:] = -1
    visible = sorted(set(np.unique(top)) - {-1})
    ids = {index: number for number, index in enumerate(visible, start=1)}
    assert actual.dtype == "uint16"
    assert np.array_equal(actual, np.vectorize(lambda index: ids.get(index, 0))(top))
    assert [(item.feature_id, item.class_name, item.instance, item.pixels) for item in label.objects] == [
        (shapes[index][0], f"c{shapes[index][1]}", ids[index], int((top == index).sum())) for index in visible
    ]
    on_raster = [n for n, (_, _, shape) in enumerate(shapes) if shapely.contains(shape, pixel_centres(40, 30)).any()]
    assert set(label.notes["hidden"]) == {shapes[index][0] for index in on_raster} - {
        item.feature_id for item in label.objects
    }
    assert ("covered" in label.notes["hidden"]) == (overlap == "newest")


def test_more_than_65535_instances_are_uint32(tmp_path: Path):
    grid = make_grid(width=260, height=260)
    columns, rows = np.meshgrid(np.arange(260), np.arange(260))
    points = to_map(shapely.MultiPoint(np.column_stack([columns.ravel() + 0.5, rows.ravel() + 0.5])), grid)
    wkb = shapely.to_wkb(shapely.get_parts(points))
    objects = tuple(VisibleObject(str(number), "c1", 1, point) for number, point in enumerate(wkb))
    actual = render_pixels(tmp_path / "i.tif", grid, objects, make_instances())
    assert actual.dtype.name == "uint32"
    assert np.array_equal(actual[0].ravel(), np.arange(1, 260 * 260 + 1))
    fewer = render_pixels(tmp_path / "j.tif", grid, objects[:65_535], make_instances())
    assert (fewer.dtype.name, fewer.max()) == ("uint16", 65_535)


# --- multilabels --------------------------------------------------------------------------------------------------


def test_multilabel_has_band_per_class(tmp_path: Path):
    grid = make_grid()
    lake = make_blob(101)
    objects = (*make_objects(grid, ("lake", 0, lake)), *make_objects(grid, *MANY))
    classes = tuple(f"c{value}" for value in range(1, 7))
    actual = render_pixels(
        tmp_path / "m.tif", grid, objects, make_multilabel(), settings=LabelSettings(bands=list(classes))
    )
    assert (actual.dtype.name, actual.shape) == ("uint8", (6, 30, 40))
    for value in range(1, 7):
        of_class = shapely.union_all([shape for _, class_value, shape in MANY if class_value == value])
        expected = shapely.contains(of_class, pixel_centres(40, 30)) & ~shapely.contains(lake, pixel_centres(40, 30))
        assert np.array_equal(actual[value - 1], expected)
        assert expected.any() == (value < 6)
    with rasterio.open(tmp_path / "m.tif") as label:
        assert label.descriptions == classes
        assert {colour.name for colour in label.colorinterp[1:]} == {"undefined"}


@pytest.mark.parametrize("recipe", [make_mask(), make_instances(), make_multilabel()], ids=lambda recipe: recipe.kind)
def test_label_without_objects_is_zero(tmp_path: Path, recipe):
    grid = make_grid()
    objects = make_objects(grid, ("elsewhere", 1, shapely.box(-9, -9, -3, -3)), ("empty", 1, shapely.Polygon()))
    assert not render_pixels(tmp_path / "m.tif", grid, objects, recipe).any()


def test_mask_rejects_raster_of_other_size(tmp_path: Path):
    grid = make_grid(width=41)
    with pytest.raises(UsageError, match="does not have its recorded size"):
        render_pixels(tmp_path / "m.tif", grid, (), make_mask(ignore=9), write_raster(tmp_path))


def test_labels_that_list_objects_depend_on_order() -> None:
    boxes = LabelBoxes(name="boxes", collection="chips")
    recipes = [make_mask(), make_mask(overlap="newest"), make_multilabel(), make_instances(), boxes]
    assert [recipe.depends_on_order for recipe in recipes] == [False, True, False, True, True]
