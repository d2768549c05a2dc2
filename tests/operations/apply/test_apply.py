"""Apply patches: exact on the revision that they start from, three-way on another, refused without needed bytes."""

from __future__ import annotations

import json
import shutil
from base64 import b64decode
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import shapely

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, GeographerError, UsageError
from geographer.cli import load_command
from geographer.diff.patch import Patch, read_patch, write_patch
from geographer.diff.patch.model import PatchChange, make_patch
from geographer.operations.apply import plan
from geographer.operations.apply.conflicts import PatchConflictError
from geographer.operations.apply.events import ObjectOrders, PatchApplied
from geographer.storage.dvc.retained import RETAINED_FOLDER
from geographer.storage.events import CommitInfo
from geographer.storage.events.payload import parse_payload
from geographer.storage.log.append import append_event
from geographer.storage.log.read import read_event
from tests.diff.patch_cases import read_content
from tests.sample_history import (
    HEAD,
    SampleHistory,
    point_geometry,
    square_geometry,
    write_features,
    write_scenes,
)


@pytest.fixture
def sample(tmp_path: Path, sample_history: SampleHistory) -> Dataset:
    """A copy of the sample dataset."""
    return Dataset.open(shutil.copytree(sample_history.root, tmp_path / "dataset"))


@pytest.fixture
def copy_at_v1(tmp_path: Path, sample_history: SampleHistory) -> Dataset:
    """A copy of the sample dataset as of v1, with the bytes of all files that the later events added."""
    root = shutil.copytree(sample_history.at_v1, tmp_path / "copy")
    shutil.copytree(sample_history.root / ".dvc" / "cache", root / ".dvc" / "cache", dirs_exist_ok=True)
    shutil.copytree(sample_history.root / "archive", root / "archive")
    shutil.rmtree(root / ".dvc" / "cache" / RETAINED_FOLDER)
    return Dataset.open(root)


def make_patch_file(dataset: Dataset, a: int | str, b: int | str, path: Path) -> Path:
    dataset.write_patch(a, b, path)
    return path


def test_patch_reaches_any_revision(sample: Dataset, tmp_path: Path) -> None:
    """Forwards and backwards; the second time it changes nothing."""
    positions = [HEAD, 8, HEAD, 1, 20]
    expected = {position: read_content(sample, position) for position in set(positions)}
    for number, (a, b) in enumerate(pairwise(positions)):
        path = make_patch_file(sample, a, b, tmp_path / f"{number}.patch")
        result = sample.apply_patch(path)
        assert result.changed
        assert not result.summary["moved"]
        assert read_content(sample) == expected[b]
        assert not sample.apply_patch(path).changed
        if b in (8, HEAD):
            assert [run.kind for run in sample.update() if run.changed] == []
            assert sample.verify() == []


def test_patch_of_one_copy_applies_to_another(
    copy_at_v1: Dataset, sample_history: SampleHistory, tmp_path: Path
) -> None:
    source = Dataset.open(sample_history.root)
    path = make_patch_file(source, "v1", HEAD, tmp_path / "x.patch")
    copy_at_v1.apply_patch(path, message="take over")
    assert read_content(copy_at_v1) == read_content(source)
    assert copy_at_v1.log()[-1].message == "take over"


def test_missing_declared_bytes_are_refused(copy_at_v1: Dataset, sample_history: SampleHistory, tmp_path: Path) -> None:
    source = Dataset.open(sample_history.root)
    path = make_patch_file(source, "v1", HEAD, tmp_path / "x.patch")
    before = read_content(copy_at_v1)
    md5 = next(row["md5"] for row in source.rasters().to_pylist() if row["raster_id"] == "c")
    (copy_at_v1.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).unlink()
    with pytest.raises(CorruptError, match=f"raster 'c' are missing or altered .c: md5 {md5}"):
        copy_at_v1.apply_patch(path)
    assert read_content(copy_at_v1) == before
    shutil.rmtree(copy_at_v1.root / "archive")
    with pytest.raises(CorruptError, match="rasters 'd', 'c' are missing"):
        copy_at_v1.apply_patch(path)


