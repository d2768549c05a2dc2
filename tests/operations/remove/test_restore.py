"""Removed chips: recipes leave them out until they are restored, replaced or cut from other pixels; and restorations."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from tests.cli.runner import run_command
from tests.operations.pond_dataset import add_points, list_chips
from tests.sample_history import find_cached_file, write_scenes

CHIPS = ("around/a_corner", "around/a_p0")
COVER_CHIP = "cover/a_c16_r16"
REASON = "removed (geographer restore rasters brings them back)"


def list_ids(dataset: Dataset, recipe: str) -> list[str]:
    return sorted(chip["raster_id"] for chip in list_chips(dataset, recipe))


def count_removed(result: Any) -> int:
    return result.summary["unmet"].get(REASON, 0)


@pytest.fixture(scope="module")
def template(
    pond_template: Path, open_copy: Callable[[Path], Dataset], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    dataset = open_copy(pond_template)
    dataset.cut_around_features("around", size=12)
    dataset.cut_cover("cover", size=12)
    dataset.label_masks("mask", collection="around")
    dataset.remove_rasters([*CHIPS, COVER_CHIP], message="clouds")
    return shutil.copytree(dataset.root, tmp_path_factory.mktemp("removed") / "dataset")


@pytest.fixture
def dataset(template: Path, open_copy: Callable[[Path], Dataset]) -> Dataset:
    """Chips around the points with masks, and a cover; some chips of both were removed."""
    return open_copy(template)


def test_removed_chips_stay_removed(dataset: Dataset, tmp_path: Path) -> None:
    before = {name: {*list_ids(dataset, name)} for name in ("around", "cover")}
    # The first point lies on removed chips, the second on no chip.
    add_points(dataset, tmp_path / "inputs", {"near": (21.5, 21.5), "far": (40.5, 56.5)})
    for rebuild in (False, True):
        results = {result.summary["recipe"]["name"]: result for result in dataset.update(rebuild_covers=rebuild)}
        assert (count_removed(results["around"]), count_removed(results["cover"])) == (2, 1)
        assert {*list_ids(dataset, "around")} - before["around"] == {"around/a_far"}
        assert COVER_CHIP not in list_ids(dataset, "cover")
        assert len(list_ids(dataset, "cover")) == len(before["cover"]) + 1
    assert dataset.verify() == []


def test_removal_is_remembered_until_the_recipe_or_the_pixels_change(dataset: Dataset, tmp_path: Path) -> None:
    scenes = write_scenes(tmp_path / "same", "a")
    dataset.remove_rasters(["a"])
    dataset.cut_around_features("around", size=12)
    assert list_ids(dataset, "around") == ["around/b_alone", "around/b_both", "around/b_east"]
    dataset.add_rasters(scenes)
    assert count_removed(dataset.cut_around_features("around", size=12)) == 2
    assert "around/a_lake" in list_ids(dataset, "around")
    assert "around/a_corner" not in list_ids(dataset, "around")
    dataset.add_rasters(write_scenes(tmp_path / "other", "a", seed=9), replace=True)
    assert count_removed(dataset.cut_around_features("around", size=12)) == 0
    assert "around/a_corner" in list_ids(dataset, "around")


def test_replaced_recipe_cuts_removed_chips(dataset: Dataset) -> None:
    result = dataset.cut_around_features("around", size=12, replace=True)
    assert {*CHIPS} < {*list_ids(dataset, "around")}
    assert (count_removed(result), result.summary["chips"]) == (0, 2)
    dataset.remove_rasters(["around/a_corner"])
    result = dataset.cut_around_features("around", size=16, replace=True)
    assert "around/a_corner" in list_ids(dataset, "around")
    warning = "recipe 'mask' uses chips of 'around' that are replaced. Run them again: geographer update"
    assert (count_removed(result), result.summary["warnings"]) == (0, [warning])
    assert not dataset.cut_around_features("around", size=16).changed


def test_restored_chip_is_as_it_was(dataset: Dataset) -> None:
    before = dataset.show().position - 1
    printed = run_command(dataset.root, "update")
    assert f"chips_cut 'around': nothing to do, 2 skipped: {REASON}; the head is still" in printed
    printed = run_command(dataset.root, "restore", "rasters", *CHIPS, COVER_CHIP, "-m", "thin clouds")
    assert "rasters_restored: 3 rasters" in printed
    assert dataset.show().payload["request"] == {"ids": [*CHIPS, COVER_CHIP]}
    assert (dataset.root / "rasters/around/a_corner.tif").is_file()
    assert [result.summary["recipe"]["name"] for result in dataset.update() if result.changed] == ["mask"]
    assert dataset.content_digest() == dataset.content_digest(before)
    assert dataset.verify() == []


def test_impossible_restorations_are_refused(dataset: Dataset, tmp_path: Path) -> None:
    for ids, error, message in (
        ([], UsageError, "no raster id given"),
        (["around/a_alone"], ConflictError, "it is in the dataset already"),
        (["around/a_nothing"], NotFoundError, "never had raster 'around/a_nothing'"),
    ):
        with pytest.raises(error, match=message):
            dataset.restore_rasters(ids)
    path = find_cached_file(dataset.root, "rasters/around/a_corner.tif", 99)
    path.rename(tmp_path / "kept")
    with pytest.raises(CorruptError, match="cannot restore raster 'around/a_corner': the bytes are missing or altered"):
        dataset.restore_rasters(["around/a_corner"])
    (tmp_path / "kept").rename(path)
    dataset.remove_features(["alone"])
    dataset.cut_around_features("around", size=12)
    with pytest.raises(ConflictError, match="cannot restore raster 'around/a_alone': its recipe retired it"):
        dataset.restore_rasters(["around/a_alone"])
    dataset.remove_rasters(["a"])
    with pytest.raises(ConflictError, match="what it was cut from was changed or removed"):
        dataset.restore_rasters(["around/a_corner"])
    assert dataset.restore_rasters(["a", "around/a_corner"]).summary == {"rasters": 2}
    dataset.remove_rasters(["around/a_corner"])
    dataset.cut_around_features("around", size=12, replace=True, where="feature_id <> 'corner'")
    with pytest.raises(ConflictError, match="its recipe was changed or removed since"):
        dataset.restore_rasters(["around/a_corner"])


def test_features_are_restored(dataset: Dataset) -> None:
    before = dataset.features(feature=["corner", "lake"]).to_pylist()
    dataset.remove_features(["corner", "lake"])
    assert dataset.restore_features(["lake", "corner"], message="still there").summary == {"features": 2}
    assert dataset.features(feature=["corner", "lake"]).to_pylist() == before
    with pytest.raises(ConflictError, match="cannot restore feature 'lake': it is in the dataset already"):
        dataset.restore_features(["lake"])
    dataset.remap_classes({"lake": None})
    with pytest.raises(ConflictError, match="cannot restore feature 'lake': the dataset no longer has its class"):
        dataset.restore_features(["lake"])
    dataset.add_classes(["lake"])
    dataset.restore_features(["lake"])
    assert dataset.features(feature="lake")["class"].to_pylist() == ["lake"]
