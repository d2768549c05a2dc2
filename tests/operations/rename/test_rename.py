"""Renaming collections, recipes and classes: ids, bytes and history stay, and update makes nothing again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from geographer import ConflictError, Dataset, NotFoundError, UsageError
from geographer.cli.diff_report import format_diff
from geographer.storage.state.update import rebuild_state
from tests.sample_history import SampleHistory, point_geometry, read_contents, square_geometry, write_features

RECIPES = {"around": "about", "grid": "tiles", "cover": "lid", "mask": "classes", "bounds": "frames", "parts": "folds"}
"""Recipes of the sample dataset of each kind, and new names."""


@pytest.fixture(scope="module")
def original(sample_history: SampleHistory) -> Dataset:
    return Dataset.open(sample_history.root)


@pytest.fixture
def dataset(sample_history: SampleHistory, tmp_path: Path) -> Dataset:
    """The sample dataset at v1: chips, tiles, masks, a split; 8 events."""
    return Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path / "dataset", symlinks=True))


@pytest.fixture(scope="module")
def renamed(sample_history: SampleHistory, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The sample dataset with other names for its recipes and a collection: events 26 to 32."""
    root = tmp_path_factory.mktemp("renamed") / "dataset"
    dataset = Dataset.open(shutil.copytree(sample_history.root, root, symlinks=True))
    for old, new in RECIPES.items():
        dataset.rename_recipe(old, new)
    dataset.rename_collection("source", "scenes")
    return dataset


def list_contents(dataset: Dataset) -> list[tuple[str, bytes]]:
    """List the names and contents of files in the workspace, without the folders, which renaming changes."""
    files = {**read_contents(dataset.root / "rasters"), **read_contents(dataset.root / "labels")}
    tracking = (".dvc", ".gitignore")
    return sorted((path.rpartition("/")[2], content) for path, content in files.items() if not path.endswith(tracking))


def list_columns(dataset: Dataset, table: str, *names: str, at: Any = None) -> list[list[Any]]:
    """List the values of columns of a table, sorted."""
    rows = [[row.get(name) for name in names] for row in getattr(dataset, table)(at=at).to_pylist()]
    return sorted(rows, key=str)


def list_summaries(dataset: Dataset) -> list[str]:
    """Run update, and list what it changed."""
    results = [result for result in dataset.update() if result.changed and result.payload]
    return [f"{result.kind} {result.payload.format_summary()}" for result in results if result.payload]


def test_renaming_keeps_ids_and_bytes(renamed: Dataset, original: Dataset) -> None:
    for table in ("rasters", "edges", "chips"):
        names = ("raster_id", "feature_id", "sha256", "relation", "parent_id", "col")
        assert list_columns(renamed, table, *names) == list_columns(original, table, *names)
    assert list_contents(renamed) == list_contents(original)
    assert {row["collection"] for row in renamed.rasters().to_pylist()} == {
        *("scenes", "archive", "catalogue", "about", "tiles", "lid", "boxes")
    }
    assert renamed.verify() == []
    assert len(list((renamed.root / ".dvc/cache/files/md5").glob("*/*"))) >= len(list_contents(original))


def test_files_are_moved(dataset: Dataset) -> None:
    """Intact files are moved, which takes neither space nor the cache; an altered one is restored, as it was recorded."""
    folder = dataset.root / "rasters/around"
    names = sorted(path.name for path in folder.iterdir())
    inodes = {name: (folder / name).stat().st_ino for name in names}
    altered, content = folder / names[0], (folder / names[0]).read_bytes()
    altered.chmod(0o644)
    altered.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    dataset.rename_recipe("around", "about")
    moved = dataset.root / "rasters/about"
    assert {name: (moved / name).stat().st_ino for name in names[1:]} == {name: inodes[name] for name in names[1:]}
    assert (moved / names[0]).read_bytes() == content
    assert not folder.exists()
    assert dataset.verify() == []


def test_update_makes_nothing_again(renamed: Dataset) -> None:
    assert list_summaries(renamed) == []


def test_rebuilt_state_is_equal(renamed: Dataset) -> None:
    digest = renamed.content_digest()
    rebuild_state(renamed._unit_of_work.database)
    assert renamed.content_digest() == digest
    assert list_summaries(renamed) == []


def test_order_of_recipes_stays(renamed: Dataset, original: Dataset) -> None:
    before, after = ([text.partition(" ")[0] for text in side.status()["recipes"]] for side in (original, renamed))
    assert after == [RECIPES.get(name, name) for name in before]


