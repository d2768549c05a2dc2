"""Masks, instances and multilabels, against shapely's answer for the centre of every pixel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely

from geographer.base.errors import UsageError
from geographer.base.values import Grid, LineWidth, Transform
from geographer.operations.label.rendering.pixel_geometries import Shown
from geographer.operations.label.rendering.rasterize import (
    HIDDEN,
    SMALL,
    InstanceDrawing,
    MaskDrawing,
    MultilabelDrawing,
)
from tests.operations.label.rendering.visible_objects import (
    blob,
    centres,
    drawn,
    grid,
    made,
    placed,
    shown,
    squares,
    window,
)
from tests.sample_rasters import NORTH_UP, SOUTH_UP, TURNED, pixels, write_scene

MANY = [(f"f{seed}", 1 + seed * 7 % 5, blob(seed)) for seed in range(25)]
"""Twenty-five blobs of five classes, in the order in which they were added."""
TINY = {
    "a dot": shapely.box(3.1, 4.1, 3.3, 4.2),
    "across four pixels": shapely.box(9.8, 9.9, 10.3, 10.2),
    "a long sliver between centres": shapely.box(15.2, 2.6, 33.8, 3.4),
    "a crumb of a triangle": shapely.Polygon([(20, 20), (20.4, 20), (20, 20.4)]),
    "two crumbs": shapely.MultiPolygon([shapely.box(30.1, 20.1, 30.2, 20.2), shapely.box(35.1, 20.1, 35.2, 20.2)]),
}
"""Areas that hold no pixel's centre."""
TOP = {
    "class-order": lambda place, value, shape: (value, place),
    "smallest-on-top": lambda place, value, shape: (-shape.area, place),
    "newest": lambda place, value, shape: place,
}
"""By each rule, the key that is largest for the object on top."""


def on_top(shapes, overlap: str, width: int = 40, height: int = 30) -> np.ndarray:
    """For each pixel the place of the object on top, -1 where there is none."""
    found = np.full((height, width), -1)
    ranked = sorted(range(len(shapes)), key=lambda place: TOP[overlap](place, *shapes[place][1:]))
    for place in ranked:
        found[shapely.contains(shapes[place][2], centres(width, height))] = place
    return found


@pytest.mark.parametrize("transform", [NORTH_UP, SOUTH_UP, TURNED], ids=["north-up", "south-up", "turned"])
@pytest.mark.parametrize("overlap", TOP)
def test_each_rule_puts_on_top_what_it_says(tmp_path: Path, overlap: str, transform):
    where = grid(transform)
    found = drawn(tmp_path / "m.tif", where, shown(where, *MANY), MaskDrawing(overlap=overlap))
    values = np.array([value for _, value, _ in MANY] + [0])
    assert np.array_equal(found[0], values[on_top(MANY, overlap)])


def test_of_equal_areas_the_later_one_lies_on_top_and_points_and_lines_lie_above_areas(tmp_path: Path):
    where = grid()
    first, second = shapely.box(2, 2, 10, 10), shapely.box(6, 6, 14, 14)
    line = shapely.LineString([(3.5, 3.5), (3.5, 8.5)])
    objects = shown(where, ("line", 7, line), ("first", 2, first), ("second", 1, second))
    found = drawn(tmp_path / "m.tif", where, objects, MaskDrawing(overlap="smallest-on-top"))[0]
    assert (found[6:10, 6:10] == 1).all()
    assert (found[3:9, 3] == 7).all()
    turned = drawn(tmp_path / "n.tif", where, (objects[2], *objects[:2]), MaskDrawing(overlap="smallest-on-top"))[0]
    assert (turned[6:10, 6:10] == 2).all()