def test_missing_derived_bytes_are_made_by_update(
    copy_at_v1: Dataset, sample_history: SampleHistory, tmp_path: Path
) -> None:
    """Without chips and labels of the other copy, update makes them: the content digest is the same then."""
    source = Dataset.open(sample_history.root)
    path = make_patch_file(source, "v1", HEAD, tmp_path / "x.patch")
    stored = {row["md5"] for row in source.rasters().to_pylist() if row["collection"] == "source"}
    stored |= {row["md5"] for row in copy_at_v1.rasters().to_pylist()} | {
        row["md5"] for row in copy_at_v1.labels().to_pylist()
    }
    for file in (copy_at_v1.root / ".dvc" / "cache" / "files" / "md5").glob("??/*"):
        if file.parent.name + file.name not in stored:
            file.unlink()
    assert copy_at_v1.apply_patch(path, dry_run=True).summary["warnings"][0].startswith("recipe 'cover' runs code")
    result = copy_at_v1.apply_patch(path)
    assert result.summary["left_out"] > 10
    code, left_out = result.summary["warnings"]
    assert code == "recipe 'cover' runs code: tests.sample_history:select_ponds; check it before geographer update"
    assert "Make them with: geographer update" in left_out
    copy_at_v1.update()
    assert read_content(copy_at_v1)["lines"] == read_content(source)["lines"]
    assert not copy_at_v1.apply_patch(path).changed


POINTS = {"a": ("pond", 1), "b": ("pond", 2), "c": ("quarry", 3)}


def write_points(path: Path, points: Mapping[str, tuple[str, float]], **more: Any) -> Path:
    members = [
        {
            "type": "Feature",
            "properties": {"id": name, "class": kind, "depth": depth, "name": f"n{name}", **more},
            "geometry": point_geometry(depth, depth),
        }
        for name, (kind, depth) in points.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


@pytest.fixture
def points(dataset: Dataset, tmp_path: Path) -> Dataset:
    """A dataset of three points; the first revision with them is @2."""
    dataset.add_features(write_points(tmp_path / "points.geojson", POINTS), crs="EPSG:32633")
    return dataset


def replace_points(dataset: Dataset, path: Path, points: dict[str, tuple[str, float]], **more: Any) -> int:
    dataset.add_features(write_points(path, points, **more), crs="EPSG:32633", replace=True)
    return dataset.log()[-1].position


def fork_points(points: Dataset, tmp_path: Path) -> Dataset:
    return Dataset.open(shutil.copytree(points.root, tmp_path / "fork"))


def list_points(dataset: Dataset) -> dict[str, tuple[str, float, str]]:
    rows = dataset.features().to_pylist()
    return {row["feature_id"]: (row["class"], row["depth"], row["name"]) for row in rows}


def change_property(dataset: Dataset, path: Path, id: str, **values: Any) -> int:
    """Change properties of one point, but not its geometry or class."""
    kind, depth = POINTS[id]
    geometry = point_geometry(depth, depth)
    member = {
        "type": "Feature",
        "properties": {"id": id, "class": kind, "depth": depth, "name": f"n{id}", **values},
        "geometry": geometry,
    }
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [member]}))
    dataset.add_features(path, crs="EPSG:32633", replace=True)
    return dataset.log()[-1].position


def test_moved_head_combines_columns(points: Dataset, tmp_path: Path) -> None:
    fork = fork_points(points, tmp_path)
    b = change_property(fork, tmp_path / "theirs.geojson", "a", depth=9)
    change_property(points, tmp_path / "ours.geojson", "a", name="ours")
    result = apply_between_copies(fork, points, 2, b, tmp_path)
    assert (result.summary["moved"], result.summary["combined"], result.summary["conflicts"]) == (True, 1, [])
    assert list_points(points)["a"] == ("pond", 9, "ours")
    undo = make_patch_file(points, points.log()[-1].position, points.log()[-1].position - 1, tmp_path / "undo.patch")
    points.apply_patch(undo)
    assert list_points(points)["a"] == ("pond", 1, "ours")


