"""Blame: of every kind of label, the pixels are explained by the features, and stale labels are said to be stale."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from tests.operations.label.label_dataset import FEATURES, KINDS, LATER_FEATURES, add_features

CHIPS = ("grid/a_c0_r0", "grid/a_c16_r0", "grid/a_c16_r16", "grid/a_c48_r0", "grid/a_c16_r48", "grid/a_c32_r48")


@pytest.fixture(scope="module")
def labelled(labelled_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A scene in 16 chips with labels of every kind, tagged; then features were added or changed without an update."""
    folder = tmp_path_factory.mktemp("blame")
    dataset = Dataset.open(shutil.copytree(labelled_template, folder / "dataset", symlinks=True))
    dataset.label_probabilities("most", collection="grid", combine="max")
    dataset.tag("labelled")
    dataset.add_classes(["track"])
    add_features(dataset, folder / "later.geojson", LATER_FEATURES)
    class_name, geometry, _ = FEATURES["pond"]
    add_features(dataset, folder / "deeper.geojson", {"pond": (class_name, geometry, {"depth": 2.5})}, replace=True)
    return dataset


def find_distinct_pixels(dataset: Dataset, label: str, chip: str) -> list[tuple[int, int]]:
    """Return a pixel (column, row) of each combination of values that a label has."""
    opened = dataset.open_label(label, chip, at="labelled")
    if isinstance(opened, dict):
        return [(3, 4), (12, 12)]
    with opened as raster:
        pixels = raster.read()
    _, indices = np.unique(pixels.reshape(len(pixels), -1), axis=1, return_index=True)
    return [(int(index % pixels.shape[2]), int(index // pixels.shape[2])) for index in indices]


@pytest.mark.parametrize("label", [*KINDS, "most"])
def test_features_explain_every_value(labelled: Dataset, label: str) -> None:
    count = 0
    for chip in CHIPS:
        for x, y in find_distinct_pixels(labelled, label, chip)[:5]:
            facts = labelled.blame_pixel(label, chip, x, y, at="labelled")
            assert facts["agrees"] is (None if label == "own" else True), facts
            assert facts["event"]["kind"] == "labels_made"
            count += len(facts["features"])
    assert count > 3


def test_values_are_those_of_the_file(labelled: Dataset) -> None:
    for label, chip, (x, y) in (("mask", "grid/a_c0_r0", (6, 7)), ("soft", "grid/a_c16_r16", (4, 4))):
        opened = labelled.open_label(label, chip)
        assert not isinstance(opened, dict)
        with opened as raster:
            values = raster.read()[:, y, x].tolist()
        facts = labelled.blame_pixel(label, chip, x, y, at="labelled")
        assert facts["value"] == (values[0] if label == "mask" else values)
        assert facts["bands"] == (None if label == "mask" else ["land", "pond", "quarry"])


def test_features_are_listed_in_drawing_order(labelled: Dataset) -> None:
    """Pixel (15, 15) of the scene: the quarry over the pond, and the island, which is background, over both."""
    facts = labelled.blame_pixel("mask", "grid/a_c0_r0", 15, 15, at="labelled")
    roles = [(feature["feature_id"], feature["role"]) for feature in facts["features"]]
    assert roles == [("pond", "overdrawn"), ("old quarry", "overdrawn"), ("island", "erases")]
    assert (facts["value"], facts["feature_id"], facts["class"]) == (0, "island", "land")
    facts = labelled.blame_pixel("mask", "grid/a_c0_r0", 12, 12, at="labelled")
    assert (facts["value"], facts["feature_id"]) == (2, "old quarry")
    assert facts["features"][-1]["event"]["kind"] == "features_added"
    facts = labelled.blame_pixel("by-size", "grid/a_c0_r0", 12, 12, at="labelled")
    roles = [(feature["feature_id"], feature["role"]) for feature in facts["features"]]
    assert (facts["value"], roles) == (255, [("pond", "overdrawn"), ("old quarry", "ignored")])


def test_subpixel_feature_is_blamed_for_its_pixel(labelled: Dataset) -> None:
    """The puddle is 0.3 pixels wide, at column 30.6 and row 50.1 of the scene; the stream crosses that pixel."""
    facts = labelled.blame_pixel("mask", "grid/a_c16_r48", 14, 2, at="labelled")
    roles = [(feature["feature_id"], feature["role"]) for feature in facts["features"]]
    assert (facts["value"], roles) == (1, [("puddle", "overdrawn"), ("stream", "on top")])


def test_empty_pixel_has_no_feature(labelled: Dataset) -> None:
    facts = labelled.blame_pixel("mask", "grid/a_c0_r0", 0, 0, at="labelled")
    assert (facts["value"], facts["feature_id"], facts["features"]) == (0, None, [])
    assert "No feature covers it." in facts["sentences"]


def test_stale_label_is_explained_by_older_features(labelled: Dataset) -> None:
    """Pixel (50, 20) of the scene was empty; a lake that was added later covers it."""
    facts = labelled.blame_pixel("mask", "grid/a_c32_r16", 10, 4)
    assert (facts["value"], facts["expected"], facts["agrees"], facts["is_explained"]) == (0, 1, False, True)
    assert [feature["feature_id"] for feature in facts["features"]] == ["lake"]
    assert facts["made_with"] == []
    assert [event["kind"] for event in facts["changed_since"]] == ["features_added"]
    assert "The features of @17 would give 1 here. The label is older" in facts["sentences"][1]
    assert facts["sentences"][1].endswith("; no feature covered it then.")
    assert "No feature covers it." not in facts["sentences"]


@pytest.mark.parametrize(("label", "words"), [("mask", "gives it"), ("own", "covers it"), ("multi", "contributes")])
def test_label_names_the_version_that_it_shows(labelled: Dataset, label: str, words: str) -> None:
    """The depth of the pond changed after the labels were made."""
    facts = labelled.blame_pixel(label, "grid/a_c0_r0", 6, 7)
    (layer,), (now,) = facts["made_with"], facts["features"]
    assert layer["feature_id"] == now["feature_id"] == "pond"
    assert (layer["event"]["position"], now["event"]["position"]) == (2, facts["position"])
    assert (layer["changed_since"]["change"], layer["changed_since"]["position"]) == ("changed", facts["position"])
    (sentence,) = (sentence for sentence in facts["sentences"] if sentence.startswith("Feature 'pond'"))
    assert f"{words}, as recorded in @2 (features_added) by" in sentence
    effect = "" if label == "own" else ": the pixel would be the same"
    assert sentence.endswith(f"; changed since in @{facts['position']} (features_added){effect}.")


def test_removed_feature_is_said_to_be_removed(dataset_template: Path, tmp_path: Path) -> None:
    """Another feature of the same class lies below it, so that the pixel would be the same."""
    dataset = Dataset.open(shutil.copytree(dataset_template, tmp_path / "dataset", symlinks=True))
    add_features(dataset, tmp_path / "twin.geojson", {"twin": FEATURES["pond"]})
    dataset.label_masks("mask", collection="grid")
    dataset.label_boxes("boxes", collection="grid", min_visible=0)
    dataset.remove_features(["twin"])
    facts = dataset.blame_pixel("mask", "grid/a_c0_r0", 6, 7)
    assert (facts["agrees"], facts["feature_id"]) == (True, "twin")
    assert facts["sentences"][1].endswith("; removed since in @8 (features_removed): the pixel would be the same.")
    facts = dataset.blame_pixel("boxes", "grid/a_c0_r0", 6, 7)
    assert facts["expected"] == ["pond"]
    assert facts["sentences"][2].endswith("(features_removed): the pixel would be another.")
    assert "a feature has a box however little of it is visible" in facts["rule"]


def test_label_maker_is_named(labelled: Dataset) -> None:
    facts = labelled.blame_pixel("own", "grid/a_c0_r0", 12, 12, at="labelled")
    assert facts["agrees"] is None
    assert {feature["feature_id"] for feature in facts["features"]} == {"pond", "old quarry"}
    assert any("CountingMaker" in sentence for sentence in facts["sentences"])


@pytest.mark.parametrize("pixel", [(16, 0), (0, 16), (-1, 0), (2**70, 0)])
@pytest.mark.parametrize("label", ["mask", "boxes"])
def test_pixel_outside_is_refused(labelled: Dataset, label: str, pixel: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match="16 columns and 16 rows"):
        labelled.blame_pixel(label, "grid/a_c0_r0", *pixel)


@pytest.mark.parametrize(
    "value",
    [
        1.5,
        "1",
        None,
        True,
        float("nan"),
        np.float64(1),
        np.bool_(True),
        b"1",
        [1],
        pytest.param(-(10**5000), id="long"),
    ],
)
def test_pixel_must_be_whole_numbers(labelled: Dataset, value: Any) -> None:
    with pytest.raises(UsageError, match="whole number"):
        labelled.blame_pixel("mask", "grid/a_c0_r0", value, 0)


@pytest.mark.parametrize(("label", "raster"), [("mask", "a"), ("mask", ""), ("grid", "grid/a_c0_r0"), ("", "a")])
def test_unknown_label_is_not_found(labelled: Dataset, label: str, raster: str) -> None:
    with pytest.raises(NotFoundError, match="no label"):
        labelled.blame_pixel(label, raster, 0, 0)


def test_padding_and_nodata_are_ignored(dataset_template: Path, tmp_path: Path) -> None:
    """A chip that reaches beyond its scene has the ignored value there, whatever lies on it."""
    dataset = Dataset.open(shutil.copytree(dataset_template, tmp_path / "dataset", symlinks=True))
    dataset.cut_around_features("padded", size=40, at_border="pad", where="feature_id = 'far pond'")
    dataset.label_masks("valid", collection="padded", ignore=9)
    (chip,) = dataset.chips(where="raster_id LIKE 'padded/%'").to_pylist()
    with dataset.open_raster(chip["raster_id"]) as raster:
        mask = raster.dataset_mask()
    for value in (0, 255):
        rows, columns = np.nonzero(mask == value)
        facts = dataset.blame_pixel("valid", chip["raster_id"], columns[0], rows[0])
        assert facts["agrees"], facts
        assert facts["is_invalid"] is (value == 0)
        assert chip["raster_id"] == "padded/a_far%20pond"
        assert dataset.blame_pixel("valid", "padded/a_far pond", columns[0], rows[0]) == facts
