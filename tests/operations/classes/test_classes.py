"""Classes combined, renamed, dropped and hardened: values, features, soft classes, chips, and what stays readable."""

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
from geographer.operations.classes.plan import values_after
from geographer.storage.state.update import rebuild_state
from tests.sample_history import point, square, write_scenes
from tests.storage.state.test_update import state

UTM = "EPSG:32633"
SPORTS = {
    "f": ("football", point(10.5, 10.5), {}),
    "b": ("baseball", square(30, 30, 4), {}),
    "t": ("track", point(50.5, 50.5), {}),
    "w": ("water", point(50.5, 10.5), {}),
}


def write(path: Path, rows: dict[str, tuple[str, dict, dict[str, Any]]]) -> Path:
    members = [
        {"type": "Feature", "properties": {"id": name, "class": kind, **own}, "geometry": geometry}
        for name, (kind, geometry, own) in rows.items()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": members}))
    return path


@pytest.fixture(scope="module")
def sports(tmp_path_factory) -> Path:
    """Water (the background, 0), football (1), baseball (2), track (3), each with one feature; around them, chips."""
    folder = tmp_path_factory.mktemp("sports")
    classes = ["football", "baseball", "track"]
    dataset = Dataset.init(folder / "dataset", classes=classes, background="water", scm=False)
    dataset.add_features(write(folder / "sports.geojson", SPORTS), crs=UTM)
    dataset.add_rasters(write_scenes(folder, "a"))
    dataset.cut_around_features("chips", size=8)
    dataset.label_masks("mask", collection="chips")
    dataset.split("parts", collection="chips", parts={"train": 0.5, "test": 0.5})
    return dataset.root


@pytest.fixture(scope="module")
def opened(sports, tmp_path_factory) -> Dataset:
    """Opened once: what opens DuckDB's and DVC's engines takes longest."""
    return Dataset.open(shutil.copytree(sports, tmp_path_factory.mktemp("opened") / "dataset"))


@pytest.fixture
def dataset(opened, sports) -> Dataset:
    shutil.rmtree(opened.root)
    shutil.copytree(sports, opened.root)
    return opened


@pytest.fixture
def soft(tmp_path) -> Dataset:
    """Three features with soft classes a (1), b (2), c (3), one of them with a missing probability, and one without."""
    dataset = Dataset.init(tmp_path / "soft", classes=["a", "b", "c"], scm=False)
    columns = ("prob_of_class_a", "prob_of_class_b", "prob_of_class_c")
    given = {"x": (0.5, 0.25, 0.25), "y": (0.25, 0.25, 0.5), "z": (None, 0.5, 0.5), "bare": (None, None, None)}
    rows = {name: ("a", point(i, i), dict(zip(columns, given[name], strict=True))) for i, name in enumerate(given)}
    dataset.add_features(write(tmp_path / "soft.geojson", rows), crs=UTM)
    return dataset


def classes(dataset: Dataset, at: Any = None) -> dict[str, tuple[int, int]]:
    return {row["class"]: (row["value"], row["features"]) for row in dataset.classes(at).to_pylist()}


def class_of(dataset: Dataset) -> dict[str, str]:
    return {row["feature_id"]: row["class"] for row in dataset.features().to_pylist()}


def rows_of(dataset: Dataset) -> dict[str, dict[str, Any]]:
    return {row.pop("feature_id"): row for row in dataset.features().to_pylist()}


def unmoved(dataset: Dataset, error: type[Exception], match: str, mapping: dict[str, str | None]) -> None:
    head = dataset.show().digest
    with pytest.raises(error, match=match):
        dataset.remap_classes(mapping)
    assert dataset.show().digest == head


def test_the_classes_are_listed_with_values_and_numbers_of_features(dataset):
    dataset.add_classes(["empty"])
    assert classes(dataset) == {
        "water": (0, 1),
        "football": (1, 1),
        "baseball": (2, 1),
        "track": (3, 1),
        "empty": (4, 0),
    }


def test_combining_renaming_and_dropping_are_one_event(dataset):
    before = dataset.log()
    recorded = dataset.remap_classes({"baseball": "ball", "football": "ball", "track": None, "water": "void"})
    assert [event.kind for event in dataset.log()[len(before) :]] == ["classes_remapped"]
    assert recorded.summary["classes"] == ["void", "ball"]
    assert {name: recorded.summary[name] for name in ("features", "dropped", "pruned")} == {
        "features": 3,
        "dropped": 1,
        "pruned": 0,
    }
    assert classes(dataset) == {"void": (0, 1), "ball": (1, 2)}
    assert class_of(dataset) == {"f": "ball", "b": "ball", "w": "void"}
    at_before = {row["feature_id"]: row["class"] for row in dataset.features(before[-1].position).to_pylist()}
    assert at_before == {name: kind for name, (kind, _, _) in SPORTS.items()}


def test_a_target_that_is_there_keeps_its_value_and_its_features_take_part(dataset):
    dataset.remap_classes({"football": "track"})
    assert classes(dataset) == {"water": (0, 1), "baseball": (2, 1), "track": (3, 2)}
    assert {name: row["original_class"] for name, row in rows_of(dataset).items()} == {
        "f": "football",
        "b": None,
        "t": None,
        "w": None,
    }


def test_swapped_classes_take_their_values_along(dataset):
    dataset.remap_classes({"football": "track", "track": "football"})
    assert classes(dataset) == {"water": (0, 1), "track": (1, 1), "baseball": (2, 1), "football": (3, 1)}
    assert class_of(dataset) == {"f": "track", "t": "football", "b": "baseball", "w": "water"}
    assert {
        (row["id"], row["from"], row["to"])
        for row in dataset.diff("HEAD~1").table.to_pylist()
        if row["object"] == "class"
    } == {
        ("football", "1", "3"),
        ("track", "3", "1"),
    }


def test_the_class_before_the_first_remap_stays_readable(dataset):
    dataset.remap_classes({"football": "ball"})
    assert "original_class" in dataset.features().column_names
    assert "original_class" not in dataset.features("HEAD~1").column_names
    dataset.remap_classes({"ball": "thing", "baseball": "thing"})
    assert {name: row["original_class"] for name, row in rows_of(dataset).items()} == {
        "f": "football",
        "b": "baseball",
        "t": None,
        "w": None,
    }
    assert dataset.features(where="original_class = 'football'")["class"].to_pylist() == ["thing"]


def test_what_is_not_remapped_and_geometries_are_not_touched(dataset):
    before = rows_of(dataset)
    dataset.remap_classes({"football": "ball"})
    after = rows_of(dataset)
    assert {name: row["geometry"] for name, row in after.items()} == {
        name: row["geometry"] for name, row in before.items()
    }
    [row] = dataset.sql(
        "SELECT feature_id, change, geometry, crs FROM log.feature_change WHERE position > 6"
    ).to_pylist()
    [was] = dataset.sql(
        "SELECT geometry, crs FROM log.feature_change WHERE feature_id = 'f' AND position < 6"
    ).to_pylist()
    assert (row["feature_id"], row["change"]) == ("f", "changed")
    assert (row["geometry"], row["crs"]) == (was["geometry"], was["crs"])


def test_edges_stay_and_masks_are_burned_anew_with_the_values(dataset):
    before = dataset.edges().to_pylist()
    dataset.remap_classes({"football": "track"})
    key = str
    assert sorted(dataset.edges().to_pylist(), key=key) == sorted(before, key=key)
    assert not [row for row in dataset.diff("HEAD~1").table.to_pylist() if row["object"] == "edge"]
    dataset.update()
    with rasterio.open(dataset.root / "labels" / "mask" / "chips" / "a_f.tif") as mask:
        assert set(np.unique(mask.read())) == {0, 3}
    assert dataset.verify() == []


def test_the_background_can_be_renamed_joined_and_dissolved_but_not_lost(dataset):
    unmoved(dataset, ConflictError, "'water' can't be dropped: 1 features have it", {"water": None})
    dataset.remap_classes({"water": "void", "track": "void"})
    assert classes(dataset) == {"void": (0, 2), "football": (1, 1), "baseball": (2, 1)}
    dataset.remap_classes({"void": "football"})
    assert classes(dataset) == {"football": (1, 3), "baseball": (2, 1)}


def test_a_background_that_no_feature_has_can_be_dropped(dataset):
    dataset.remove_features(["w"])
    dataset.remap_classes({"water": None})
    assert list(classes(dataset)) == ["football", "baseball", "track"]


def test_pruning_removes_the_chips_that_lose_their_last_object(dataset):
    chips = {row["raster_id"] for row in dataset.chips().to_pylist()}
    assert chips == {"chips/a_f", "chips/a_b", "chips/a_t", "chips/a_w"}
    recorded = dataset.remap_classes({"track": None, "football": "water"}, prune_rasters=True)
    # The chip around water showed no object before: background is none.
    assert {row["raster_id"] for row in dataset.chips().to_pylist()} == {"chips/a_b", "chips/a_w"}
    assert {name: recorded.summary[name] for name in ("pruned", "labels", "splits")} == {
        "pruned": 2,
        "labels": 2,
        "splits": 2,
    }
    for table in (dataset.labels(), dataset.splits()):
        assert set(table["raster_id"].to_pylist()) == {"chips/a_b", "chips/a_w"}
    assert dataset.rasters(where="collection = 'source'")["raster_id"].to_pylist() == ["a"]
    assert not (dataset.root / "rasters" / "chips" / "a_t.tif").exists()
    assert dataset.verify() == []


def test_without_pruning_chips_stay(dataset):
    dataset.remap_classes({"track": None})
    assert len(dataset.chips()) == 4


def test_a_chip_with_another_object_is_not_pruned(dataset, tmp_path):
    dataset.add_features(write(tmp_path / "more.geojson", {"g": ("football", point(49.5, 50.5), {})}), crs=UTM)
    dataset.remap_classes({"track": None}, prune_rasters=True)
    assert "chips/a_t" in dataset.chips()["raster_id"].to_pylist()


def test_a_remap_that_says_nothing_or_names_what_is_not_there_is_refused(dataset):
    unmoved(dataset, UsageError, "no class named", {})
    unmoved(dataset, UsageError, "'track' would stay what they are", {"track": "track"})
    unmoved(dataset, UsageError, "a class has no name", {"track": ""})
    unmoved(dataset, UsageError, "a class has no name", {"": "track"})
    unmoved(dataset, NotFoundError, "no class 'cricket', 'golf': there are 'water'", {"golf": "track", "cricket": None})


def test_a_recipe_that_asks_for_a_class_that_is_no_more_is_told(dataset):
    dataset.cut_around_features("tracks", size=8, where="class IN ('track', 'golf')")
    assert dataset.remap_classes({"football": "ball"}).summary["warnings"] == []
    recorded = dataset.remap_classes({"track": "lane", "baseball": "ball"})
    assert recorded.summary["warnings"] == ["recipe 'tracks' asks for class 'track', which is no more"]


@given(st.data())
def test_values_stay_different_and_those_of_classes_that_stay_are_theirs(data):
    names = data.draw(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1))
    known = dict(zip(names, data.draw(st.permutations(range(len(names)))), strict=True))
    mapping = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from([*"abcxyz", None])))
    after = values_after(known, mapping)
    members = {target: {name for name in names if mapping.get(name, name) == target} for target in after}
    assert set().union(*members.values()) == {name for name in names if mapping.get(name, name) is not None}
    assert len(set(after.values())) == len(after)
    for target, value in after.items():
        assert value in {known[name] for name in members[target]}
        assert value == known[target] if target in members[target] else value == min(known[n] for n in members[target])


