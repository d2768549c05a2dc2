from __future__ import annotations

import shutil
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from tests.sample_history import NORTH, PIXEL, WEST, point, square, write_features
from tests.sample_rasters import pixels, write_scene

SIZE = 8
PONDS = {f"p{number}": (6.5 + 20 * number, 30.5) for number in range(6)}
"""Six points 20 pixels apart: their chips of 8 pixels lie 12 pixels, which is 120 m, from each other."""
HALVES = {"train": 0.5, "test": 0.5}

Point = tuple[float, float]


def gather(dataset: Dataset, inputs: Path, points: dict[str, Point], class_: str = "pond") -> None:
    inputs.mkdir(exist_ok=True)
    path = inputs / f"{len(dataset.log())}.geojson"
    write_features(path, {name: (class_, point(*where)) for name, where in points.items()})
    dataset.add_features(path, crs="EPSG:32633")


def weld(dataset: Dataset, inputs: Path, name: str, column: float, side: float) -> None:
    """A square that begins in the chip at `column` and reaches `side` pixels east."""
    inputs.mkdir(exist_ok=True)
    path = write_features(inputs / f"{name}.geojson", {name: ("marsh", square(column, 30, side))})
    dataset.add_features(path, crs="EPSG:32633")


def parts_of(dataset: Dataset, split: str = "parts") -> dict[str, str | None]:
    rows = dataset.splits(where=f"split = '{split}'").to_pylist()
    return {row["raster_id"].removeprefix("chips/a_"): row["part"] for row in rows}


def sides(parts: dict[str, str | None]) -> set[frozenset[str]]:
    """Which rasters are together, whatever their part is called."""
    return {frozenset(name for name in parts if parts[name] == part) for part in set(parts.values())}


def leaks(dataset: Dataset) -> list[tuple[str, str]]:
    """Pairs of chips of different parts that share a feature or a pixel."""
    part = {row["raster_id"]: row["part"] for row in dataset.splits().to_pylist() if row["part"]}
    shown: dict[str, set[str]] = {name: set() for name in part}
    for edge in dataset.edges().to_pylist():
        if edge["raster_id"] in part:
            shown[edge["raster_id"]].add(edge["feature_id"])
    box = {chip["raster_id"]: (chip["col"], chip["row"]) for chip in dataset.chips().to_pylist()}

    def overlap(a: str, b: str) -> bool:
        return all(abs(one - other) < SIZE for one, other in zip(box[a], box[b], strict=True))

    return [
        (a, b)
        for a, b in combinations(sorted(part), 2)
        if part[a] != part[b] and (shown[a] & shown[b] or overlap(a, b))
    ]