@pytest.mark.parametrize("overlap", TOP)
def test_background_erases_whatever_the_rule_and_what_is_ignored_lies_on_top_of_that(tmp_path: Path, overlap: str):
    where = grid()
    lake, cloud, late = blob(101), blob(102), blob(103)
    (ignored,) = shown(where, ("cloud", 3, cloud), ignored=True)
    objects = (*shown(where, ("lake", 0, lake)), ignored, *shown(where, *MANY, ("late", 5, late)))
    found = drawn(tmp_path / "m.tif", where, objects, MaskDrawing(overlap=overlap, ignore=255), scene(tmp_path))
    shapes = [*MANY, ("late", 5, late)]
    due = np.array([value for _, value, _ in shapes] + [0])[on_top(shapes, overlap)]
    due[shapely.contains(lake, centres(40, 30))] = 0
    due[shapely.contains(cloud, centres(40, 30))] = 255
    assert np.array_equal(found[0], due)
    assert 0 < (due == 255).sum() < due.size


def scene(folder: Path, holes: tuple[slice, slice] | None = None, nodata: int | None = None) -> str:
    array = pixels(2, 30, 40, "uint8")
    if holes is not None:
        array[(slice(None), *holes)] = nodata
    return str(write_scene(folder / "scene.tif", array, nodata=nodata))


def test_pixels_of_the_raster_without_valid_data_are_ignored_above_all(tmp_path: Path):
    where, holes = grid(), (slice(3, 9), slice(20, 31))
    objects = shown(where, *MANY, ("lake", 0, shapely.box(18, 5, 25, 12)))
    raster = scene(tmp_path, holes, nodata=0)
    due = drawn(tmp_path / "without.tif", where, objects, MaskDrawing())[0]
    due[holes] = 200
    assert np.array_equal(drawn(tmp_path / "m.tif", where, objects, MaskDrawing(ignore=200), raster)[0], due)


def test_all_touched_burns_every_pixel_that_shares_area_with_a_polygon(tmp_path: Path):
    where = grid()
    for shape in (*map(blob, range(6)), *TINY.values()):
        found = drawn(tmp_path / "m.tif", where, shown(where, ("f", 1, shape)), MaskDrawing(all_touched=True))[0]
        assert np.array_equal(found != 0, shapely.area(shapely.intersection(shape, squares(40, 30))) > 0)


# --- smaller than a pixel -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TINY)
def test_an_area_that_holds_no_pixel_s_centre_burns_one_pixel_that_it_shares_area_with(tmp_path: Path, name: str):
    where = grid()
    label = made(tmp_path / "m.tif", where, shown(where, (name, 4, TINY[name])), MaskDrawing())
    with rasterio.open(tmp_path / "m.tif") as mask:
        (((row, column),),) = (np.argwhere(mask.read(1) == 4),)
    assert TINY[name].intersection(shapely.box(column, row, column + 1, row + 1)).area > 0
    assert label.told[SMALL] == (name,)


def test_an_area_that_holds_a_centre_far_from_its_representative_point_burns_as_it_is(tmp_path: Path):
    """A long sliver with a drop at its end: the point inside it lies where it is thin."""
    where = grid()
    drop = shapely.union_all([shapely.box(-3000, 4.6, 39, 4.95), shapely.box(38.9, 4.35, 39.6, 4.95)])
    found = drawn(tmp_path / "m.tif", where, shown(where, ("f", 1, drop)), MaskDrawing())[0]
    assert np.argwhere(found).tolist() == [[4, 39]]
    far = drawn(tmp_path / "n.tif", window(where, -3000, 0, 40, 30), shown(where, ("f", 1, drop)), MaskDrawing())[0]
    assert not far.any()


def test_a_sliver_of_a_large_area_at_a_chip_s_border_burns_nothing(tmp_path: Path):
    where = grid()
    label = made(tmp_path / "m.tif", where, shown(where, ("f", 1, shapely.box(39.7, 3, 90, 20))), MaskDrawing())
    with rasterio.open(tmp_path / "m.tif") as mask:
        assert not mask.read().any()
    assert label.told[SMALL] == ()