def test_history_goes_on_under_new_name(renamed: Dataset, original: Dataset) -> None:
    for name in ("around", "mask", "parts"):
        before = original.history(f"recipe:{name}")
        after = renamed.history(f"recipe:{RECIPES[name]}")
        assert after[: len(before)] == before
        renaming = {"object": "recipe", "change": "renamed", "detail": f"{name} → {RECIPES[name]}"}
        rows = [row for row in renamed.history(f"recipe:{name}") if row["change"] == "renamed"]
        assert [{key: row[key] for key in renaming} for row in rows] == [renaming]
        assert renaming.items() <= next(row for row in after if row["change"] == "renamed").items()
        assert not any(
            row["change"] in ("added", "removed") for row in after[len(before) :] if row["object"] == "recipe"
        )


def test_difference_shows_renaming_once(renamed: Dataset) -> None:
    lines = list(format_diff(renamed.diff(25, 31), ("counts", "objects"), None))
    assert [line for line in lines if line.startswith("renamed: ")] == [
        f"renamed: recipe {old} → {new}  @{position}" for position, (old, new) in enumerate(RECIPES.items(), start=26)
    ]
    # A label's path, the name of its recipe and that of a split are no further differences.
    assert not [line for line in lines if line.startswith(("labels", "label objects", "splits"))]
    assert not any("-" in line.partition("  ")[2].split() for line in lines if line.startswith("chips"))
    backward = list(format_diff(renamed.diff(31, 25), ("counts",), None))
    assert [line for line in backward if line.startswith("labels")] == []


def test_older_revision_has_older_names(renamed: Dataset, original: Dataset, tmp_path: Path) -> None:
    renamed.checkout(25, to=tmp_path / "old")
    assert read_contents(tmp_path / "old/labels") == read_contents_of_files(original.root / "labels")
    assert {row["label"] for row in renamed.labels(at=25).to_pylist()} == {"mask", "bounds"}


def read_contents_of_files(folder: Path) -> dict[str, bytes]:
    return {path: content for path, content in read_contents(folder).items() if not path.endswith((".dvc", "ignore"))}


def test_blame_and_why_know_renamed_labels(renamed: Dataset, original: Dataset) -> None:
    pixel = ("around/a_q1", 3, 3)
    before, after = original.blame_pixel("mask", *pixel), renamed.blame_pixel("classes", *pixel)
    assert {name: after[name] for name in ("value", "expected", "agrees", "feature_id", "class")} == {
        name: before[name] for name in ("value", "expected", "agrees", "feature_id", "class")
    }
    assert after["event"] == before["event"]
    for name, new_name in (("around/a_q1", "around/a_q1"), ("label:mask/around/a_q1", "label:classes/around/a_q1")):
        facts, new_facts = original.explain_object(name), renamed.explain_object(new_name)
        assert {**facts.get("event", {}), "labels": [label["position"] for label in facts.get("labels", [])]} == {
            **new_facts.get("event", {}),
            "labels": [label["position"] for label in new_facts.get("labels", [])],
        }


def test_open_work_is_done_after_renaming(dataset: Dataset, tmp_path: Path) -> None:
    """What an update would make is made after a renaming, too, and nothing else."""
    other = Dataset.open(shutil.copytree(dataset.root, tmp_path / "other", symlinks=True))
    path = write_features(tmp_path / "new.geojson", {"n1": ("pond", square_geometry(20, 52, 3))})
    for side in (dataset, other):
        side.add_features(path, crs="EPSG:32633")
    names = {name: RECIPES[name] for name in ("around", "mask", "parts")}
    for old, new in names.items():
        other.rename_recipe(old, new)
    other.rename_collection("source", "scenes")
    expected, summaries = list_summaries(dataset), list_summaries(other)
    assert expected
    for old, new in {**names, "source": "scenes"}.items():
        expected = [text.replace(f"'{old}'", f"'{new}'") for text in expected]
    assert summaries == expected
    assert list_summaries(other) == []
    new_chips = {row["raster_id"] for row in other.chips().to_pylist() if row["raster_id"].endswith("_n1")}
    assert new_chips == {"about/a_n1"}
    # Boxes have the ids of chips, which begin with the name that the recipe had when it cut them.
    rasters = [[item for item in list_contents(side) if item[0].endswith(".tif")] for side in (other, dataset)]
    assert rasters[0] == rasters[1]


