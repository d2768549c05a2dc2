"""Flags: planted faults are found among honest changes; each kind of flag, and how many alike are joined."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from geographer import Dataset
from geographer.algorithms.geometry_change import GeometryChanges
from geographer.diff.flags import rasters
from geographer.diff.flags.flag import FlagCandidate, Reason, rank_candidates
from geographer.diff.flags.geometry import ChangedGeometries, find_changed_geometries
from tests.cli.runner import run_command
from tests.planted_faults import plant_faults
from tests.sample_history import PART_FRACTIONS, PIXEL, make_pixels, square_geometry, write_features, write_scenes
from tests.sample_rasters import write_scene


def test_planted_faults_come_first(tmp_path):
    planted = plant_faults(tmp_path, seed=7, honest=400, faults=12)
    lines = run_command(tmp_path / "dataset", "diff", planted.old, planted.new).splitlines()
    shown = "\n".join(lines[:30])
    assert {fault: name for fault, name in planted.faults.items() if name not in shown} == {}
    flags = Dataset.open(tmp_path / "dataset").diff(planted.old, planted.new, flags=True).flags
    honest = [flag for flag in flags if flag.number == 1 and not {*flag.ids} & {*planted.faults.values()}]
    assert len(honest) <= 3


@pytest.fixture(scope="module")
def labelled_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of nine ponds of 4 by 4 pixels, with chips around them, masks and a split."""
    root = tmp_path_factory.mktemp("flags")
    dataset = Dataset.init(root / "dataset", scm=False)
    ponds = {f"p{n}": ("pond", square_geometry(4 + 6 * n, 30, 4)) for n in range(8)} | {
        "q": ("quarry", square_geometry(30, 4, 4))
    }
    dataset.add_features(write_features(root / "old.geojson", ponds), crs="EPSG:32633")
    dataset.add_rasters(write_scenes(root, "a"))
    dataset.cut_around_features("chips", size=6)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts=PART_FRACTIONS, by="object")
    dataset.tag("base")
    return root


@pytest.fixture
def labelled(labelled_root: Path, tmp_path: Path) -> Dataset:
    import shutil

    return Dataset.open(shutil.copytree(labelled_root / "dataset", tmp_path / "dataset"))


def change_features(dataset: Dataset, folder: Path, **features: tuple[str, dict]) -> None:
    path = write_features(folder / "changed.geojson", features)
    dataset.add_features(path, crs="EPSG:32633", replace=True)


def find_codes(dataset: Dataset, a: str, b: str = "HEAD", **options) -> dict[str, set[str]]:
    """Return the codes of the reasons for each flagged object."""
    flags = dataset.diff(a, b, flags=True, **options).flags
    return {flag.ids[0]: {reason.code for reason in flag.reasons} for flag in flags}


def test_moved_feature_is_flagged_with_stale_label(labelled, tmp_path):
    change_features(
        labelled, tmp_path, p0=("pond", square_geometry(4 + 1.5, 30, 4)), p1=("pond", square_geometry(10.3, 30, 4))
    )
    codes = find_codes(labelled, "HEAD~1")
    assert codes["p0"] >= {"moved", "stale_label"}
    assert "moved" not in codes["p1"]
    flag = next(flag for flag in labelled.diff("HEAD~1", flags=True).flags if flag.ids == ("p0",))
    assert "moved 1.5 pixels (15 m) to the east" in flag.format_text()
    assert flag.position == labelled.log(1)[0].position
    labelled.update(on_conflict="exclude")
    assert "stale_label" not in find_codes(labelled, "base").get("p0", set())


def test_shrunk_flipped_and_split_features_are_flagged(labelled, tmp_path):
    halves = square_geometry(10, 30, 1)["coordinates"], square_geometry(13, 30, 1)["coordinates"]
    change_features(
        labelled,
        tmp_path,
        p0=("pond", square_geometry(4.2, 30.2, 3.6)),
        p1=("pond", {"type": "MultiPolygon", "coordinates": list(halves)}),
        p2=("quarry", square_geometry(16, 30, 4)),
    )
    codes = find_codes(labelled, "HEAD~1")
    assert "shrank" in codes["p0"]
    assert {"split", "shrank"} <= codes["p1"]
    assert codes["p2"] == {"class", "stale_label"}
    confusion = labelled.diff("HEAD~1").class_changes
    assert confusion == {("pond", "quarry"): 1}