def apply_between_copies(source: Dataset, target: Dataset, a: int, b: int, folder: Path, **options: Any) -> Any:
    return target.apply_patch(make_patch_file(source, a, b, folder / "between.patch"), **options)


@pytest.mark.parametrize(("choice", "expected"), [("ours", 7), ("theirs", 9)])
def test_conflicts_are_data(points: Dataset, tmp_path: Path, choice: str, expected: int) -> None:
    fork = fork_points(points, tmp_path)
    b = change_property(fork, tmp_path / "theirs.geojson", "a", depth=9, name="theirs")
    fork.remove_features(["b", "c"])
    change_property(points, tmp_path / "ours.geojson", "a", depth=7)
    change_property(points, tmp_path / "ours.geojson", "b", depth=7)
    before = points.log()[-1].digest
    with pytest.raises(
        PatchConflictError, match=r"2 conflicts .*properties\.depth of feature 'a' was changed on both"
    ) as caught:
        apply_between_copies(fork, points, 2, b + 1, tmp_path)
    first, second = caught.value.conflicts
    assert first == ("feature_change", {"feature_id": "a"}, "properties.depth", "1", "7", "9")
    assert (second.column, second.ours is None, second.theirs) == (None, False, None)
    with pytest.raises(PatchConflictError):
        apply_between_copies(fork, points, 2, b + 1, tmp_path, dry_run=True)
    assert points.log()[-1].digest == before
    result = apply_between_copies(fork, points, 2, b + 1, tmp_path, on_conflict=choice)
    assert [item["column"] for item in result.summary["conflicts"]] == ["properties.depth", None]
    rows = list_points(points)
    assert rows["a"] == ("pond", expected, "theirs")
    assert ("b" in rows, "c" in rows) == (choice == "ours", False)
    assert not apply_between_copies(fork, points, 2, b + 1, tmp_path, on_conflict=choice).changed


def test_conflicts_of_additions_and_removals(points: Dataset, tmp_path: Path) -> None:
    fork = fork_points(points, tmp_path)
    replace_points(fork, tmp_path / "t.geojson", {"b": ("pond", 5), "new": ("pond", 6)})
    points.remove_features(["b"])
    replace_points(points, tmp_path / "o.geojson", {"new": ("pond", 8)})
    with pytest.raises(
        PatchConflictError, match="'b' was removed here and changed in the patch; feature 'new' was added on"
    ):
        apply_between_copies(fork, points, 2, 3, tmp_path)
    apply_between_copies(fork, points, 2, 3, tmp_path, on_conflict="theirs")
    assert list_points(points) == list_points(fork)


def test_classes_with_one_value_are_a_conflict(points: Dataset, tmp_path: Path) -> None:
    fork = fork_points(points, tmp_path)
    replace_points(fork, tmp_path / "t.geojson", {"t": ("theirs", 5)})
    replace_points(points, tmp_path / "o.geojson", {"o": ("ours", 6)})
    for choice, expected in (("ours", {"ours": 3, "theirs": 4}), ("theirs", {"ours": 4, "theirs": 3})):
        target = Dataset.open(shutil.copytree(points.root, tmp_path / choice))
        with pytest.raises(PatchConflictError, match="value of class 'theirs'"):
            apply_between_copies(fork, target, 2, 3, tmp_path)
        apply_between_copies(fork, target, 2, 3, tmp_path, on_conflict=choice)
        values = {row["class"]: row["value"] for row in target.classes().to_pylist()}
        assert values == {"pond": 1, "quarry": 2, **expected}


