"""Test chips of boxes, covers and user-defined cutters."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import ceil, floor
from pathlib import Path
from typing import ClassVar

import geopandas
import pandas
import pyarrow as pa
import pyproj
import pytest
import shapely

from geographer import Cutter, Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.base.values import Window
from tests.operations.pond_dataset import (
    POINTS,
    add_points,
    contains_point,
    count_containing_chips,
    list_checksums,
    list_chips,
    list_windows,
)
from tests.sample_history import NORTH, PIXEL, WEST, CornerCutter, square_geometry, write_features, write_scenes
from tests.sample_rasters import make_pixels, write_scene

# --- boxes --------------------------------------------------------------------------------------------------------


def write_boxes(path: Path, boxes: Mapping[str, tuple[float, float, float]]) -> Path:
    """Write squares, given as left, top and side in pixels of the first scene."""
    return write_features(path, {name: ("", square_geometry(*box)) for name, box in boxes.items()})


def test_box_is_cut_from_first_raster(pond_dataset: Dataset, tmp_path: Path) -> None:
    boxes = write_boxes(tmp_path / "boxes.geojson", {"in": (4, 5, 8), "half": (50.25, 5.75, 4), "over": (60, 60, 9)})
    skipped = pond_dataset.cut_boxes("skipped", boxes, crs="EPSG:32633")
    pond_dataset.cut_boxes("padded", boxes, crs="EPSG:32633", at_border="pad", target_count=2)
    expected = {("a", 4, 5, 8, 8), ("a", 50, 5, 5, 5)}
    assert list_windows(pond_dataset, "skipped") == expected
    assert list_windows(pond_dataset, "padded") == expected | {
        ("b", 2, 5, 5, 5),
        ("a", 60, 60, 9, 9),
        ("b", 12, 60, 9, 9),
    }
    assert (skipped.summary["boxes"], skipped.summary["unmet"]) == (3, {"its chip would cross the raster's edge": 1})
    assert {chip["raster_id"] for chip in list_chips(pond_dataset, "skipped")} == {"skipped/a_in", "skipped/a_half"}


def test_boxes_in_another_crs_are_transformed(pond_dataset: Dataset, tmp_path: Path) -> None:
    to_degrees = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    west, south = to_degrees.transform(WEST + 10.5 * PIXEL, NORTH - 30.5 * PIXEL)
    east, north = to_degrees.transform(WEST + 20.5 * PIXEL, NORTH - 12.5 * PIXEL)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    box = {"type": "Feature", "properties": {"box_id": "x"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = tmp_path / "boxes.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [box]}))
    pond_dataset.cut_boxes("boxes", path)
    to_metres = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    corners = [to_metres.transform(*corner) for corner in ring]
    columns = [(x - WEST) / PIXEL for x, _ in corners]
    rows = [(NORTH - y) / PIXEL for _, y in corners]
    left, top = floor(min(columns)), floor(min(rows))
    assert list_windows(pond_dataset, "boxes") == {("a", left, top, ceil(max(columns)) - left, ceil(max(rows)) - top)}


def test_boxes_are_cut_from_later_rasters(pond_dataset: Dataset, tmp_path: Path) -> None:
    """No raster contains the box at first, and the recipe has a raster selector."""
    path = write_boxes(tmp_path / "boxes.geojson", {"far": (150, 5, 8)})
    pond_dataset.cut_boxes("far", path, crs="EPSG:32633", rasters_where=select_all)
    path.unlink()
    assert list_chips(pond_dataset, "far") == []
    pond_dataset.add_rasters(write_scenes(tmp_path / "later", "c", offset=3))
    pond_dataset.update()
    assert list_windows(pond_dataset, "far") == {("c", 6, 5, 8, 8)}
    assert not any(result.changed for result in pond_dataset.update())


def select_all(rasters):
    return [row["raster_id"] for row in rasters.to_pylist()]


def test_other_boxes_are_a_conflict(pond_dataset: Dataset, tmp_path: Path) -> None:
    first = write_boxes(tmp_path / "first.geojson", {"x": (4, 5, 8), "y": (14, 5, 8)})
    pond_dataset.cut_boxes("boxes", first, crs="EPSG:32633")
    reordered = write_boxes(tmp_path / "reordered.geojson", {"y": (14, 5, 8), "x": (4, 5, 8)})
    assert not pond_dataset.cut_boxes("boxes", reordered, crs="EPSG:32633").changed
    for boxes in ({"x": (4, 5, 8)}, {"x": (4, 5, 8), "z": (14, 5, 8)}, {"x": (4, 5, 8), "y": (14, 5, 9)}):
        other = write_boxes(tmp_path / "other.geojson", boxes)
        with pytest.raises(ConflictError, match="'boxes' exists as a cut boxes recipe"):
            pond_dataset.cut_boxes("boxes", other, crs="EPSG:32633")


BOX, OTHER = shapely.box(500040, 5199860, 500120, 5199950), shapely.box(500140, 5199860, 500220, 5199950)
BAD_BOXES = [
    (UsageError, [("p", shapely.Point(500040, 5199860))], "cannot read box 'p' from 'the table': it is not a polygon"),
    (UsageError, [("x", BOX), ("e", shapely.Polygon()), ("n", None)], "box 'e', 'n' .*: it has no geometry"),
    (UsageError, [(None, BOX)], r"box '\(without id\)' .*: it has no id"),
    (ConflictError, [("x", BOX), ("x", OTHER)], "box 'x', 'x' .*: its id occurs more than once"),
    (UsageError, [], "contains no boxes"),
]


@pytest.mark.parametrize(("error", "boxes", "message"), BAD_BOXES, ids=[message for *_, message in BAD_BOXES])
def test_invalid_box_is_rejected(pond_dataset: Dataset, error, boxes, message) -> None:
    head = pond_dataset.log(1)
    ids, geometries = [name for name, _ in boxes], [geometry for _, geometry in boxes]
    frame = geopandas.GeoDataFrame({"id": pandas.Series(ids, dtype=object)}, geometry=geometries, crs="EPSG:32633")
    with pytest.raises(error, match=message) as raised:
        pond_dataset.cut_boxes("boxes", frame)
    assert type(raised.value) is error
    assert pond_dataset.log(1) == head


# --- covers -------------------------------------------------------------------------------------------------------


def test_cover_contains_every_feature(pond_dataset: Dataset) -> None:
    """Nine points within five pixels need one chip of seven pixels; the four others lie far apart."""
    result = pond_dataset.cut_cover("cover", size=7, where="class = 'pond'")
    assert all(count_containing_chips(list_chips(pond_dataset, "cover"), POINTS).values())
    assert result.summary["cover"] == {"chips": 5, "bound": 5, "gap": 0.0, "kept": 0, "added": 5, "added_bound": 5}
    assert (result.summary["features"], result.summary["unmet"]) == (13, {})
    twice = pond_dataset.cut_cover("twice", size=7, target_count=2, where="class = 'pond'")
    assert all(count >= 2 for count in count_containing_chips(list_chips(pond_dataset, "twice"), POINTS).values())
    assert twice.summary["cover"]["chips"] == twice.summary["cover"]["bound"] == 10


def test_cover_keeps_chips_until_rebuilt(pond_dataset: Dataset, tmp_path: Path) -> None:
    pond_dataset.cut_cover("cover", size=12, where="feature_id LIKE 'n%'")
    assert list_chips(pond_dataset, "cover") == []
    add_points(pond_dataset, tmp_path / "inputs", {"n1": (30.5, 55.5)})
    pond_dataset.update()
    (first_window,) = list_windows(pond_dataset, "cover")
    before = list_checksums(pond_dataset, "cover")
    later_points = {"n2": (first_window[1] - 2.5, 55.5), "n3": (first_window[1] - 3.5, 54.5)}
    add_points(pond_dataset, tmp_path / "inputs", later_points)
    (result,) = pond_dataset.update()
    assert result.summary["cover"] == {"chips": 2, "bound": 1, "gap": 0.5, "kept": 1, "added": 1, "added_bound": 1}
    assert before.items() <= list_checksums(pond_dataset, "cover").items()
    assert not any(result.changed for result in pond_dataset.update())
    (result,) = pond_dataset.update(rebuild_covers=True)
    assert pond_dataset.log(1)[0].payload["request"]["afresh"] is True
    assert result.summary["cover"] == {"chips": 1, "bound": 1, "gap": 0.0, "kept": 0, "added": 1, "added_bound": 1}
    (chip,) = list_chips(pond_dataset, "cover")
    assert all(contains_point(chip, position) for position in [(30.5, 55.5), *later_points.values()])
    pond_dataset.cut_cover("new", size=12, where="feature_id LIKE 'n%'")
    assert list_windows(pond_dataset, "new") == list_windows(pond_dataset, "cover")


def test_cover_retires_chip_without_features(pond_dataset: Dataset) -> None:
    pond_dataset.cut_cover("cover", size=12, where="class = 'pond'")
    before = list_checksums(pond_dataset, "cover")
    (alone,) = (
        chip["raster_id"] for chip in list_chips(pond_dataset, "cover") if contains_point(chip, POINTS["alone"])
    )
    pond_dataset.remove_features(["alone", "p0"])
    (result,) = pond_dataset.update()
    assert before.keys() - list_checksums(pond_dataset, "cover").keys() == {alone}
    assert (result.summary["chips"], result.summary["retired"]) == (0, 1)
    cover = result.summary["cover"]
    assert (cover["kept"], cover["added"], cover["chips"]) == (len(before) - 1, 0, len(before) - 1)
    assert cover["bound"] == cover["chips"]


def test_cover_respects_max_nodata(pond_dataset: Dataset, tmp_path: Path) -> None:
    """Two points share a window; the first is so near to the nodata area that the chip must start beside it."""
    array = make_pixels(1, 40, 40, "uint8")
    array[:, :, :18] = 0
    scene = write_scene(tmp_path / "collar.tif", array, transform=(PIXEL, 0, WEST, 0, -PIXEL, NORTH - 1000), nodata=0)
    pond_dataset.add_rasters(scene, collection="collar")
    points = {"n1": (19.5, 120.5), "n2": (21.5, 120.5), "n3": (9.5, 120.5)}
    add_points(pond_dataset, tmp_path / "inputs", points)
    result = pond_dataset.cut_cover("cover", size=12, source="collar", where="feature_id LIKE 'n%'", max_nodata=0)
    ((_, col, row, *_),) = list_windows(pond_dataset, "cover")
    assert 18 <= col <= 19
    assert 9 <= row <= 20
    assert result.summary["unmet"] == {"too much nodata": 1}


# --- user-defined cutters -----------------------------------------------------------------------------------------


class RightOfFeature(Cutter):
    """Cut a chip to the right of every feature in every raster that contains it."""

    version = "2.1"

    def windows(
        self, features: pa.Table, rasters: pa.Table, contained: pa.Table, *, seed: int
    ) -> list[tuple[str, Window]]:
        assert seed == 4
        assert features["feature_id"].to_pylist() == sorted(features["feature_id"].to_pylist())
        sizes = {row["raster_id"]: (row["chip_width"], row["chip_height"]) for row in rasters.to_pylist()}
        steps = self.options["steps"]
        assert isinstance(steps["right"], list)
        return [
            (
                row["raster_id"],
                Window(int(row["pmax_col"]) + steps["right"][0], int(row["pmin_row"]), *sizes[row["raster_id"]]),
            )
            for row in contained.to_pylist()
        ]


OPTIONS = {"steps": {"right": [2]}}


def test_cutter_selects_windows_and_is_recorded(pond_dataset: Dataset, tmp_path: Path) -> None:
    result = pond_dataset.cut_custom(
        "own", cutter=RightOfFeature, size=(5, 4), options=OPTIONS, seed=4, where="feature_id IN ('both', 'alone')"
    )
    expected = {("a", 58, 40, 5, 4), ("b", 10, 40, 5, 4), ("a", 52, 10, 5, 4), ("b", 4, 10, 5, 4)}
    assert list_windows(pond_dataset, "own") == expected
    parameters = result.summary["recipe"]["parameters"]
    assert parameters["cutter"] == {"cutter": "tests.operations.cut.test_cut_kinds:RightOfFeature", "version": "2.1"}
    assert parameters["options"] == {"steps": {"right": [2]}}
    assert not any(result.changed for result in pond_dataset.update())
    pond_dataset.remove_features(["alone"])
    (again,) = pond_dataset.update()
    assert (again.summary["chips"], again.summary["retired"]) == (0, 2)
    assert list_windows(pond_dataset, "own") == {window for window in expected if window[2] == 40}


def test_cutter_can_be_named_as_text(pond_dataset: Dataset) -> None:
    pond_dataset.cut_custom("own", cutter="tests.sample_history:CornerCutter", size=6, options={"inset": 3})
    assert list_windows(pond_dataset, "own") == {("a", 3, 3, 6, 6), ("b", 3, 3, 6, 6)}
    assert not pond_dataset.cut_custom("own", cutter=CornerCutter, size=6, options={"inset": 3}).changed


class UnknownRaster(Cutter):
    """Return a chip of a raster that does not exist."""

    def windows(self, *_: pa.Table, seed: int) -> list[tuple[str, Window]]:
        return [("nowhere", Window(0, 0, 2, 2))]


def test_options_must_be_json(pond_dataset: Dataset) -> None:
    with pytest.raises(UsageError, match="cannot be recorded"):
        pond_dataset.cut_custom("own", cutter=CornerCutter, options={"inset": {3}})


@pytest.mark.parametrize(
    ("cutter", "error", "message"),
    [
        ("tests.sample_history:Missing", NotFoundError, "cannot be imported .AttributeError: .*'Missing'"),
        ("nothing", NotFoundError, "Install the package that defines it"),
        (UnknownRaster, UsageError, "returned the unknown raster 'nowhere'"),
    ],
)
def test_invalid_cutter_is_rejected(pond_dataset, cutter, error, message) -> None:
    head = pond_dataset.log(1)
    with pytest.raises(error, match=message):
        pond_dataset.cut_custom("own", cutter=cutter)
    assert pond_dataset.log(1) == head


class RecordingCutter(Cutter):
    """Return no windows and keep the tables."""

    tables: ClassVar[dict[str, pa.Table]] = {}

    def windows(
        self, features: pa.Table, rasters: pa.Table, contained: pa.Table, *, seed: int
    ) -> list[tuple[str, Window]]:
        self.tables.update(features=features, rasters=rasters, contained=contained)
        return []


def test_cutter_gets_documented_tables(
    open_copy: Callable[[Path], Dataset], empty_dataset: Path, tmp_path: Path
) -> None:
    dataset = open_copy(empty_dataset)
    for number in (30, 4):
        columns = {"id": [number], "name": [f"no. {number}"]}
        position = shapely.Point(WEST + PIXEL * number, NORTH - PIXEL * 20.5)
        dataset.add_features(geopandas.GeoDataFrame(columns, geometry=[position], crs="EPSG:32633"))
    dataset.add_rasters(write_scenes(tmp_path, "z", "a"))
    dataset.cut_custom("own", cutter=RecordingCutter, size="80m", order_by="raster_id")
    features, rasters, contained = (RecordingCutter.tables[table] for table in ("features", "rasters", "contained"))
    assert features["feature_id"].to_pylist() == ["30", "4"]
    assert features["name"].to_pylist() == ["no. 30", "no. 4"]
    assert shapely.from_wkb(features["geometry"][0].as_py()).y == pytest.approx(46.95, abs=0.05)
    assert rasters.select(["raster_id", "chip_width", "chip_height"]).to_pylist() == [
        {"raster_id": name, "chip_width": 8, "chip_height": 8} for name in ("a", "z")
    ]
    assert [(row["feature_id"], row["raster_id"]) for row in contained.to_pylist()] == [("30", "z"), ("4", "z")]
    assert contained["pmin_col"].to_pylist() == pytest.approx([30, 4])
    assert contained["pmax_row"].to_pylist() == pytest.approx([20.5, 20.5])


class VanishingCutter(Cutter):
    """A cutter that is not importable later."""

    def windows(self, features, rasters, contained, *, seed):
        return [("a", Window(0, 0, 8, 8))]


def test_update_skips_recipe_with_missing_cutter(pond_dataset: Dataset, tmp_path: Path, monkeypatch) -> None:
    pond_dataset.cut_custom("own", cutter=VanishingCutter, size=8)
    pond_dataset.cut_around_features("around", size=12)
    monkeypatch.setattr("geographer.base.plugins._REGISTERED", {})
    monkeypatch.delattr(f"{__name__}.VanishingCutter")
    add_points(pond_dataset, tmp_path / "inputs", {"apart": (8.5, 56.5)})
    custom, around = pond_dataset.update()
    assert (custom.changed, around.changed) == (False, True)
    (warning,) = custom.summary["warnings"]
    assert warning.startswith(f"recipe 'own' was skipped: cutter '{__name__}:VanishingCutter'")
    assert len(list_chips(pond_dataset, "own")) == 1