def test_removed_chips_stay_removed(dataset: Dataset) -> None:
    dataset.remove_rasters(["around/a_q1"])
    dataset.rename_recipe("around", "about")
    dataset.rename_collection("source", "scenes")
    assert not any(text.startswith("chips_cut") for text in list_summaries(dataset))
    dataset.restore_rasters(["around/a_q1"])
    row = next(row for row in dataset.rasters().to_pylist() if row["raster_id"] == "around/a_q1")
    assert (row["collection"], Path(row["path"]).parent.name) == ("about", "about")
    assert not any(text.startswith("chips_cut") for text in list_summaries(dataset))


def test_renaming_back_gives_equal_content(dataset: Dataset) -> None:
    for names in (("around", "about"), ("mask", "classes"), ("parts", "folds")):
        dataset.rename_recipe(*names)
        dataset.rename_recipe(*reversed(names))
    dataset.rename_collection("source", "scenes")
    dataset.rename_collection("scenes", "source")
    dataset.rename_class("pond", "lake")
    dataset.rename_class("lake", "pond")
    assert dataset.content_digest() == dataset.content_digest(at=8)
    assert list_summaries(dataset) == []
    assert dataset.diff(8).counts == {}


def test_renamed_class_keeps_value_and_masks(dataset: Dataset) -> None:
    dataset.label_boxes("frames", collection="around")
    masks = read_contents(dataset.root / "labels/mask/around")
    dataset.remove_features(["p2"])
    dataset.rename_class("quarry", "pit")
    assert list_columns(dataset, "classes", "class", "value") == [["pit", 2], ["pond", 1], ["water", 0]]
    assert list_columns(dataset, "features", "feature_id", "class") == [["p1", "pond"], ["q1", "pit"], ["q2", "pit"]]
    flags = [flag.format_text() for flag in dataset.diff(flags=True).flags]
    assert [text.partition(" of ")[0] for text in flags] == [
        f"feature {name}: class quarry → pit; label frames" for name in ("q1", "q2")
    ]
    summaries = list_summaries(dataset)
    assert [row["change"] for row in dataset.history("class:pit")] == ["added", "renamed"]
    assert [row["change"] for row in dataset.history("class:quarry")] == ["added", "renamed"]
    # The mask of p2's chip changes. All boxes have the names of classes.
    assert [text for text in summaries if "mask" in text] == ["labels_made 1 mask, data type uint8"]
    assert [text for text in summaries if "label" in text and "mask" not in text] == ["labels_made 3 labels"]
    assert len({*masks.items()} & {*read_contents(dataset.root / "labels/mask/around").items()}) == len(masks) - 1
    dataset.rename_class("pond", "lake")
    dataset.restore_features(["p2"])
    assert ["p2", "lake"] in list_columns(dataset, "features", "feature_id", "class")