def test_class_removed_there_stays_if_used_here(points: Dataset, tmp_path: Path) -> None:
    fork = fork_points(points, tmp_path)
    fork.remove_features(["c"])
    fork.remap_classes({"quarry": None})
    replace_points(points, tmp_path / "o.geojson", {"o": ("quarry", 6)})
    result = apply_between_copies(fork, points, 2, 4, tmp_path)
    assert "class 'quarry' is not removed: features here have it" in result.summary["warnings"]
    assert set(list_points(points)) == {"a", "b", "o"}


def test_recipes_merge_by_parameter(points: Dataset, tmp_path: Path) -> None:
    points.add_rasters(write_scenes(tmp_path / "scenes", "a"))
    points.cut_grid("grid", size=32)
    fork = fork_points(points, tmp_path)
    fork.cut_grid("grid", size=32, bands=[2], replace=True)
    points.cut_grid("grid", size=16, replace=True)
    other = Dataset.open(shutil.copytree(points.root, tmp_path / "other"))
    result = apply_between_copies(fork, points, 4, 5, tmp_path)
    assert result.summary["recipes"][0]["parameters"]["size"] == [16, 16, "px"]
    points.update()
    assert {(row["width"], row["bands"]) for row in read_chips(points)} == {(16, 1)}
    fork.cut_grid("grid", size=8, bands=[2], replace=True)
    with pytest.raises(PatchConflictError, match="size of recipe 'grid' was changed on both sides"):
        apply_between_copies(fork, other, 4, 6, tmp_path)


def read_chips(dataset: Dataset) -> list[dict[str, Any]]:
    with dataset._unit_of_work.open_revision() as revision:
        return revision.fetch_arrow("SELECT width, bands FROM current_raster WHERE parent_id IS NOT NULL").to_pylist()


def test_patch_of_another_dataset_is_refused(points: Dataset, sample_history: SampleHistory, tmp_path: Path) -> None:
    path = make_patch_file(Dataset.open(sample_history.at_v1), 1, 2, tmp_path / "x.patch")
    with pytest.raises(ConflictError, match="the patch is of another dataset"):
        points.apply_patch(path)


def test_forged_geometry_is_refused(points: Dataset, tmp_path: Path) -> None:
    """What the reader of patches cannot see is refused before it is recorded."""
    b = change_property(points, tmp_path / "x.geojson", "a", depth=9)
    moved = fork_points(points, tmp_path)
    change_property(moved, tmp_path / "x.geojson", "b", depth=9)
    patch = read_patch(make_patch_file(points, b, 2, tmp_path / "x.patch"))
    (change,) = patch.changes
    for name, value in (("crs", "EPSG:0"), ("geometry", "AQEAAAA="), ("properties", '{"depth": "deep"}')):
        forged = make_patch(patch.header, [change._replace(new={**(change.new or {}), name: value})])
        write_patch(forged, tmp_path / "forged.patch")
        with pytest.raises(CorruptError, match="the patch does not lead to the revision that it names"):
            points.apply_patch(tmp_path / "forged.patch")
        with pytest.raises(UsageError, match="cannot record feature 'a'"):
            moved.apply_patch(tmp_path / "forged.patch")
    assert points.log()[-1].position == b


