"""Given boxes, covers and cutters of one's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import ceil, floor
from pathlib import Path
from typing import ClassVar

import geopandas
import pyarrow as pa
import pyproj
import pytest
import shapely

from geographer import Cutter, Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.base.values import Window
from tests.operations.pond_dataset import POINTS, chips, counted, digests, gather, holds, windows
from tests.sample_history import NORTH, PIXEL, WEST, Corners, square, write_features, write_scenes
from tests.sample_rasters import pixels, write_scene

# --- boxes --------------------------------------------------------------------------------------------------------


def boxes_file(path: Path, boxes: dict[str, tuple[float, float, float]]) -> Path:
    """Squares by their left, top and side in pixels of the first scene."""
    return write_features(path, {name: ("", square(*box)) for name, box in boxes.items()})


def test_a_box_is_cut_from_the_first_raster_that_holds_it(gathered: Dataset, tmp_path: Path) -> None:
    boxes = boxes_file(tmp_path / "boxes.geojson", {"in": (4, 5, 8), "half": (50.25, 5.75, 4), "over": (60, 60, 9)})
    skipped = gathered.cut_boxes("skipped", boxes, crs="EPSG:32633")
    gathered.cut_boxes("padded", boxes, crs="EPSG:32633", at_border="pad", target_count=2)
    found = {("a", 4, 5, 8, 8), ("a", 50, 5, 5, 5)}
    assert windows(gathered, "skipped") == found
    assert windows(gathered, "padded") == found | {("b", 2, 5, 5, 5), ("a", 60, 60, 9, 9), ("b", 12, 60, 9, 9)}
    assert (skipped.summary["boxes"], skipped.summary["unmet"]) == (3, {"its chip would cross the raster's edge": 1})
    assert {chip["raster_id"] for chip in chips(gathered, "skipped")} == {"skipped/a_in", "skipped/a_half"}


def test_boxes_in_another_crs_are_cut_where_their_corners_lie(gathered: Dataset, tmp_path: Path) -> None:
    to_degrees = pyproj.Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    west, south = to_degrees.transform(WEST + 10.5 * PIXEL, NORTH - 30.5 * PIXEL)
    east, north = to_degrees.transform(WEST + 20.5 * PIXEL, NORTH - 12.5 * PIXEL)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    box = {"type": "Feature", "properties": {"box_id": "x"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = tmp_path / "boxes.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [box]}))
    gathered.cut_boxes("boxes", path)
    to_metres = pyproj.Transformer.from_crs("EPSG:4326", "EPSG:32633", always_xy=True)
    corners = [to_metres.transform(*corner) for corner in ring]
    columns = [(x - WEST) / PIXEL for x, _ in corners]
    rows = [(NORTH - y) / PIXEL for _, y in corners]
    left, top = floor(min(columns)), floor(min(rows))
    assert windows(gathered, "boxes") == {("a", left, top, ceil(max(columns)) - left, ceil(max(rows)) - top)}


def test_boxes_are_kept_and_cut_from_rasters_that_come_later(gathered: Dataset, tmp_path: Path) -> None:
    """Also where no raster showed any when they were given, and with a selector of rasters beside them."""
    path = boxes_file(tmp_path / "boxes.geojson", {"far": (150, 5, 8)})
    gathered.cut_boxes("far", path, crs="EPSG:32633", rasters_where=all_of)
    path.unlink()
    assert chips(gathered, "far") == []
    gathered.add_rasters(write_scenes(tmp_path / "later", "c", beside=3))
    gathered.update()
    assert windows(gathered, "far") == {("c", 6, 5, 8, 8)}
    assert not any(recorded.changed for recorded in gathered.update())


def all_of(rasters):
    return [row["raster_id"] for row in rasters.to_pylist()]


def test_other_boxes_under_the_same_name_are_a_conflict(gathered: Dataset, tmp_path: Path) -> None:
    first = boxes_file(tmp_path / "first.geojson", {"x": (4, 5, 8), "y": (14, 5, 8)})
    gathered.cut_boxes("boxes", first, crs="EPSG:32633")
    turned = boxes_file(tmp_path / "turned.geojson", {"y": (14, 5, 8), "x": (4, 5, 8)})
    assert not gathered.cut_boxes("boxes", turned, crs="EPSG:32633").changed
    for boxes in ({"x": (4, 5, 8)}, {"x": (4, 5, 8), "z": (14, 5, 8)}, {"x": (4, 5, 8), "y": (14, 5, 9)}):
        other = boxes_file(tmp_path / "other.geojson", boxes)
        with pytest.raises(ConflictError, match="'boxes' is a cut boxes recipe"):
            gathered.cut_boxes("boxes", other, crs="EPSG:32633")


def test_what_is_no_box_is_named(gathered: Dataset, tmp_path: Path) -> None:
    head = gathered.log(1)
    path = write_features(tmp_path / "points.geojson", {"p": ("", {"type": "Point", "coordinates": [WEST, NORTH]})})
    with pytest.raises(UsageError, match=r"box 'p' can't be cut, because it is no polygon"):
        gathered.cut_boxes("boxes", path, crs="EPSG:32633")
    path.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    with pytest.raises(UsageError, match="holds no box"):
        gathered.cut_boxes("boxes", path, crs="EPSG:32633")
    assert gathered.log(1) == head


# --- covers -------------------------------------------------------------------------------------------------------


def test_a_cover_holds_every_feature_and_says_how_few_chips_it_takes(gathered: Dataset) -> None:
    """Nine points within five pixels take one chip of seven; the four others lie far from each other."""
    recorded = gathered.cut_cover("cover", size=7, where="class = 'pond'")
    assert all(counted(chips(gathered, "cover"), POINTS).values())
    assert recorded.summary["cover"] == {"chips": 5, "bound": 5, "gap": 0.0, "kept": 0, "added": 5, "added_bound": 5}
    assert (recorded.summary["features"], recorded.summary["unmet"]) == (13, {})
    twice = gathered.cut_cover("twice", size=7, target_count=2, where="class = 'pond'")
    assert all(count >= 2 for count in counted(chips(gathered, "twice"), POINTS).values())
    assert twice.summary["cover"]["chips"] == twice.summary["cover"]["bound"] == 10


def test_a_cover_keeps_its_chips_and_adds_the_fewest_until_it_is_made_afresh(gathered: Dataset, tmp_path: Path) -> None:
    gathered.cut_cover("cover", size=12, where="feature_id LIKE 'n%'")
    assert chips(gathered, "cover") == []
    gather(gathered, tmp_path / "inputs", {"n1": (30.5, 55.5)})
    gathered.update()
    (first,) = windows(gathered, "cover")
    before = digests(gathered, "cover")
    late = {"n2": (first[1] - 2.5, 55.5), "n3": (first[1] - 3.5, 54.5)}
    gather(gathered, tmp_path / "inputs", late)
    (recorded,) = gathered.update()
    assert recorded.summary["cover"] == {"chips": 2, "bound": 1, "gap": 0.5, "kept": 1, "added": 1, "added_bound": 1}
    assert before.items() <= digests(gathered, "cover").items()
    assert not any(recorded.changed for recorded in gathered.update())
    (recorded,) = gathered.update(afresh=True)
    assert gathered.log(1)[0].payload["request"]["afresh"] is True
    assert recorded.summary["cover"] == {"chips": 1, "bound": 1, "gap": 0.0, "kept": 0, "added": 1, "added_bound": 1}
    (chip,) = chips(gathered, "cover")
    assert all(holds(chip, where) for where in [(30.5, 55.5), *late.values()])
    gathered.cut_cover("anew", size=12, where="feature_id LIKE 'n%'")
    assert windows(gathered, "anew") == windows(gathered, "cover")


def test_a_cover_retires_a_chip_that_holds_nothing_any_more(gathered: Dataset) -> None:
    gathered.cut_cover("cover", size=12, where="class = 'pond'")
    before = digests(gathered, "cover")
    (lonely,) = (chip["raster_id"] for chip in chips(gathered, "cover") if holds(chip, POINTS["alone"]))
    gathered.remove_features(["alone", "p0"])
    (recorded,) = gathered.update()
    assert before.keys() - digests(gathered, "cover").keys() == {lonely}
    assert (recorded.summary["chips"], recorded.summary["retired"]) == (0, 1)
    told = recorded.summary["cover"]
    assert (told["kept"], told["added"], told["chips"]) == (len(before) - 1, 0, len(before) - 1)
    assert told["bound"] == told["chips"]


def test_a_cover_s_chips_have_pixels_enough_where_some_windows_do(gathered: Dataset, tmp_path: Path) -> None:
    """Two points in one window; the first one is so near to what is missing that its chip must begin beside it."""
    array = pixels(1, 40, 40, "uint8")
    array[:, :, :18] = 0
    scene = write_scene(tmp_path / "collar.tif", array, transform=(PIXEL, 0, WEST, 0, -PIXEL, NORTH - 1000), nodata=0)
    gathered.add_rasters(scene, collection="collar")
    places = {"n1": (19.5, 120.5), "n2": (21.5, 120.5), "n3": (9.5, 120.5)}
    gather(gathered, tmp_path / "inputs", places)
    recorded = gathered.cut_cover("cover", size=12, source="collar", where="feature_id LIKE 'n%'", max_nodata=0)
    ((_, col, row, *_),) = windows(gathered, "cover")
    assert 18 <= col <= 19
    assert 9 <= row <= 20
    assert recorded.summary["unmet"] == {"too much nodata": 1}


# --- cutters of one's own -----------------------------------------------------------------------------------------


class Beside(Cutter):
    """A chip to the right of every feature in every raster that contains it."""

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


def test_a_cutter_of_one_s_own_chooses_the_windows_and_is_kept_by_name_version_and_options(
    gathered: Dataset, tmp_path: Path
) -> None:
    recorded = gathered.cut_own(
        "own", cutter=Beside, size=(5, 4), options=OPTIONS, seed=4, where="feature_id IN ('both', 'alone')"
    )
    due = {("a", 58, 40, 5, 4), ("b", 10, 40, 5, 4), ("a", 52, 10, 5, 4), ("b", 4, 10, 5, 4)}
    assert windows(gathered, "own") == due
    kept = recorded.summary["recipe"]["parameters"]
    assert kept["cutter"] == {"cutter": "tests.operations.cut.test_cut_kinds:Beside", "version": "2.1"}
    assert kept["options"] == {"steps": {"right": [2]}}
    assert not any(recorded.changed for recorded in gathered.update())
    gathered.remove_features(["alone"])
    (again,) = gathered.update()
    assert (again.summary["chips"], again.summary["retired"]) == (0, 2)
    assert windows(gathered, "own") == {window for window in due if window[2] == 40}


def test_a_cutter_can_be_named_as_text(gathered: Dataset) -> None:
    gathered.cut_own("own", cutter="tests.sample_history:Corners", size=6, options={"inset": 3})
    assert windows(gathered, "own") == {("a", 3, 3, 6, 6), ("b", 3, 3, 6, 6)}
    assert not gathered.cut_own("own", cutter=Corners, size=6, options={"inset": 3}).changed


class Lost(Cutter):
    """A chip of a raster that there is not."""

    def windows(self, *_: pa.Table, seed: int) -> list[tuple[str, Window]]:
        return [("nowhere", Window(0, 0, 2, 2))]


def test_options_that_are_no_json_are_refused(gathered: Dataset) -> None:
    with pytest.raises(UsageError, match="can't be recorded"):
        gathered.cut_own("own", cutter=Corners, options={"inset": {3}})


@pytest.mark.parametrize(
    ("cutter", "error", "told"),
    [
        ("tests.sample_history:Nobody", NotFoundError, "no 'tests.sample_history:Nobody' among the entry points"),
        ("nothing", NotFoundError, "install what has it"),
        (Lost, UsageError, "named 'nowhere': not among the rasters"),
    ],
)
def test_a_cutter_that_is_not_there_or_names_what_is_not_there_is_told(gathered, cutter, error, told) -> None:
    head = gathered.log(1)
    with pytest.raises(error, match=told):
        gathered.cut_own("own", cutter=cutter)
    assert gathered.log(1) == head


class Looking(Cutter):
    """It cuts nothing, and keeps what it was given."""

    given: ClassVar[dict[str, pa.Table]] = {}

    def windows(
        self, features: pa.Table, rasters: pa.Table, contained: pa.Table, *, seed: int
    ) -> list[tuple[str, Window]]:
        self.given |= {"features": features, "rasters": rasters, "contained": contained}
        return []


def test_a_cutter_is_given_features_and_rasters_in_their_order_and_where_they_lie(
    begun: Callable[[Path], Dataset], empty_dataset: Path, tmp_path: Path
) -> None:
    dataset = begun(empty_dataset)
    for number in (30, 4):
        columns = {"id": [number], "name": [f"no. {number}"]}
        place = shapely.Point(WEST + PIXEL * number, NORTH - PIXEL * 20.5)
        dataset.add_features(geopandas.GeoDataFrame(columns, geometry=[place], crs="EPSG:32633"))
    dataset.add_rasters(write_scenes(tmp_path, "z", "a"))
    dataset.cut_own("own", cutter=Looking, size="80m", order_by="raster_id")
    features, rasters, contained = (Looking.given[table] for table in ("features", "rasters", "contained"))
    assert features["feature_id"].to_pylist() == ["30", "4"]
    assert features["name"].to_pylist() == ["no. 30", "no. 4"]
    assert shapely.from_wkb(features["geometry"][0].as_py()).y == pytest.approx(46.95, abs=0.05)
    assert rasters.select(["raster_id", "chip_width", "chip_height"]).to_pylist() == [
        {"raster_id": name, "chip_width": 8, "chip_height": 8} for name in ("a", "z")
    ]
    assert [(row["feature_id"], row["raster_id"]) for row in contained.to_pylist()] == [("30", "z"), ("4", "z")]
    assert contained["pmin_col"].to_pylist() == pytest.approx([30, 4])
    assert contained["pmax_row"].to_pylist() == pytest.approx([20.5, 20.5])


class Vanishing(Cutter):
    """A cutter that a later process does not have."""

    def windows(self, features, rasters, contained, *, seed):
        return [("a", Window(0, 0, 8, 8))]


def test_update_goes_on_past_a_recipe_whose_cutter_is_not_there(gathered: Dataset, tmp_path: Path, monkeypatch) -> None:
    gathered.cut_own("own", cutter=Vanishing, size=8)
    gathered.cut_around_features("around", size=12)
    monkeypatch.setattr("geographer.base.plugins._BROUGHT", {})
    monkeypatch.delattr(f"{__name__}.Vanishing")
    gather(gathered, tmp_path / "inputs", {"apart": (8.5, 56.5)})
    own, around = gathered.update()
    assert (own.changed, around.changed) == (False, True)
    (warning,) = own.summary["warnings"]
    assert warning.startswith(f"'own' was left as it is: '{__name__}:Vanishing'")
    assert len(chips(gathered, "own")) == 1
