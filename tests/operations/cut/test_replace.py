"""Cut recipes whose parameters are replaced: which chips stay, which are cut again, and which are retired."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError
from tests.cli.runner import read_rows
from tests.operations.cut.test_cut_kinds import write_boxes
from tests.operations.pond_dataset import (
    POINTS,
    count_containing_chips,
    list_checksums,
    list_chips,
    list_windows,
)
from tests.sample_history import CornerCutter, write_scenes
from tests.sample_rasters import make_pixels, write_scene


def read_changes(dataset: Dataset) -> dict[str, str]:
    """Return what the last event did to each raster."""
    position = dataset.log(1)[0].position
    rows = dataset.sql(f"SELECT raster_id, change FROM chain_raster_change WHERE position = {position}")
    return {row["raster_id"]: row["change"] for row in rows.to_pylist()}


def read_pixels(dataset: Dataset, chip: str):
    with rasterio.open(dataset.root / f"rasters/{chip}.tif") as raster:
        return raster.read()


def test_same_windows_stay(pond_dataset: Dataset) -> None:
    pond_dataset.cut_around_features("around", size=12, where="class = 'lake'")
    before = list_checksums(pond_dataset, "around/")
    files = {path: path.stat().st_mtime_ns for path in (pond_dataset.root / "rasters/around").iterdir()}
    result = pond_dataset.cut_around_features("around", size=12, replace=True)
    after = list_checksums(pond_dataset, "around/")
    assert before.items() < after.items()
    assert (result.changed, result.summary["chips"], result.summary["retired"]) == (True, len(after) - 1, 0)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    pond_dataset.cut_around_features("new", size=12)
    assert list_windows(pond_dataset, "new") == list_windows(pond_dataset, "around")
    assert not any(result.changed for result in pond_dataset.update())


def test_other_windows_are_cut_and_retired(pond_dataset: Dataset) -> None:
    pond_dataset.cut_grid("grid", size=32)
    pond_dataset.split("parts", collection="grid", parts={"train": 0.5, "test": 0.5})
    before = list_checksums(pond_dataset, "grid/")
    parts = {row["raster_id"]: row["part"] for row in pond_dataset.splits().to_pylist()}
    result = pond_dataset.cut_grid("grid", size=32, rasters_where="raster_id = 'a'", edge="drop", replace=True)
    assert (result.summary["chips"], result.summary["retired"]) == (0, 4)
    assert list_checksums(pond_dataset, "grid/") == {id: sha for id, sha in before.items() if id.startswith("grid/a")}
    assert {row["raster_id"]: row["part"] for row in pond_dataset.splits().to_pylist()} == {
        id: part for id, part in parts.items() if id.startswith("grid/a")
    }
    result = pond_dataset.cut_grid("grid", size=16, rasters_where="raster_id = 'a'", replace=True)
    assert {(chip["width"], chip["height"]) for chip in list_chips(pond_dataset, "grid")} == {(16, 16)}
    # Chips at (0, 0), (0, 32), (32, 0) and (32, 32) keep their names, but not their windows.
    assert (result.summary["chips"], result.summary["retired"]) == (16, 0)
    assert sorted(read_changes(pond_dataset).values()) == ["added"] * 12 + ["changed"] * 4
    assert list_checksums(pond_dataset, "grid/")["grid/a_c0_r0"] != before["grid/a_c0_r0"]
    assert pond_dataset.verify() == []


def test_replacement_is_recorded_and_repeatable(pond_dataset: Dataset) -> None:
    first = pond_dataset.cut_grid("grid", size=32)
    replaced = pond_dataset.cut_grid("grid", size=32, seed=5, replace=True)
    assert (replaced.changed, replaced.summary["chips"], replaced.summary["retired"]) == (True, 0, 0)
    assert not pond_dataset.cut_grid("grid", size=32, seed=5, replace=True).changed
    assert not pond_dataset.cut_grid("grid", size=32, seed=5).changed
    with pytest.raises(ConflictError, match=r"with --seed 5\. .*pass --replace"):
        pond_dataset.cut_grid("grid", size=32)
    (recipe,) = pond_dataset.sql("SELECT parameters->>'$.seed' AS seed FROM recipes").to_pylist()
    assert recipe == {"seed": "5"}
    assert pond_dataset.sql("SELECT parameters->>'$.seed' AS seed FROM recipes", at=first.position).to_pylist() == [
        {"seed": "0"}
    ]
    content = pond_dataset.content_digest()
    (pond_dataset.root / ".geographer" / "state.duckdb").unlink()
    assert pond_dataset.content_digest() == content


def test_only_existing_recipe_is_replaced(pond_dataset: Dataset) -> None:
    with pytest.raises(NotFoundError, match=r"no recipe 'grid' to replace\. Leave out --replace"):
        pond_dataset.cut_grid("grid", size=32, replace=True)
    pond_dataset.split("parts", collection="source", parts={"train": 1})
    with pytest.raises(ConflictError, match="'parts' is a split recipe, which a cut grid recipe cannot replace"):
        pond_dataset.cut_grid("parts", size=32, replace=True)


def test_other_bands_change_every_chip(pond_dataset: Dataset) -> None:
    pond_dataset.cut_grid("grid", size=32, bands=[2, 1])
    before = list_checksums(pond_dataset, "grid/")
    old = read_pixels(pond_dataset, "grid/b_c0_r0")
    result = pond_dataset.cut_grid("grid", size=32, bands={"a": [2, 1], "b": [1]}, replace=True)
    assert (result.summary["chips"], result.summary["retired"]) == (4, 0)
    assert set(read_changes(pond_dataset).items()) == {(id, "changed") for id in before if id.startswith("grid/b")}
    assert (read_pixels(pond_dataset, "grid/b_c0_r0") == old[[1]]).all()
    # All bands are the same as naming each.
    pond_dataset.cut_grid("grid", size=32, bands={"b": [1]}, replace=True)
    result = pond_dataset.cut_grid("grid", size=32, bands={"b": [1], "a": [1, 2]}, replace=True)
    assert (result.changed, result.summary["chips"]) == (True, 0)
    assert not any(result.changed for result in pond_dataset.update())
    assert pond_dataset.verify() == []


def test_other_pad_value_changes_padded_chips(pond_dataset: Dataset, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "bare.tif", make_pixels(1, 40, 40, "uint8"))
    pond_dataset.add_rasters(scene, collection="bare")
    options: dict[str, Any] = {"size": 16, "source": "bare", "edge": "pad"}
    pond_dataset.cut_grid("grid", **options, pad_value=7)
    padded = {chip["raster_id"] for chip in list_chips(pond_dataset, "grid") if 32 in (chip["col"], chip["row"])}
    result = pond_dataset.cut_grid("grid", **options, pad_value=9, replace=True)
    assert (len(padded), result.summary["chips"]) == (5, 5)
    assert read_changes(pond_dataset) == dict.fromkeys(padded, "changed")
    assert (read_pixels(pond_dataset, "grid/bare_c32_r0")[:, :, 8:] == 9).all()


def test_stricter_max_nodata_retires_chips(pond_dataset: Dataset, tmp_path: Path) -> None:
    array = make_pixels(1, 32, 32, "uint8")
    array[:, :16, :12] = 0
    pond_dataset.add_rasters(write_scene(tmp_path / "dark.tif", array, nodata=0), collection="dark")
    pond_dataset.cut_grid("grid", size=16, source="dark", max_nodata=0.8)
    result = pond_dataset.cut_grid("grid", size=16, source="dark", max_nodata=0.5, replace=True)
    assert (result.summary["chips"], result.summary["retired"]) == (0, 1)
    assert read_changes(pond_dataset) == {"grid/dark_c0_r0": "removed"}


def test_other_kind_replaces_cut(pond_dataset: Dataset) -> None:
    pond_dataset.cut_grid("chips", size=16)
    before = list_checksums(pond_dataset, "chips/")
    pond_dataset.cut_custom("chips", cutter=CornerCutter, size=16, options={"inset": 3}, replace=True)
    assert len(list_chips(pond_dataset, "chips")) == 2
    pond_dataset.cut_grid("chips", size=16, replace=True)
    assert list_checksums(pond_dataset, "chips/") == before


def test_cover_keeps_chips_that_fit(pond_dataset: Dataset) -> None:
    pond_dataset.cut_cover("cover", size=12, where="feature_id IN ('alone', 'east')", at_border="pad")
    before = list_checksums(pond_dataset, "cover/")
    result = pond_dataset.cut_cover("cover", size=12, where="class = 'pond'", at_border="pad", replace=True)
    assert before.items() < list_checksums(pond_dataset, "cover/").items()
    assert result.summary["cover"]["kept"] == len(before) == 2
    result = pond_dataset.cut_cover("cover", size=9, where="class = 'pond'", replace=True)
    assert {(chip["width"], chip["height"]) for chip in list_chips(pond_dataset, "cover")} == {(9, 9)}
    assert result.summary["cover"]["kept"] == 0
    assert all(count_containing_chips(list_chips(pond_dataset, "cover"), POINTS).values())
    assert not any(result.changed for result in pond_dataset.update())


def test_cover_drops_padded_chips_of_replaced_border(pond_dataset: Dataset) -> None:
    options: dict[str, Any] = {"size": (80, 12), "where": "feature_id = 'alone'"}
    pond_dataset.cut_cover("cover", **options, at_border="pad")
    assert len(list_chips(pond_dataset, "cover")) == 1
    result = pond_dataset.cut_cover("cover", **options, at_border="shift", replace=True)
    assert (result.summary["cover"]["kept"], result.summary["retired"]) == (0, 1)
    assert result.summary["unmet"] == {"raster smaller than a chip": 1}


def test_boxes_are_replaced(pond_dataset: Dataset, tmp_path: Path) -> None:
    first = write_boxes(tmp_path / "first.geojson", {"x": (4, 5, 8), "y": (14, 5, 8)})
    second = write_boxes(tmp_path / "second.geojson", {"y": (14, 5, 8), "z": (150, 5, 8)})
    created = pond_dataset.cut_boxes("boxes", first, crs="EPSG:32633")
    before = list_checksums(pond_dataset, "boxes/")
    replaced = pond_dataset.cut_boxes("boxes", second, crs="EPSG:32633", replace=True)
    assert (replaced.summary["boxes"], replaced.summary["chips"], replaced.summary["retired"]) == (2, 0, 1)
    assert list_checksums(pond_dataset, "boxes/") == {"boxes/a_y": before["boxes/a_y"]}
    # With the same boxes, only the new parameters are recorded.
    pond_dataset.cut_boxes("boxes", second, crs="EPSG:32633", target_count=2, replace=True)
    rows = pond_dataset.sql("SELECT position, object_id FROM chain_recipe_input ORDER BY ALL").to_pylist()
    assert [(row["position"], row["object_id"]) for row in rows] == [
        (created.position, "x"),
        (created.position, "y"),
        (replaced.position, "y"),
        (replaced.position, "z"),
    ]
    for path in (first, second):
        path.unlink()
    pond_dataset.add_rasters(write_scenes(tmp_path / "later", "c", offset=3))
    pond_dataset.update()
    assert list_windows(pond_dataset, "boxes") == {("a", 14, 5, 8, 8), ("c", 6, 5, 8, 8)}
    assert not any(result.changed for result in pond_dataset.update())


def test_dry_run_of_replacement_changes_nothing(pond_dataset: Dataset) -> None:
    pond_dataset.cut_grid("grid", size=32)
    head = pond_dataset.log(1)
    result = pond_dataset.cut_grid("grid", size=16, replace=True, dry_run=True)
    assert (result.changed, result.summary["chips"]) == (False, 32)
    assert pond_dataset.log(1) == head


def test_command_replaces_recipe(pond_dataset: Dataset, tmp_path: Path) -> None:
    root = pond_dataset.root
    boxes = write_boxes(tmp_path / "boxes.geojson", {"x": (4, 5, 8)})
    for options in ([], ["--at-border", "pad", "--replace"]):
        (result,) = read_rows(root, "cut", "boxes", "drawn", str(boxes), "--crs", "EPSG:32633", *options)
        assert (result["changed"], result["boxes"]) == (True, 1)
    read_rows(root, "cut", "around", "around", "--size", "12", "--where", "class = 'lake'")
    (result,) = read_rows(root, "cut", "around", "around", "--size", "12", "--bands", "1", "--replace")
    assert (result["changed"], result["retired"]) == (True, 0)
    assert result["recipe"]["parameters"]["bands"] == [["*", [1]]]
    assert {read_pixels(pond_dataset, chip["raster_id"]).shape for chip in list_chips(pond_dataset)} == {(1, 12, 12)}