def test_apply_command_prints_conflicts(
    points: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fork = fork_points(points, tmp_path)
    b = change_property(fork, tmp_path / "t.geojson", "a", depth=9)
    path = make_patch_file(fork, 2, b, tmp_path / "x.patch")
    clean = Dataset.open(shutil.copytree(points.root, tmp_path / "clean"))
    change_property(points, tmp_path / "o.geojson", "a", depth=7)
    monkeypatch.chdir(points.root)
    command = load_command("apply")
    with pytest.raises(PatchConflictError):
        command.main([str(path), "--json"], obj=str(points.root), standalone_mode=False)
    (conflict,) = json.loads(capsys.readouterr().out)["conflicts"]
    assert conflict["ours"] == "7"
    for expected in ("patch_applied: 1 feature", "the patch is already applied; the head is still @3"):
        command.main([str(path)], obj=str(clean.root), standalone_mode=False)
        assert expected in capsys.readouterr().out


def test_geometry_conflict_shows_wkb(points: Dataset, tmp_path: Path) -> None:
    fork = fork_points(points, tmp_path)
    for dataset, column in ((fork, 20), (points, 30)):
        path = write_features(tmp_path / "moved.geojson", {"a": ("pond", square_geometry(column, 5, 2))})
        dataset.add_features(path, crs="EPSG:32633", replace=True)
    with pytest.raises(PatchConflictError) as caught:
        apply_between_copies(fork, points, 2, 3, tmp_path)
    conflict = next(item for item in caught.value.conflicts if item.column == "geometry")
    assert conflict.ours["crs"] == "EPSG:32633"
    assert shapely.from_wkb(b64decode(conflict.ours["geometry"])).area == pytest.approx(400)


def test_same_content_through_other_events_counts_as_moved(points: Dataset, tmp_path: Path) -> None:
    """Places are positions of the chain of the patch: without a revision that both chains have, they say nothing."""
    fork = fork_points(points, tmp_path)
    replace_points(fork, tmp_path / "x.geojson", {"x": ("pond", 5)})
    replace_points(fork, tmp_path / "y.geojson", {"y": ("pond", 6)})
    points.tag("one")
    points.tag("two")
    replace_points(points, tmp_path / "x.geojson", {"x": ("pond", 5)})
    result = apply_between_copies(fork, points, 3, 4, tmp_path)
    assert result.summary["moved"]
    assert read_content(points) == read_content(fork)


def test_patches_in_sequence_keep_the_order(points: Dataset, tmp_path: Path) -> None:
    """Also on a copy whose head added a feature again, or is at other positions; and back."""
    fork = fork_points(points, tmp_path)
    replace_points(fork, tmp_path / "x.geojson", {"x": ("pond", 5), "d": ("pond", 4)})
    fork.remove_features(["b"])
    replace_points(fork, tmp_path / "y.geojson", {"a0": ("pond", 6), "b": ("pond", 2)})
    points.tag("one")
    points.remove_features(["a"])
    points.restore_features(["a"])
    for a, b in ((2, 3), (3, 4), (4, 5), (5, 4), (4, 2)):
        result = apply_between_copies(fork, points, a, b, tmp_path)
        assert not result.summary["moved"]
        assert read_content(points) == read_content(fork, b)


def test_swapped_classes_apply_to_a_moved_head(points: Dataset, tmp_path: Path) -> None:
    fork = fork_points(points, tmp_path)
    fork.remap_classes({"pond": "quarry", "quarry": "pond"})
    replace_points(points, tmp_path / "o.geojson", {"o": ("pond", 6)})
    apply_between_copies(fork, points, 2, 3, tmp_path)
    assert [(row["class"], row["value"]) for row in points.classes().to_pylist()] == [("quarry", 1), ("pond", 2)]


def test_column_that_features_here_have_is_not_dropped(points: Dataset, tmp_path: Path) -> None:
    """Else later patches would have values of a column that their header does not declare."""
    fork = fork_points(points, tmp_path)
    replace_points(fork, tmp_path / "t.geojson", {"x": ("pond", 5)}, note="there")
    replace_points(points, tmp_path / "t.geojson", {"x": ("pond", 5)}, note="there")
    replace_points(points, tmp_path / "o.geojson", {"o": ("pond", 6)}, note="here")
    result = apply_between_copies(fork, points, 3, 2, tmp_path)
    assert result.summary["dropped_columns"] == {"feature": [], "raster": []}
    assert points.sql("SELECT note FROM features WHERE feature_id = 'o'").to_pylist() == [{"note": "here"}]
    apply_between_copies(points, fork, 5, 2, tmp_path, on_conflict="theirs")


def forge_patch(patch: Patch, table: str, path: Path, **values: Any) -> Path:
    """Write a patch with other values in the first line of a table that has new ones; `key` replaces its key."""
    changes = list(patch.changes)
    index = next(i for i, item in enumerate(changes) if item.table == table and item.new and accepts(item.new, values))
    change, key = changes[index], values.pop("key", None)
    changes[index] = change._replace(new={**(change.new or {}), **values}, key=key or change.key)
    write_patch(make_patch(patch.header, changes), path)
    return path


def accepts(new: Any, values: dict[str, Any]) -> bool:
    """Return whether a line is of a chip if a chip's values are to be forged, and of another raster otherwise."""
    return "parent_id" not in new or bool(new["parent_id"]) == bool(values.keys() & {"parent_id", "col"})


@pytest.mark.parametrize(
    ("table", "values", "expected"),
    [
        ("raster_change", {"parent_id": "nowhere"}, "of raster 'nowhere', which is not in the dataset"),
        ("raster_change", {"col": 2**40}, "the window of chip .* lies outside raster"),
        ("split_change", {"key": ("parts", "ghost")}, "the split 'parts' of raster 'ghost', which is not in"),
        ("label_object_change", {"key": ("mask", "ghost", "p1")}, "the label object 'mask' of raster 'ghost', which"),
        ("feature_change", {"class": "pond "}, "has the class 'pond ' in the patch"),
        ("raster_change", {"width": 64_000_000}, "the patch does not lead to the revision that it names"),
    ],
)
def test_forged_rows_are_refused(
    copy_at_v1: Dataset,
    sample_history: SampleHistory,
    tmp_path: Path,
    table: str,
    values: dict[str, Any],
    expected: str,
) -> None:
    patch = read_patch(make_patch_file(Dataset.open(sample_history.root), "v1", HEAD, tmp_path / "x.patch"))
    with pytest.raises((ConflictError, CorruptError), match=expected):
        copy_at_v1.apply_patch(forge_patch(patch, table, tmp_path / "forged.patch", **values), dry_run=True)


def test_grid_of_new_bytes_is_compared_with_the_file(
    copy_at_v1: Dataset, sample_history: SampleHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if the digest in the header is that of the forged rows."""
    patch = read_patch(make_patch_file(Dataset.open(sample_history.root), "v1", HEAD, tmp_path / "x.patch"))
    forged = forge_patch(patch, "raster_change", tmp_path / "forged.patch", width=64_000_000)
    monkeypatch.setattr(plan, "check_content", lambda *_: None)
    with pytest.raises(CorruptError, match="what its file does not have: width"):
        copy_at_v1.apply_patch(forged)


def test_impossible_orders_are_an_invalid_payload(points: Dataset, tmp_path: Path) -> None:
    """Numbers that no event can have, in an event that another program appended, are named and reported."""
    points.remove_features(["a"])
    points.apply_patch(make_patch_file(points, 3, 2, tmp_path / "x.patch"))
    work = points._unit_of_work
    with work.database.open_connection(log="r") as connection:
        payload = parse_payload("patch_applied", 1, read_event(connection, 4).payload)
    assert isinstance(payload, PatchApplied)
    order = ObjectOrders({"a": (2**53 - 1, 0), "b": (2**31 - 1, 2**40)}, {})
    append_event(work.database, msgspec.structs.replace(payload, order=order), {}, CommitInfo("Ada"), work.read_head())
    with pytest.raises(CorruptError, match="invalid: Expected `int` <= 2147483647"):
        points.update()
    assert "order" in str(points.verify())


@pytest.mark.parametrize("cutter", ["os:system", {"cutter": "os:system"}, 7])
def test_cutter_of_a_patch_is_not_imported(points: Dataset, tmp_path: Path, cutter: Any) -> None:
    """A name alone would be imported to find its version; a record without one is refused, too."""
    patch = read_patch(make_patch_file(points, 2, 2, tmp_path / "x.patch"))
    values = {"kind": "cut own", "parameters": {"cutter": cutter}, "form": None}
    write_patch(make_patch(patch.header, [PatchChange("recipe", ("zz",), None, values, None, (9, 0))]), tmp_path / "y")
    with pytest.raises(GeographerError, match="cutter"):
        points.apply_patch(tmp_path / "y")