@pytest.fixture(scope="module")
def chipped_once(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chipped")
    dataset = Dataset.open(shutil.copytree(empty_dataset, folder / "dataset"))
    gather(dataset, folder / "inputs", PONDS)
    dataset.add_rasters(write_scene(folder / "a.tif", pixels(1, 64, 128, "uint8"), nodata=0))
    dataset.cut_around_features("chips", size=SIZE, where="class <> 'marsh'")
    return dataset.root


@pytest.fixture
def chipped(chipped_once: Path, begun: Callable[[Path], Dataset]) -> Dataset:
    """Six chips of one scene that share nothing."""
    return begun(chipped_once)


@pytest.fixture(scope="module")
def halved_once(chipped_once: Path, begun: Callable[[Path], Dataset], tmp_path_factory: pytest.TempPathFactory) -> Path:
    dataset = begun(chipped_once)
    dataset.split("parts", collection="chips", parts={"train": 2 / 3, "test": 1 / 3})
    return shutil.copytree(dataset.root, tmp_path_factory.mktemp("halved") / "dataset")


@pytest.fixture
def halved(halved_once: Path, begun: Callable[[Path], Dataset]) -> Dataset:
    """The same, four in train and two in test."""
    return begun(halved_once)


def test_parts_are_as_near_to_their_shares_as_can_be_and_the_report_says_how_near(chipped: Dataset) -> None:
    recorded = chipped.split("parts", collection="chips", parts={"train": 3, "val": 1, "test": 1})
    parts = parts_of(chipped)
    assert parts.keys() == PONDS.keys()
    assert sorted(list(parts.values()).count(name) for name in ("train", "val", "test")) == [1, 1, 4]
    told = recorded.summary
    assert (told["components"], told["assigned"], told["warnings"]) == (6, 6, [])
    assert told["parts"]["train"] == {"rasters": 4, "asked": 0.6, "got": 0.666667, "classes": {}}
    assert chipped.show().payload["parts"] == told["parts"]


def test_the_same_split_again_changes_nothing_and_other_parameters_are_a_conflict(halved: Dataset) -> None:
    head = halved.log(1)
    shares = {"train": 2 / 3, "test": 1 / 3}
    assert not halved.split("parts", collection="chips", parts=shares).changed
    for options in ({"parts": HALVES}, {"parts": shares, "seed": 1}, {"parts": shares, "by": "object"}):
        with pytest.raises(ConflictError, match="'parts' is a split recipe"):
            halved.split("parts", collection="chips", **options)
    assert halved.log(1) == head


def test_the_seed_decides_among_splits_that_are_equally_good(chipped: Dataset) -> None:
    for seed in range(6):
        chipped.split(f"parts{seed}", collection="chips", parts=HALVES, seed=seed)
    drawn = [parts_of(chipped, f"parts{seed}") for seed in range(6)]
    assert len({tuple(sorted(parts.items())) for parts in drawn}) > 1
    assert all(list(parts.values()).count("train") == 3 for parts in drawn)


def test_assigned_once_stays_when_the_dataset_grows(halved: Dataset, tmp_path: Path) -> None:
    before = parts_of(halved)
    gather(halved, tmp_path / "inputs", {f"q{number}": (12.5 + 20 * number, 50.5) for number in range(5)})
    halved.update()
    after = parts_of(halved)
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {f"q{number}" for number in range(5)}
    assert sorted(list(after.values()).count(part) for part in ("train", "test")) == [4, 7]
    assert leaks(halved) == []


def test_a_new_chip_joins_the_part_of_what_it_touches(halved: Dataset, tmp_path: Path) -> None:
    before = parts_of(halved)
    near = {f"near {name}": (column + 5, row) for name, (column, row) in PONDS.items()}
    gather(halved, tmp_path / "inputs", near)
    halved.update()
    after = parts_of(halved)
    assert {name: after[f"near%20{name}"] for name in PONDS} == before
    assert leaks(halved) == []


@pytest.fixture
def welded(halved: Dataset, tmp_path: Path) -> Dataset:
    """A marsh shows in a chip of either part now, beside a pond that is new and lies in neither."""
    parts = parts_of(halved)
    first = next(number for number in range(5) if parts[f"p{number}"] != parts[f"p{number + 1}"])
    weld(halved, tmp_path / "inputs", "marsh", PONDS[f"p{first}"][0], 21)
    gather(halved, tmp_path / "inputs", {"apart": (60.5, 10.5)})
    halved.cut_around_features("chips", size=SIZE, where="class <> 'marsh'")
    return halved


def test_a_feature_that_welds_two_parts_is_a_conflict_and_nothing_is_written(welded: Dataset) -> None:
    before, head = parts_of(welded), welded.log(1)
    for ask in (
        welded.update,
        lambda: welded.split("parts", collection="chips", parts={"train": 2 / 3, "test": 1 / 3}),
        lambda: welded.update(dry_run=True),
    ):
        with pytest.raises(ConflictError, match=r"feature 'marsh'.*--on-conflict exclude.*--on-conflict move"):
            ask()
    assert welded.log(1) == head
    assert parts_of(welded) == before


def test_exclude_leaves_the_smaller_side_of_the_weld_out_for_good(welded: Dataset, tmp_path: Path) -> None:
    before = parts_of(welded)
    (recorded,) = (one for one in welded.update(on_conflict="exclude") if one.changed)
    after = parts_of(welded)
    lost = {name for name, part in before.items() if after[name] != part}
    assert (len(lost), {after[name] for name in lost}) == (1, {None})
    assert after.keys() - before.keys() == {"apart"}
    assert after["apart"] is not None
    assert (recorded.summary["left out"], recorded.summary["assigned"]) == (1, 1)
    assert leaks(welded) == []
    assert not any(one.changed for one in welded.update())
    gather(welded, tmp_path / "inputs", {"later": (100.5, 10.5)})
    welded.update()
    assert {name: part for name, part in parts_of(welded).items() if name != "later"} == after


def test_what_was_left_out_comes_back_to_its_part_once_nothing_welds_it(welded: Dataset) -> None:
    before = parts_of(welded)
    welded.update(on_conflict="exclude")
    welded.remove_features(["marsh"])
    welded.update()
    assert before.items() <= parts_of(welded).items()


def test_move_brings_the_smaller_side_over(welded: Dataset) -> None:
    before = parts_of(welded)
    (recorded,) = (one for one in welded.update(on_conflict="move") if one.changed)
    after = parts_of(welded)
    moved = {name for name, part in before.items() if after[name] != part}
    assert (len(moved), recorded.summary["moved"]) == (1, 1)
    assert None not in after.values()
    assert leaks(welded) == []
    assert not any(one.changed for one in welded.update())


def test_what_the_parts_are_asked_for_is_kept_through_updates_with_and_without_a_choice(welded: Dataset) -> None:
    """`--on-conflict` belongs to one run, not to the recipe."""
    welded.split("parts", collection="chips", parts={"train": 2 / 3, "test": 1 / 3}, on_conflict="move")
    assert not welded.split("parts", collection="chips", parts={"train": 2 / 3, "test": 1 / 3}).changed


def test_chips_that_share_pixels_are_parted_only_by_object(chipped: Dataset, tmp_path: Path) -> None:
    """Chips of 8 pixels, 5 pixels apart, each with one point of its own."""
    gather(chipped, tmp_path / "inputs", {f"r{number}": (20.5 + 5 * number, 54.5) for number in range(4)})
    chipped.cut_around_features("row", size=SIZE, where="starts_with(feature_id, 'r')")
    assert chipped.split("whole", collection="row", parts=HALVES).summary["components"] == 1
    assert chipped.split("objects", collection="row", parts=HALVES, by="object").summary["components"] == 4
    assert {row["part"] for row in chipped.splits(where="split = 'objects'").to_pylist()} == set(HALVES)


def test_a_feature_in_two_chips_binds_them_unless_a_filter_leaves_it_out(chipped: Dataset, tmp_path: Path) -> None:
    weld(chipped, tmp_path / "inputs", "marsh", PONDS["p0"][0], 110)
    ponds = chipped.split("ponds", collection="chips", parts=HALVES, where="class = 'pond'")
    assert ponds.summary["components"] == 6
    whole = chipped.split("all", collection="chips", parts=HALVES)
    assert whole.summary["components"] == 1


def test_a_component_that_is_too_large_is_told_and_not_parted(chipped: Dataset, tmp_path: Path) -> None:
    weld(chipped, tmp_path / "inputs", "marsh", PONDS["p0"][0], 81)
    recorded = chipped.split("parts", collection="chips", parts=HALVES)
    assert sorted(len(side) for side in sides(parts_of(chipped))) == [1, 5]
    assert leaks(chipped) == []
    (warning,) = recorded.summary["warnings"]
    assert "one component holds 83.3 % of the rasters" in warning
    assert chipped.show().payload["warnings"] == [warning]


def test_rasters_nearer_than_the_buffer_stay_together(chipped: Dataset) -> None:
    """120 m lie between neighbours on the ground; scale and ellipsoid make 0.1 m of difference."""
    assert chipped.split("near", collection="chips", parts=HALVES, buffer=119).summary["components"] == 6
    whole = chipped.split("far", collection="chips", parts=HALVES, buffer=121)
    assert whole.summary["components"] == 1
    assert any("a smaller --buffer" in warning for warning in whole.summary["warnings"])
    assert sides(parts_of(chipped, "far")) == {frozenset(PONDS)}


def test_stratified_parts_have_their_share_of_each_class(chipped: Dataset, tmp_path: Path) -> None:
    rare = {f"r{number}": (6.5 + 20 * number, 54.5) for number in range(2)}
    gather(chipped, tmp_path / "inputs", rare, "rare")
    chipped.update()
    for seed in range(4):
        name = f"parts{seed}"
        told = chipped.split(name, collection="chips", parts=HALVES, stratify="class", seed=seed).summary
        parts = parts_of(chipped, name)
        for part in HALVES:
            assert [parts[one] == part for one in rare].count(True) == 1
            assert [parts[one] == part for one in PONDS].count(True) == 3
            assert told["parts"][part]["classes"] == {"pond": 0.5, "rare": 0.5}


def test_chips_of_a_raster_that_came_back_elsewhere_are_compared_by_where_they_lie(
    chipped: Dataset, tmp_path: Path
) -> None:
    """The new scene begins 100 pixels east of the old one, so its columns 0 to 8 are the old one's 100 to 108."""
    chipped.split("before", collection="chips", parts=HALVES)
    chipped.remove_rasters(["a"])
    transform = (PIXEL, 0, WEST + 1000, 0, -PIXEL, NORTH)
    scene = write_scene(tmp_path / "a.tif", pixels(1, 64, 128, "uint8", seed=3), transform=transform, nodata=0)
    chipped.add_rasters(scene)
    gather(chipped, tmp_path / "inputs", {"z": (112.5, 30.5), "y": (112.5, 50.5)})
    chipped.update()
    corner = {chip["raster_id"].rpartition("_")[2]: (chip["col"], chip["row"]) for chip in chipped.chips().to_pylist()}
    assert corner == {"p5": (3, 27), "z": (9, 27), "y": (9, 47)}
    before = parts_of(chipped, "before")
    assert before.keys() == corner.keys()
    assert before["p5"] == before["z"]
    chipped.split("parts", collection="chips", parts=dict.fromkeys("abcdefg", 1.0))
    assert sides(parts_of(chipped)) == {frozenset(["p5", "z"]), frozenset("y")}


def test_a_raster_that_is_removed_gives_its_place_up(halved: Dataset) -> None:
    before = parts_of(halved)
    halved.remove_rasters(["chips/a_p1"])
    assert parts_of(halved) == {name: part for name, part in before.items() if name != "p1"}
    halved.update()
    assert {name: part for name, part in parts_of(halved).items() if name != "p1"} == {
        name: part for name, part in before.items() if name != "p1"
    }


def test_nothing_is_recorded_of_a_split_that_can_not_be(chipped: Dataset) -> None:
    head = chipped.log(1)
    for error, told, options in [
        (NotFoundError, "no collection 'nowhere'", {"collection": "nowhere", "parts": HALVES}),
        (UsageError, "'test' has the share 0", {"collection": "chips", "parts": {"train": 1, "test": 0}}),
        (NotFoundError, "names 'depth_m'", {"collection": "chips", "parts": HALVES, "where": "depth_m > 2"}),
    ]:
        with pytest.raises(error, match=told):
            chipped.split("parts", **options)
    assert chipped.log(1) == head