def test_a_dry_run_changes_nothing_and_says_what_would_be(dataset):
    head = dataset.show().digest
    planned = dataset.remap_classes({"track": None}, dry_run=True)
    assert (planned.changed, planned.summary["dropped"]) == (False, 1)
    assert dataset.show().digest == head
    assert classes(dataset)["track"] == (3, 1)


def test_a_repeated_request_changes_nothing_twice(dataset):
    once = dataset.remap_classes({"track": "lane"}, idempotency_key="k")
    again = dataset.remap_classes({"track": "lane"}, idempotency_key="k")
    assert (again.position, again.changed) == (once.position, False)


def test_a_projection_rebuilt_equals_the_one_that_grew_over_remaps(dataset, soft):
    dataset.remap_classes({"football": "track", "track": "football", "baseball": None}, prune_rasters=True)
    dataset.remap_classes({"track": "lane", "water": "void"})
    dataset.update()
    soft.remap_classes({"a": "b", "c": None})
    soft.harden_classes()
    for one in (dataset, soft):
        grown = state(one.root / ".geographer")
        rebuild_state(one._recorder.engine)
        assert state(one.root / ".geographer") == grown


def test_features_keep_their_place_in_the_log_of_additions(dataset):
    """A change is one row, 'changed': nothing looks as if the feature had gone and come back."""
    dataset.remap_classes({"football": "ball"})
    told = [(row["kind"], row["change"]) for row in dataset.history("f") if row["object"] == "feature"]
    assert told == [("features_added", "added"), ("classes_remapped", "changed")]