def test_probabilities_follow_class(dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "soft.geojson"
    write_features(path, {"s": ("pond", point_geometry(5, 5))})
    path.write_text(
        path.read_text().replace('"depth"', '"prob_of_class_pond": 0.25, "prob_of_class_water": 0.75, "depth"')
    )
    dataset.add_features(path, crs="EPSG:32633")
    dataset.rename_class("pond", "lake")
    row = next(row for row in dataset.features().to_pylist() if row["feature_id"] == "s")
    assert (row["class"], row["prob_of_class_lake"], row["prob_of_class_water"]) == ("lake", 0.25, 0.75)
    assert "prob_of_class_pond" not in row


def test_sql_that_mentions_name_is_reported(dataset: Dataset) -> None:
    dataset.cut_grid(
        "ponds", size=(32, 32), rasters_where="collection = 'source'", where="class = 'pond'", cells="with-features"
    )
    assert "'ponds'" in dataset.rename_class("pond", "lake").summary["warnings"][0]
    assert "'ponds'" in dataset.rename_collection("source", "scenes").summary["warnings"][0]


def test_branches_with_renaming_and_edits_merge(dataset: Dataset, tmp_path: Path) -> None:
    dataset.create_branch("edits", "main")
    dataset.rename_recipe("around", "about")
    dataset.rename_collection("source", "scenes")
    dataset.rename_class("pond", "lake")
    dataset.switch_branch("edits")
    path = write_features(tmp_path / "new.geojson", {"n1": ("quarry", square_geometry(20, 52, 3))})
    dataset.add_features(path, crs="EPSG:32633")
    dataset.update()
    dataset.switch_branch("main")
    result = dataset.merge_branch("edits")
    assert result.summary["conflicts"] == 0
    dataset.update()
    assert list_summaries(dataset) == []
    assert dataset.verify() == []
    collections = {row["collection"] for row in dataset.rasters().to_pylist()}
    assert {"about", "scenes"} <= collections
    assert collections.isdisjoint({"around", "source"})
    assert ["n1", "quarry"] in list_columns(dataset, "features", "feature_id", "class")
    assert {kind for _, kind in list_columns(dataset, "features", "feature_id", "class")} == {"lake", "quarry"}


def test_merge_brings_renaming_of_other_branch(dataset: Dataset) -> None:
    """A chip that was removed before stays removed, labels stay, and the history goes on."""
    dataset.remove_rasters(["around/a_q1"])
    dataset.update()
    dataset.create_branch("names", "main")
    dataset.switch_branch("names")
    dataset.rename_recipe("around", "about")
    dataset.rename_recipe("mask", "classes")
    dataset.switch_branch("main")
    dataset.add_classes(["reed"])
    assert dataset.merge_branch("names").summary["conflicts"] == 0
    assert list_summaries(dataset) == []
    changes = [row["change"] for row in dataset.history("recipe:about") if row["object"] == "recipe"]
    assert (changes[0], changes[-1]) == ("added", "renamed")
    rebuild_state(dataset._unit_of_work.database)
    assert list_summaries(dataset) == []


def test_patch_carries_renaming(dataset: Dataset, tmp_path: Path) -> None:
    other = Dataset.open(shutil.copytree(dataset.root, tmp_path / "other", symlinks=True))
    for name in ("around", "mask", "parts"):
        dataset.rename_recipe(name, RECIPES[name])
    dataset.rename_class("pond", "lake")
    dataset.write_patch(8, None, tmp_path / "names.patch")
    other.apply_patch(tmp_path / "names.patch")
    assert other.content_digest() == dataset.content_digest()


def test_name_can_be_used_again(dataset: Dataset) -> None:
    dataset.rename_recipe("mask", "classes")
    dataset.label_masks("mask", collection="grid")
    assert {row["label"] for row in dataset.labels().to_pylist()} == {"mask", "classes"}
    assert [row["change"] for row in dataset.history("recipe:mask") if row["object"] == "recipe"][-1] == "added"
    dataset.rename_collection("source", "scenes")
    with pytest.raises(NotFoundError, match="was renamed"):
        dataset.cut_grid("more", source="source", size=(8, 8))
    dataset.rename_recipe("grid", "tiles")
    with pytest.raises(ConflictError, match="chips would get the same ids"):
        dataset.cut_grid("grid", source="scenes", size=(32, 32))


@pytest.mark.parametrize(
    ("method", "names", "error", "message"),
    [
        ("rename_collection", ("nowhere", "x"), NotFoundError, "The collections are: 'archive'"),
        ("rename_collection", ("around", "about"), ConflictError, "geographer rename recipe around about"),
        ("rename_collection", ("source", "around"), ConflictError, "a collection 'around' exists already"),
        ("rename_collection", ("source", "mask"), ConflictError, "a recipe 'mask' exists already"),
        ("rename_collection", ("source", "Source"), ConflictError, "differ by case only"),
        ("rename_collection", ("source", "source"), UsageError, "has that name already"),
        ("rename_collection", ("source", "a/b"), UsageError, "invalid collection name"),
        ("rename_collection", ("source", "x.dvc"), UsageError, "files of DVC end in .dvc"),
        ("rename_collection", ("source", "catalogue"), UsageError, "footprints"),
        ("rename_collection", ("catalogue", "x"), UsageError, "footprints"),
        ("rename_recipe", ("nothing", "x"), NotFoundError, "The recipes are: 'around'"),
        ("rename_recipe", ("around", "source"), ConflictError, "a collection 'source' exists already"),
        ("rename_recipe", ("around", "Mask"), ConflictError, "differ by case only"),
        ("rename_recipe", ("around", ""), UsageError, "invalid recipe name"),
        ("rename_class", ("nothing", "x"), NotFoundError, "The classes are: 'water'"),
        ("rename_class", ("pond", "quarry"), ConflictError, "geographer classes remap 'pond=quarry'"),
        ("rename_class", ("pond", ""), UsageError, "empty"),
        ("rename_class", ("pond", "pond"), UsageError, "has that name already"),
    ],
)
def test_refused_renaming_changes_nothing(
    original: Dataset, method: str, names: tuple[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        getattr(original, method)(*names)
    assert len(original.log()) == 25