@pytest.mark.parametrize(
    "transform",
    [NORTH_UP, TURNED, (0.3, 0.0, 512_345.7, 0.0, -0.3, 5_198_765.4)],
    ids=["north-up", "turned", "thirds"],
)
@pytest.mark.parametrize(
    "drawing",
    [
        MaskDrawing(overlap="smallest-on-top"),
        MaskDrawing(all_touched=True),
        MaskDrawing(width=LineWidth(3.2, "px")),
        MaskDrawing(width=LineWidth(7, "m")),
        MultilabelDrawing(("c1", "c2", "c3", "c4", "c5"), LineWidth(0.4, "px")),
    ],
    ids=repr,
)
def test_the_label_of_a_chip_is_the_window_of_its_scene_s(tmp_path: Path, drawing, transform):
    where = grid(transform)
    random = np.random.default_rng(5)
    crumbs = [shapely.box(x, y, x + 0.3, y + 0.2) for x, y in random.uniform(0, 30, (40, 2)).round(1)]
    lines = [shapely.LineString(random.uniform(0, 40, (4, 2))) for _ in range(5)]
    points = [shapely.Point(x, y) for x, y in random.integers(0, 80, (20, 2)) / 2]
    on_centres = [shapely.box(x, y, x + 5, y + 3) for x, y in random.integers(0, 30, (10, 2)) + 0.5]
    shapes = crumbs + lines + points + on_centres
    more = [(f"m{number}", 1 + number % 5, shape) for number, shape in enumerate(shapes)]
    objects = shown(where, *MANY, *more, ("sea", 0, blob(77)))
    whole = drawn(tmp_path / "scene.tif", where, objects, drawing)
    for column, row, width, height in ((0, 0, 16, 16), (7, 3, 16, 16), (24, 14, 16, 16), (13, 0, 1, 30)):
        part = drawn(tmp_path / "chip.tif", window(where, column, row, width, height), objects, drawing)
        assert np.array_equal(part, whole[:, row : row + height, column : column + width])


# --- widths -------------------------------------------------------------------------------------------------------


def test_a_width_in_pixels_covers_the_centres_within_half_of_it(tmp_path: Path):
    where = grid()
    line = shapely.LineString([(5, 5), (30, 12), (31, 28)])
    found = drawn(tmp_path / "m.tif", where, shown(where, ("f", 1, line)), MaskDrawing(width=LineWidth(5, "px")))[0]
    away = shapely.distance(line, centres(40, 30))
    sure = abs(away - 2.5) > 0.02
    assert np.array_equal(found[sure] == 1, away[sure] < 2.5)
    assert sure.mean() > 0.98


@pytest.mark.parametrize("latitude", [0.01, 47.3, -70.0])
def test_a_width_in_metres_is_a_circle_on_the_ground_also_in_degrees(tmp_path: Path, latitude: float):
    where = Grid("EPSG:4326", Transform(0.0002, 0, 11.0, 0, -0.0001, latitude + 0.003), 60, 60)
    middle = shapely.Point(30.2, 29.7)
    objects = shown(where, ("f", 1, middle))
    made(tmp_path / "m.tif", where, objects, MaskDrawing(width=LineWidth(240, "m")))
    with rasterio.open(tmp_path / "m.tif") as mask:
        found = mask.read(1)
    points = shapely.get_coordinates([placed(point, where) for point in centres(60, 60).ravel()])
    ground = shapely.get_coordinates(placed(middle, where))[0]
    count = len(points)
    _, _, away = pyproj.Geod(ellps="WGS84").inv(
        np.full(count, ground[0]), np.full(count, ground[1]), points[:, 0], points[:, 1]
    )
    away = np.array(away).reshape(60, 60)
    sure = abs(away - 120) > 1.5
    assert np.array_equal(found[sure] == 1, away[sure] < 120)
    assert found.any()


def test_a_width_in_metres_heeds_the_unit_of_the_crs(tmp_path: Path):
    feet = Grid("EPSG:2263", Transform(10, 0, 980_000, 0, -10, 200_000), 30, 30)
    objects = shown(feet, ("f", 1, shapely.Point(15, 15)))
    made(tmp_path / "m.tif", feet, objects, MaskDrawing(width=LineWidth(30.48, "m")))
    with rasterio.open(tmp_path / "m.tif") as mask:
        found = mask.read(1)
    away = shapely.distance(shapely.Point(15, 15), centres(30, 30))
    assert np.array_equal(found == 1, away < 5)