def test_probabilities_of_combined_classes_are_summed_and_of_dropped_ones_removed(soft):
    soft.remap_classes({"a": "ab", "b": "ab", "c": None})
    rows = {row.pop("feature_id"): row for row in soft.features().to_pylist()}
    assert {name: row["prob_of_class_ab"] for name, row in rows.items()} == {
        "x": 0.75,
        "y": 0.5,
        "z": 0.5,
        "bare": None,
    }
    own = [name for name in soft.features().column_names if name.startswith("prob")]
    assert own == ["prob_of_class_ab"]
    before = [name for name in soft.features("HEAD~1").column_names if name.startswith("prob")]
    assert before == ["prob_of_class_a", "prob_of_class_b", "prob_of_class_c"]


def test_the_probability_of_a_target_that_stays_takes_part(soft):
    soft.remap_classes({"c": "b"})
    rows = {row.pop("feature_id"): row for row in soft.features().to_pylist()}
    assert {name: row["prob_of_class_b"] for name, row in rows.items()} == {"x": 0.5, "y": 0.75, "z": 1.0, "bare": None}
    assert {name: row["prob_of_class_a"] for name, row in rows.items()} == {
        "x": 0.5,
        "y": 0.25,
        "z": None,
        "bare": None,
    }
    # Their class is another thing: none of them was of class c.
    assert "original_class" not in soft.features().column_names