def test_altered_source_is_flagged(labelled, tmp_path):
    transform = (PIXEL, 0.0, 500_000.0, 0.0, -PIXEL, 5_200_000.0)
    scene = write_scene(tmp_path / "a.tif", make_pixels(2, 64, 64, "uint8", seed=99), transform=transform, nodata=0)
    labelled.add_rasters([scene], replace=True)
    (flag,) = (flag for flag in labelled.diff("HEAD~1", flags=True).flags if flag.ids == ("a",))
    assert "still cut from the former ones" in flag.format_text()
    labelled.update(on_conflict="exclude")
    (flag,) = (flag for flag in labelled.diff("base", flags=True).flags if flag.ids == ("a",))
    assert "still" not in flag.format_text()


def test_grown_nodata_is_flagged(labelled, tmp_path):
    pixels = make_pixels(2, 64, 64, "uint8", seed=1)
    pixels[:, 28:36, :20] = 0
    transform = (PIXEL, 0.0, 500_000.0, 0.0, -PIXEL, 5_200_000.0)
    labelled.add_rasters([write_scene(tmp_path / "a.tif", pixels, transform=transform, nodata=0)], replace=True)
    labelled.update(on_conflict="exclude")
    diff = labelled.diff("base", flags=True, pixels=True)
    assert any("nodata" in {reason.code for reason in flag.reasons} for flag in diff.flags if flag.object == "chip")


def test_moved_subset_and_vanished_class_are_flagged(labelled):
    parts = {row["raster_id"]: row["part"] for row in labelled.splits().to_pylist()}
    quarry = next(name for name in parts if name.endswith("_q"))
    labelled.remove_features(["q"])
    labelled.update(on_conflict="exclude")
    codes = find_codes(labelled, "base")
    assert codes["quarry"] == {"class_vanished"}
    assert quarry not in {row["raster_id"] for row in labelled.splits().to_pylist()}
    labelled.split("parts", collection="chips", parts={"train": 0.9, "val": 0.1}, by="object", replace=True)
    moves = labelled.diff("HEAD~1").moves
    assert sum(moves.values()) == sum(
        flag.number for flag in labelled.diff("HEAD~1", flags=True).flags if flag.reasons[0].code == "subset"
    )


def test_feature_on_two_subsets_is_flagged(labelled, tmp_path):
    parts = {row["raster_id"].rpartition("_")[2]: row["part"] for row in labelled.splits().to_pylist()}
    first = next(n for n in range(7) if parts[f"p{n}"] != parts[f"p{n + 1}"])
    change_features(labelled, tmp_path, wide=("pond", square_geometry(5 + 6 * first, 31, 8)))
    assert "spans_subsets" in find_codes(labelled, "HEAD~1")["wide"]
    assert "spans_subsets" not in find_codes(labelled, "HEAD~1", "HEAD~1").get("wide", set())


def make_candidates(count: int, score: float, alike: str = "moved") -> list[FlagCandidate]:
    return [
        FlagCandidate("feature", f"f{n:05d}", f"feature f{n}", 3, Reason("moved", "moved", score, alike))
        for n in range(count)
    ]


def test_many_alike_are_one_flag():
    candidates = make_candidates(500, 1.5)
    candidates[17] = candidates[17]._replace(reason=Reason("moved", "moved far", 9.0, "moved"))
    flags = rank_candidates(candidates, changed=500)
    assert [flag.number for flag in flags] == [1, 499]
    assert flags[0].ids == ("f00017",)
    assert len(rank_candidates(make_candidates(15, 1.5), changed=50)) == 15
    assert len(rank_candidates(make_candidates(40, 1.5), changed=10_000)) == 40


def test_reasons_of_one_object_are_joined():
    first, second = make_candidates(1, 1.5)[0], make_candidates(1, 3.0)[0]
    second = second._replace(reason=Reason("class", "class a → b", 3.0, "class a → b"), position=5)
    (flag,) = rank_candidates([first, second], changed=9)
    assert flag.format_text() == "feature f0: class a → b; moved"
    assert flag.position == 5


@pytest.mark.parametrize("tiles", [1, 2])
def test_shift_of_neighbours_is_not_unusual(tiles):
    """All features, or each half of them, move by several pixels; one moves elsewhere."""
    rng = np.random.default_rng(4)
    lon, lat = rng.uniform(10, 10.2, 300), rng.uniform(50, 50.1, 300)
    tile = (lon > 10.1) if tiles == 2 else np.zeros(300, bool)
    east, north = np.where(tile, -35, 20) + rng.normal(0, 0.5, 300), np.where(tile, 5, -10) + rng.normal(0, 0.5, 300)
    east[0] += 25
    ones, zeros = np.ones(300), np.zeros(300)
    distances = np.hypot(east, north)
    measures = GeometryChanges(ones * 0.9, ones, ones * 400, ones * 400, distances, east, north, lon, lat, ones, zeros)
    names = pa.array([f"f{n}" for n in range(300)])
    changed = ChangedGeometries(names, names, np.full(300, 2), measures, ones * 10)
    flags = rank_candidates(find_changed_geometries(changed), changed=300)
    assert flags[0].ids == ("f0",)
    assert "off its neighbours' shift" in flags[0].format_text()
    assert [flag.number for flag in flags] == [1, 299]


