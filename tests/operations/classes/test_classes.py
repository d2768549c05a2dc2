"""Remap and harden classes: values, features, probabilities, chips and old revisions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.operations.classes.remap import RemapClasses, compute_remapped_values
from geographer.storage.state.update import rebuild_state
from tests.sample_history import point_geometry, square_geometry, write_scenes
from tests.storage.state.test_update import read_state

UTM = "EPSG:32633"
SPORTS: dict[str, tuple[str, dict, dict[str, Any]]] = {
    "f": ("football", point_geometry(10.5, 10.5), {}),
    "b": ("baseball", square_geometry(30, 30, 4), {}),
    "t": ("track", point_geometry(50.5, 50.5), {}),
    "w": ("water", point_geometry(50.5, 10.5), {}),
}


def write_geojson(path: Path, rows: dict[str, tuple[str, dict, dict[str, Any]]]) -> Path:
    members = [
        {"type": "Feature", "properties": {"id": name, "class": kind, **properties}, "geometry": geometry}
        for name, (kind, geometry, properties) in rows.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


@pytest.fixture(scope="module")
def sports_template(tmp_path_factory) -> Path:
    """Water (background, 0), football (1), baseball (2) and track (3), each with one feature and a chip around it."""
    folder = tmp_path_factory.mktemp("sports")
    classes = ["football", "baseball", "track"]
    dataset = Dataset.init(folder / "dataset", classes=classes, background="water", scm=False)
    dataset.add_features(write_geojson(folder / "sports.geojson", SPORTS), crs=UTM)
    dataset.add_rasters(write_scenes(folder, "a"))
    dataset.cut_around_features("chips", size=8)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    return dataset.root


@pytest.fixture(scope="module")
def open_dataset(sports_template, tmp_path_factory) -> Dataset:
    """Opened once, because opening DuckDB and DVC takes longest."""
    return Dataset.open(shutil.copytree(sports_template, tmp_path_factory.mktemp("opened") / "dataset"))


@pytest.fixture
def dataset(open_dataset, sports_template) -> Dataset:
    shutil.rmtree(open_dataset.root)
    shutil.copytree(sports_template, open_dataset.root)
    return open_dataset


@pytest.fixture(scope="module")
def probability_template(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("soft")
    dataset = Dataset.init(folder / "dataset", classes=["a", "b", "c"], scm=False)
    columns = ("prob_of_class_a", "prob_of_class_b", "prob_of_class_c")
    probabilities = {"x": (0.5, 0.25, 0.25), "y": (0.25, 0.25, 0.5), "z": (None, 0.5, 0.5), "bare": (None, None, None)}
    rows = {
        name: ("a", point_geometry(i, i), dict(zip(columns, probabilities[name], strict=True)))
        for i, name in enumerate(probabilities)
    }
    dataset.add_features(write_geojson(folder / "soft.geojson", rows), crs=UTM)
    return dataset.root


@pytest.fixture
def probability_dataset(probability_template, tmp_path) -> Dataset:
    """Features with probabilities of a (1), b (2) and c (3): two with all, one with two, and one with none."""
    return Dataset.open(shutil.copytree(probability_template, tmp_path / "soft"))


def count_classes(dataset: Dataset, at: Any = None) -> dict[str, tuple[int, int]]:
    return {row["class"]: (row["value"], row["features"]) for row in dataset.classes(at).to_pylist()}


def read_classes(dataset: Dataset) -> dict[str, str]:
    return {row["feature_id"]: row["class"] for row in dataset.features().to_pylist()}


def read_rows(dataset: Dataset) -> dict[str, dict[str, Any]]:
    return {row.pop("feature_id"): row for row in dataset.features().to_pylist()}


def assert_rejected(dataset: Dataset, error: type[Exception], match: str, mapping: dict[str, str | None]) -> None:
    head = dataset.show().digest
    with pytest.raises(error, match=match):
        dataset.remap_classes(mapping)
    assert dataset.show().digest == head


def test_classes_list_values_and_counts(dataset):
    dataset.add_classes(["empty"])
    assert count_classes(dataset) == {
        "water": (0, 1),
        "football": (1, 1),
        "baseball": (2, 1),
        "track": (3, 1),
        "empty": (4, 0),
    }


def test_remap_is_one_event(dataset):
    before = dataset.log()
    result = dataset.remap_classes({"baseball": "ball", "football": "ball", "track": None, "water": "void"})
    assert [event.kind for event in dataset.log()[len(before) :]] == ["classes_remapped"]
    assert result.summary["classes"] == ["void", "ball"]
    assert {name: result.summary[name] for name in ("features", "dropped", "pruned")} == {
        "features": 3,
        "dropped": 1,
        "pruned": 0,
    }
    assert count_classes(dataset) == {"void": (0, 1), "ball": (1, 2)}
    assert read_classes(dataset) == {"f": "ball", "b": "ball", "w": "void"}
    at_before = {row["feature_id"]: row["class"] for row in dataset.features(before[-1].position).to_pylist()}
    assert at_before == {name: kind for name, (kind, _, _) in SPORTS.items()}


def test_existing_target_keeps_value(dataset):
    dataset.remap_classes({"football": "track"})
    assert count_classes(dataset) == {"water": (0, 1), "baseball": (2, 1), "track": (3, 2)}
    assert {name: row["original_class"] for name, row in read_rows(dataset).items()} == {
        "f": "football",
        "b": None,
        "t": None,
        "w": None,
    }


def test_swapped_classes_swap_values(dataset):
    dataset.remap_classes({"football": "track", "track": "football"})
    assert count_classes(dataset) == {"water": (0, 1), "track": (1, 1), "baseball": (2, 1), "football": (3, 1)}
    assert read_classes(dataset) == {"f": "track", "t": "football", "b": "baseball", "w": "water"}
    assert {
        (row["id"], row["from"], row["to"])
        for row in dataset.diff("HEAD~1").table.to_pylist()
        if row["object"] == "class"
    } == {
        ("football", "1", "3"),
        ("track", "3", "1"),
    }


def test_original_class_stays_readable(dataset):
    dataset.remap_classes({"football": "ball"})
    assert "original_class" in dataset.features().column_names
    assert "original_class" not in dataset.features("HEAD~1").column_names
    dataset.remap_classes({"ball": "thing", "baseball": "thing"})
    assert {name: row["original_class"] for name, row in read_rows(dataset).items()} == {
        "f": "football",
        "b": "baseball",
        "t": None,
        "w": None,
    }
    assert dataset.features(where="original_class = 'football'")["class"].to_pylist() == ["thing"]


def test_remap_changes_only_classes(dataset):
    before = read_rows(dataset)
    dataset.remap_classes({"football": "ball"})
    after = read_rows(dataset)
    assert {name: row["geometry"] for name, row in after.items()} == {
        name: row["geometry"] for name, row in before.items()
    }
    [row] = dataset.sql(
        "SELECT feature_id, change, geometry, crs FROM chain_feature_change WHERE position > 6"
    ).to_pylist()
    [old_row] = dataset.sql(
        "SELECT geometry, crs FROM chain_feature_change WHERE feature_id = 'f' AND position < 6"
    ).to_pylist()
    assert (row["feature_id"], row["change"]) == ("f", "changed")
    assert (row["geometry"], row["crs"]) == (old_row["geometry"], old_row["crs"])


def test_remap_keeps_edges_and_updates_masks(dataset):
    before = dataset.edges().to_pylist()
    dataset.remap_classes({"football": "track"})
    assert sorted(dataset.edges().to_pylist(), key=str) == sorted(before, key=str)
    assert not [row for row in dataset.diff("HEAD~1").table.to_pylist() if row["object"] == "edge"]
    dataset.update()
    with rasterio.open(dataset.root / "labels" / "mask" / "chips" / "a_f.tif") as mask:
        assert set(np.unique(mask.read())) == {0, 3}
    assert dataset.verify() == []


def test_background_can_be_remapped_not_dropped(dataset):
    assert_rejected(dataset, ConflictError, "cannot drop the background class 'water'", {"water": None})
    dataset.remap_classes({"water": "void", "track": "void"})
    assert count_classes(dataset) == {"void": (0, 2), "football": (1, 1), "baseball": (2, 1)}
    dataset.remap_classes({"void": "football"})
    assert count_classes(dataset) == {"football": (1, 3), "baseball": (2, 1)}


def test_unused_background_can_be_dropped(dataset):
    dataset.remove_features(["w"])
    dataset.remap_classes({"water": None})
    assert list(count_classes(dataset)) == ["football", "baseball", "track"]


def test_pruning_removes_chips_without_objects(dataset):
    chips = {row["raster_id"] for row in dataset.chips().to_pylist()}
    assert chips == {"chips/a_f", "chips/a_b", "chips/a_t", "chips/a_w"}
    result = dataset.remap_classes({"track": None, "football": "water"}, prune_rasters=True)
    # The chip around water showed no object before, since background is not an object.
    assert {row["raster_id"] for row in dataset.chips().to_pylist()} == {"chips/a_b", "chips/a_w"}
    assert {name: result.summary[name] for name in ("pruned", "labels", "splits")} == {
        "pruned": 2,
        "labels": 2,
        "splits": 2,
    }
    for table in (dataset.labels(), dataset.splits()):
        assert set(table["raster_id"].to_pylist()) == {"chips/a_b", "chips/a_w"}
    assert dataset.rasters(where="collection = 'source'")["raster_id"].to_pylist() == ["a"]
    assert not (dataset.root / "rasters" / "chips" / "a_t.tif").exists()
    assert dataset.verify() == []


def test_chips_stay_without_pruning(dataset):
    dataset.remap_classes({"track": None})
    assert len(dataset.chips()) == 4


def test_chip_with_other_object_is_kept(dataset, tmp_path):
    dataset.add_features(
        write_geojson(tmp_path / "more.geojson", {"g": ("football", point_geometry(49.5, 50.5), {})}), crs=UTM
    )
    dataset.remap_classes({"track": None}, prune_rasters=True)
    assert "chips/a_t" in dataset.chips()["raster_id"].to_pylist()


def test_invalid_mapping_is_rejected(dataset):
    assert_rejected(dataset, UsageError, "no class mapping given", {})
    assert_rejected(dataset, UsageError, "the mapping of 'track' changes nothing", {"track": "track"})
    assert_rejected(dataset, UsageError, "empty class name in the mapping", {"track": ""})
    assert_rejected(dataset, UsageError, "empty class name in the mapping", {"": "track"})
    assert_rejected(
        dataset,
        NotFoundError,
        "no classes 'cricket', 'golf'. Existing classes: 'water'",
        {"golf": "track", "cricket": None},
    )


def test_recipe_with_removed_class_warns(dataset):
    dataset.cut_around_features("tracks", size=8, where="class IN ('track', 'golf')")
    assert dataset.remap_classes({"football": "ball"}).summary["warnings"] == []
    result = dataset.remap_classes({"track": "lane", "baseball": "ball"})
    assert result.summary["warnings"] == ["recipe 'tracks' uses the removed class 'track'"]


@given(st.data())
def test_remapped_values_are_unique(data):
    names = data.draw(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1))
    old_values = dict(zip(names, data.draw(st.permutations(range(len(names)))), strict=True))
    mapping = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from([*"abcxyz", None])))
    after = compute_remapped_values(old_values, mapping)
    members = {target: {name for name in names if mapping.get(name, name) == target} for target in after}
    assert set().union(*members.values()) == {name for name in names if mapping.get(name, name) is not None}
    assert len(set(after.values())) == len(after)
    for target, value in after.items():
        assert value in {old_values[name] for name in members[target]}
        assert (
            value == old_values[target]
            if target in members[target]
            else value == min(old_values[n] for n in members[target])
        )


def test_dry_run_changes_nothing(dataset):
    head = dataset.show().digest
    planned = dataset.remap_classes({"track": None}, dry_run=True)
    assert (planned.changed, planned.summary["dropped"]) == (False, 1)
    assert dataset.show().digest == head
    assert count_classes(dataset)["track"] == (3, 1)


def test_repeated_request_is_recorded_once(dataset):
    first = dataset.remap_classes({"track": "lane"}, idempotency_key="k")
    second = dataset.remap_classes({"track": "lane"}, idempotency_key="k")
    assert (second.position, second.changed) == (first.position, False)


def test_rebuilt_state_equals_updated_state(dataset, probability_dataset):
    dataset.remap_classes({"football": "track", "track": "football", "baseball": None}, prune_rasters=True)
    dataset.remap_classes({"track": "lane", "water": "void"})
    dataset.update()
    probability_dataset.remap_classes({"a": "b", "c": None})
    probability_dataset.set_classes_from_probabilities()
    for changed_dataset in (dataset, probability_dataset):
        updated = read_state(changed_dataset.root / ".geographer")
        rebuild_state(changed_dataset._unit_of_work.database)
        assert read_state(changed_dataset.root / ".geographer") == updated


def test_remap_is_recorded_as_change(dataset):
    """The log has one row 'changed', not 'removed' and 'added'."""
    dataset.remap_classes({"football": "ball"})
    changes = [(row["kind"], row["change"]) for row in dataset.history("f") if row["object"] == "feature"]
    assert changes == [("features_added", "added"), ("classes_remapped", "changed")]


def test_remap_sums_and_drops_probabilities(probability_dataset):
    probability_dataset.remap_classes({"a": "ab", "b": "ab", "c": None})
    rows = {row.pop("feature_id"): row for row in probability_dataset.features().to_pylist()}
    assert {name: row["prob_of_class_ab"] for name, row in rows.items()} == {
        "x": 0.75,
        "y": 0.5,
        "z": 0.5,
        "bare": None,
    }
    columns = [name for name in probability_dataset.features().column_names if name.startswith("prob")]
    assert columns == ["prob_of_class_ab"]
    before = [name for name in probability_dataset.features("HEAD~1").column_names if name.startswith("prob")]
    assert before == ["prob_of_class_a", "prob_of_class_b", "prob_of_class_c"]


def test_remap_adds_probability_of_target(probability_dataset):
    probability_dataset.remap_classes({"c": "b"})
    rows = {row.pop("feature_id"): row for row in probability_dataset.features().to_pylist()}
    assert {name: row["prob_of_class_b"] for name, row in rows.items()} == {"x": 0.5, "y": 0.75, "z": 1.0, "bare": None}
    assert {name: row["prob_of_class_a"] for name, row in rows.items()} == {
        "x": 0.5,
        "y": 0.25,
        "z": None,
        "bare": None,
    }
    # The features' class column is separate: none had class c.
    assert "original_class" not in probability_dataset.features().column_names


def test_swapped_classes_swap_probabilities(probability_dataset):
    before = {row["feature_id"]: row for row in probability_dataset.features().to_pylist()}
    probability_dataset.remap_classes({"a": "b", "b": "a"})
    for row in probability_dataset.features().to_pylist():
        old_row = before[row["feature_id"]]
        assert row["prob_of_class_a"] == old_row["prob_of_class_b"]
        assert row["prob_of_class_b"] == old_row["prob_of_class_a"]


def test_dropped_column_can_be_added_again(probability_dataset, tmp_path):
    probability_dataset.remap_classes({"c": None})
    assert "prob_of_class_c" not in probability_dataset.features().column_names
    probability_dataset.add_classes(["c"])
    probability_dataset.add_features(
        write_geojson(tmp_path / "c.geojson", {"n": ("c", point_geometry(9, 9), {"prob_of_class_c": 1})}), crs=UTM
    )
    assert read_rows(probability_dataset)["n"]["prob_of_class_c"] == 1
    assert read_rows(probability_dataset)["y"]["prob_of_class_c"] is None


def test_hardening_takes_most_probable_class(probability_dataset):
    result = probability_dataset.set_classes_from_probabilities()
    assert read_classes(probability_dataset) == {"x": "a", "y": "c", "z": "b", "bare": "a"}
    assert result.summary == {"features": 2}
    assert read_rows(probability_dataset)["y"]["prob_of_class_c"] == 0.5
    second = probability_dataset.set_classes_from_probabilities()
    assert (second.changed, second.position) == (False, result.position)


def test_threshold_without_background_keeps_class(probability_dataset, tmp_path):
    probabilities = {"prob_of_class_a": 0.0, "prob_of_class_b": 0.375}
    probability_dataset.add_features(
        write_geojson(tmp_path / "low.geojson", {"low": ("c", point_geometry(9, 9), probabilities)}), crs=UTM
    )
    probability_dataset.set_classes_from_probabilities(0.5)
    assert read_classes(probability_dataset) == {"x": "a", "y": "c", "z": "b", "bare": "a", "low": "c"}
    probability_dataset.remap_classes({"b": "b2"})
    probability_dataset.set_classes_from_probabilities(0.375)
    assert read_classes(probability_dataset)["low"] == "b2"


def test_threshold_gives_background(dataset, tmp_path):
    columns = {"prob_of_class_football": 0.5, "prob_of_class_track": 0.25}
    rows = {
        "unsure": ("baseball", point_geometry(5, 5), columns),
        "sure": ("baseball", point_geometry(6, 6), columns | {"prob_of_class_track": 0.75}),
    }
    dataset.add_features(write_geojson(tmp_path / "soft.geojson", rows), crs=UTM)
    dataset.set_classes_from_probabilities(threshold=0.75)
    assert read_classes(dataset) == {
        "f": "football",
        "b": "baseball",
        "t": "track",
        "w": "water",
        "unsure": "water",
        "sure": "track",
    }


def test_hardening_rejects_invalid_input(probability_dataset, tmp_path):
    head = probability_dataset.show().digest
    for threshold in (-0.1, 1.5, float("nan")):
        with pytest.raises(UsageError, match=r"invalid --threshold .*. Use a number from 0 to 1"):
            probability_dataset.set_classes_from_probabilities(threshold)
    assert probability_dataset.show().digest == head
    probability_dataset.add_features(
        write_geojson(tmp_path / "zebra.geojson", {"n": ("a", point_geometry(9, 9), {"prob_of_class_zebra": 1})}),
        crs=UTM,
    )
    with pytest.raises(NotFoundError, match="no class for the column 'prob_of_class_zebra'"):
        probability_dataset.set_classes_from_probabilities()
    with pytest.raises(NotFoundError, match="no column prob_of_class_<class>"):
        Dataset.init(tmp_path / "hard", scm=False).set_classes_from_probabilities()


def test_invalid_probability_is_rejected(probability_dataset, tmp_path):
    probability_dataset.add_features(
        write_geojson(tmp_path / "odd.geojson", {"n": ("a", point_geometry(9, 9), {"prob_of_class_a": "likely"})}),
        crs=UTM,
    )
    for change in (
        probability_dataset.set_classes_from_probabilities,
        lambda: probability_dataset.remap_classes({"a": "b"}),
    ):
        with pytest.raises(
            UsageError, match="column 'prob_of_class_a' of feature 'n' has the invalid probability 'likely'"
        ):
            change()


def test_mapping_is_parsed_from_texts():
    request = RemapClasses(["football, baseball=ball", "track="])
    assert request.to_json() == {
        "classes": {"football": "ball", "baseball": "ball", "track": None},
        "prune_rasters": False,
    }


@pytest.mark.parametrize("texts", [["ball"], ["=ball"], ["a=b", "a=c"]])
def test_invalid_mapping_text_is_rejected(texts):
    with pytest.raises(UsageError, match=r"invalid change|given twice"):
        RemapClasses(texts)