def test_swapped_soft_classes_swap_their_columns(soft):
    before = {row["feature_id"]: row for row in soft.features().to_pylist()}
    soft.remap_classes({"a": "b", "b": "a"})
    for row in soft.features().to_pylist():
        was = before[row["feature_id"]]
        assert row["prob_of_class_a"] == was["prob_of_class_b"]
        assert row["prob_of_class_b"] == was["prob_of_class_a"]


def test_a_column_that_was_dropped_can_come_again(soft, tmp_path):
    soft.remap_classes({"c": None})
    assert "prob_of_class_c" not in soft.features().column_names
    soft.add_classes(["c"])
    soft.add_features(write(tmp_path / "c.geojson", {"n": ("c", point(9, 9), {"prob_of_class_c": 1})}), crs=UTM)
    assert rows_of(soft)["n"]["prob_of_class_c"] == 1
    assert rows_of(soft)["y"]["prob_of_class_c"] is None


def test_hardening_takes_the_greatest_probability_and_of_equals_the_smaller_value(soft):
    recorded = soft.harden_classes()
    assert class_of(soft) == {"x": "a", "y": "c", "z": "b", "bare": "a"}
    assert recorded.summary == {"features": 2}
    assert rows_of(soft)["y"]["prob_of_class_c"] == 0.5
    again = soft.harden_classes()
    assert (again.changed, again.position) == (False, recorded.position)


def test_below_the_threshold_a_feature_keeps_its_class_where_there_is_no_background(soft, tmp_path):
    lower = {"prob_of_class_a": 0.0, "prob_of_class_b": 0.375}
    soft.add_features(write(tmp_path / "low.geojson", {"low": ("c", point(9, 9), lower)}), crs=UTM)
    soft.harden_classes(0.5)
    assert class_of(soft) == {"x": "a", "y": "c", "z": "b", "bare": "a", "low": "c"}
    soft.remap_classes({"b": "b2"})
    soft.harden_classes(0.375)
    assert class_of(soft)["low"] == "b2"


def test_below_the_threshold_a_feature_becomes_background(dataset, tmp_path):
    columns = {"prob_of_class_football": 0.5, "prob_of_class_track": 0.25}
    rows = {
        "unsure": ("baseball", point(5, 5), columns),
        "sure": ("baseball", point(6, 6), columns | {"prob_of_class_track": 0.75}),
    }
    dataset.add_features(write(tmp_path / "soft.geojson", rows), crs=UTM)
    dataset.harden_classes(threshold=0.75)
    assert class_of(dataset) == {
        "f": "football",
        "b": "baseball",
        "t": "track",
        "w": "water",
        "unsure": "water",
        "sure": "track",
    }


def test_hardening_refuses_what_it_does_not_know(soft, tmp_path):
    head = soft.show().digest
    for threshold in (-0.1, 1.5, float("nan")):
        with pytest.raises(UsageError, match="is no probability: give a number from 0 to 1"):
            soft.harden_classes(threshold)
    assert soft.show().digest == head
    soft.add_features(write(tmp_path / "zebra.geojson", {"n": ("a", point(9, 9), {"prob_of_class_zebra": 1})}), crs=UTM)
    with pytest.raises(NotFoundError, match="column 'prob_of_class_zebra' is named after a class that is not in"):
        soft.harden_classes()
    with pytest.raises(NotFoundError, match="no column prob_of_class_…"):
        Dataset.init(tmp_path / "hard", scm=False).harden_classes()


def test_a_probability_that_is_no_number_is_named(soft, tmp_path):
    soft.add_features(
        write(tmp_path / "odd.geojson", {"n": ("a", point(9, 9), {"prob_of_class_a": "likely"})}), crs=UTM
    )
    for act in (soft.harden_classes, lambda: soft.remap_classes({"a": "b"})):
        with pytest.raises(UsageError, match="column 'prob_of_class_a' of feature 'n' holds 'likely'"):
            act()