def test_columns_rank_as_single_candidates_do():
    rng = np.random.default_rng(5)
    count = 2000
    old_area, new_area = (np.where(rng.random(count) < 0.01, 0.0, rng.lognormal(5, 0.1, count)) for _ in range(2))
    iou, parts = rng.beta(40, 1, count), np.where(rng.random(count) < 0.02, 1.0, 0.0)
    east, north, distances = rng.normal(0, 4, count), rng.normal(0, 4, count), rng.exponential(9, count)
    lon, lat = rng.uniform(10, 11, count), rng.uniform(50, 51, count)
    measures = GeometryChanges(iou, iou, old_area, new_area, distances, east, north, lon, lat, np.zeros(count), parts)
    names = pa.array([f"f{n}" for n in range(count)])
    changed = ChangedGeometries(names, names, rng.integers(2, 9, count), measures, np.full(count, 10.0))
    with np.errstate(divide="ignore"):
        groups = [*find_changed_geometries(changed)]
    single = [group.make_candidate(index) for group in groups for index in range(len(group.ids))]
    flags = rank_candidates(groups, count)
    assert {flag.reasons[0].code for flag in flags} >= {"moved", "grew", "lost_area", "reshaped"}
    assert flags == rank_candidates(single, count)


def test_conditions_do_not_change_what_is_usual():
    candidates = make_candidates(500, 1.5)
    flags = rank_candidates(candidates, 500, lambda group: np.arange(len(group.ids)) < 2)
    assert [(flag.number, flag.reasons[0].alike) for flag in flags] == [(2, "moved")]


def test_removals_are_flagged(labelled):
    labelled.remove_rasters(["chips/a_q"])
    assert find_codes(labelled, "HEAD~1")["chips/a_q"] == {"subset"}
    labelled.remove_rasters(["a"])
    assert "source_removed" in find_codes(labelled, "HEAD~1").get("a", set()) or not labelled.chips().num_rows


def test_emptied_subset_is_flagged(labelled):
    labelled.split("parts", collection="chips", parts={"train": 1.0}, by="object", replace=True)
    assert find_codes(labelled, "HEAD~1")["parts"] == {"subset_emptied"}


def test_overlapping_chips_of_two_subsets_are_flagged(labelled, tmp_path):
    boxes = {name: ("", square_geometry(column, 48, 10)) for name, column in (("x", 40), ("y", 45))}
    labelled.cut_boxes("pair", write_features(tmp_path / "boxes.geojson", boxes), crs="EPSG:32633")
    labelled.split("halves", collection="pair", parts=PART_FRACTIONS, by="object")
    codes = find_codes(labelled, "HEAD~1")
    assert [codes[name] for name in codes if name.startswith("pair/")] == [{"spans_subsets"}]


def test_chip_altered_without_its_source_is_found():
    """Only chips whose two versions were cut from one version of their source count."""
    connection = duckdb.connect()
    connection.execute("ATTACH ':memory:' AS state")
    connection.execute("CREATE TABLE state.raster AS SELECT 's' AS raster_id, 2 AS valid_from, 9 AS valid_to")
    side = "{{'parent_id': 's', 'pixel_digest': '{}', 'col': 0, 'row': 0, 'width': 8, 'height': 8, 'bands': 1, 'valid_from': {}}}"
    rows = {"altered": ("p", 3, "q", 5), "equal": ("p", 3, "p", 5), "of another source": ("p", 1, "q", 5)}
    values = [
        f"('{name}', 5, 'changed', {side.format(old, since)}, {side.format(new, at)})"
        for name, (old, since, new, at) in rows.items()
    ]
    names = "raster_id, position, change, old, new"
    connection.execute(f"CREATE TEMP TABLE changed_raster AS FROM (VALUES {', '.join(values)}) AS t({names})")
    query = Path(rasters.__file__).with_name("altered_chips.sql").read_text()
    assert connection.execute(query).fetchall() == [("altered", 5)]