# --- instances ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", ["smallest-on-top", "newest"])
def test_instances_are_numbered_in_the_order_of_addition_and_all_ids_are_seen(tmp_path: Path, overlap: str):
    where = grid()
    buried = ("buried", 2, shapely.box(10, 10, 12, 12))
    shapes = [buried, *MANY[:12], ("lid", 1, shapely.box(9, 9, 12.2, 12.2)), ("beside", 1, shapely.box(60, 3, 70, 9))]
    objects = (*shown(where, *shapes), *shown(where, ("sea", 0, shapely.box(30, 0, 40, 30))))
    label = made(tmp_path / "i.tif", where, objects, InstanceDrawing(overlap))
    with rasterio.open(tmp_path / "i.tif") as file:
        found = file.read(1)
    top = on_top(shapes, overlap)
    top[:, 30:] = -1
    seen = sorted(set(np.unique(top)) - {-1})
    ids = {place: number for number, place in enumerate(seen, start=1)}
    assert found.dtype == "uint16"
    assert np.array_equal(found, np.vectorize(lambda place: ids.get(place, 0))(top))
    assert [(one.feature_id, one.class_name, one.instance, one.pixels) for one in label.listed] == [
        (shapes[place][0], f"c{shapes[place][1]}", ids[place], int((top == place).sum())) for place in seen
    ]
    in_view = [n for n, (_, _, shape) in enumerate(shapes) if shapely.contains(shape, centres(40, 30)).any()]
    assert set(label.told[HIDDEN]) == {shapes[place][0] for place in in_view} - {one.feature_id for one in label.listed}
    assert ("buried" in label.told[HIDDEN]) == (overlap == "newest")


def test_more_than_65535_instances_are_uint32(tmp_path: Path):
    where = grid(width=260, height=260)
    columns, rows = np.meshgrid(np.arange(260), np.arange(260))
    places = placed(shapely.MultiPoint(np.column_stack([columns.ravel() + 0.5, rows.ravel() + 0.5])), where)
    wkb = shapely.to_wkb(shapely.get_parts(places))
    objects = tuple(Shown(str(number), "c1", 1, one) for number, one in enumerate(wkb))
    found = drawn(tmp_path / "i.tif", where, objects, InstanceDrawing())
    assert found.dtype == "uint32"
    assert np.array_equal(found[0].ravel(), np.arange(1, 260 * 260 + 1))
    few = drawn(tmp_path / "j.tif", where, objects[:65_535], InstanceDrawing())
    assert (few.dtype, few.max()) == ("uint16", 65_535)


# --- multilabels --------------------------------------------------------------------------------------------------


def test_a_multilabel_has_a_named_band_for_each_class_and_background_erases_in_all(tmp_path: Path):
    where = grid()
    lake = blob(101)
    objects = (*shown(where, ("lake", 0, lake)), *shown(where, *MANY))
    classes = tuple(f"c{value}" for value in range(1, 7))
    found = drawn(tmp_path / "m.tif", where, objects, MultilabelDrawing(classes))
    assert (found.dtype, found.shape) == ("uint8", (6, 30, 40))
    for value in range(1, 7):
        of_class = shapely.union_all([shape for _, of, shape in MANY if of == value])
        due = shapely.contains(of_class, centres(40, 30)) & ~shapely.contains(lake, centres(40, 30))
        assert np.array_equal(found[value - 1], due)
        assert due.any() == (value < 6)
    with rasterio.open(tmp_path / "m.tif") as label:
        assert label.descriptions == classes
        assert {colour.name for colour in label.colorinterp[1:]} == {"undefined"}


@pytest.mark.parametrize("drawing", [MaskDrawing(), InstanceDrawing(), MultilabelDrawing(("c1", "c2"))], ids=repr)
def test_a_raster_that_shows_nothing_has_a_label_of_zeros(tmp_path: Path, drawing):
    where = grid()
    objects = shown(where, ("elsewhere", 1, shapely.box(-9, -9, -3, -3)), ("empty", 1, shapely.Polygon()))
    assert not drawn(tmp_path / "m.tif", where, objects, drawing).any()


def test_a_raster_that_is_not_as_large_as_was_recorded_is_refused(tmp_path: Path):
    where = grid(width=41)
    with pytest.raises(UsageError, match="not the one that was recorded"):
        drawn(tmp_path / "m.tif", where, (), MaskDrawing(ignore=9), scene(tmp_path))
