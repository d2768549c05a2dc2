"""Why: the facts and the sentences about every kind of object."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from tests.folder_source import FolderSource, add_scene
from tests.sample_history import (
    PART_FRACTIONS,
    SampleHistory,
    point_geometry,
    square_geometry,
    write_features,
    write_scenes,
)


@pytest.fixture(scope="module")
def dataset(sample_history: SampleHistory, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset.open(shutil.copytree(sample_history.root, tmp_path_factory.mktemp("why") / "dataset"))


def test_chip_is_explained_from_feature_to_split(dataset: Dataset) -> None:
    facts = dataset.explain_object("around/a_p1", at="v1")
    assert (facts["object"], facts["feature_id"], facts["parent_id"], facts["seed"]) == ("chip", "p1", "a", 0)
    assert facts["window"] == {"col": 3, "row": 3, "width": 16, "height": 16}
    assert facts["cut_by"]["parameters"]["size"] == [16, 16, "px"]
    assert facts["origin"]["event"]["position"] == 5
    (scene,) = facts["sources"]
    assert (scene["id"], scene["origin"]["event"]["kind"]) == ("a", "rasters_added")
    assert scene["origin"]["source"]["file"].endswith("inputs/a.tif")
    assert [label["label"] for label in facts["labels"]] == ["mask"]
    (split,) = facts["splits"]
    assert (split["split"], split["part"], split["recipe"]["parameters"]["stratify"]) == ("parts", "test", "class")
    text = " ".join(facts["sentences"])
    for words in ("for feature 'p1'", "columns 3 to 18", "seed 0", "Scene 'a' was added from", "part 'test'", "by Ada"):
        assert words in text


def test_component_names_what_binds_a_chip(empty_dataset: Path, tmp_path: Path) -> None:
    """Three chips in a row overlap their neighbours; the first and the second show one pond."""
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    ponds = {"one": point_geometry(10.5, 10.5), "two": point_geometry(20.5, 10.5), "three": point_geometry(34.5, 10.5)}
    far = {"far away": point_geometry(55.5, 55.5)}
    path = write_features(tmp_path / "p.geojson", {name: ("pond", shape) for name, shape in (ponds | far).items()})
    dataset.add_features(path, crs="EPSG:32633")
    dataset.add_rasters(write_scenes(tmp_path / "scenes", "a"))
    dataset.cut_around_features("around", size=16, where="feature_id <> 'two'")
    dataset.cut_around_features("more", size=16)
    dataset.split("parts", collection="more", parts=PART_FRACTIONS)
    expected = dict(dataset.components("more").to_pydict().items())
    numbers = dict(zip(expected["raster_id"], expected["component"], strict=True))
    for chip, number in numbers.items():
        (split,) = dataset.explain_object(chip)["splits"]
        others = sorted(other for other in numbers if numbers[other] == number and other != chip)
        assert split["component"]["others"] == len(others)
        assert sorted(member["raster_id"] for member in split["component"]["rasters"]) == others[:3]
    facts = dataset.explain_object("more/a_far away")
    assert facts == dataset.explain_object("more/a_far%20away")
    assert "Nothing binds it there" in " ".join(facts["sentences"])
    assert dataset.history("raster:more/a_far away") == dataset.history("more/a_far%20away")


def test_left_out_chip_is_said_to_be_left_out(empty_dataset: Path, tmp_path: Path) -> None:
    """A chip that connects chips of two parts is left out of the split."""
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    features = {"one": 8.5, "two": 30.5, "bridge": 19.5}
    for names in (["one", "two"], ["bridge"]):
        ponds = {name: ("pond", point_geometry(features[name], 8.5)) for name in names}
        dataset.add_features(write_features(tmp_path / "ponds.geojson", ponds), crs="EPSG:32633")
        if "one" in names:
            dataset.add_rasters(write_scenes(tmp_path / "scenes", "a"))
            dataset.cut_around_features("c", size=16)
            dataset.split("parts", collection="c", parts=PART_FRACTIONS)
    dataset.update(on_conflict="exclude")
    assert "(left out) has 1 raster" in " ".join(dataset.explain_object("split:parts")["sentences"])
    text = " ".join(dataset.explain_object("c/a_one")["sentences"])
    assert "2 other rasters must be in the same part" in text
    assert "'c/a_bridge' (left out), 'c/a_two'." in text
    text = " ".join(dataset.explain_object("c/a_bridge")["sentences"])
    assert "It is left out of split 'parts'" in text
    assert "2 other rasters would have to be in one part with it" in text


def test_feature_and_scene_are_explained(dataset: Dataset) -> None:
    facts = dataset.explain_object("p2")
    assert (facts["object"], facts["class"], facts["chips"]) == ("feature", "pond", ["around/a_p2"])
    assert facts["origin"]["source"]["file"].endswith("first.geojson")
    rasters = dataset.rasters_containing("p2")
    assert facts["contained_by"] == len(rasters)
    assert facts["intersected_by"] == len(dataset.rasters_intersecting("p2")) - len(rasters)
    facts = dataset.explain_object("a")
    assert (facts["object"], facts["collection"]) == ("raster", "source")
    assert "It was last changed" not in " ".join(facts["sentences"])
    assert {cut["recipe"]: cut["chips"] for cut in facts["cuts"]} == {"around": 2, "boxes": 2, "cover": 1, "grid": 4}


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ("label:mask/around/a_p2", "was made by recipe 'mask' (label mask) for collection 'around' in @18"),
        ("label:mask", "Recipe 'mask' (label mask) was recorded in @7"),
        ("recipe:grid", "The recipe is cut grid on collection 'source', seed 0"),
        ("split:parts", "part 'train' has 2 rasters"),
        ("class:quay", "has the value 3 since @12 (classes_added)"),
        ("S2A", "was added as a footprint from"),
        ("grid/c_c0_r0", "for no single feature"),
    ],
)
def test_other_objects_are_explained(dataset: Dataset, identity: str, words: str) -> None:
    assert words in " ".join(dataset.explain_object(identity)["sentences"])


@pytest.mark.parametrize(
    "identity", ["around/a_p1", "nothing", "", "feature:a", "split:mask", "label:mask/a", "class:x"]
)
def test_object_of_no_revision_is_not_found(dataset: Dataset, identity: str) -> None:
    """The chip around/a_p1 was retired after v1."""
    with pytest.raises(NotFoundError, match="at @"):
        dataset.explain_object(identity)


def test_download_names_provider_product_and_search(empty_dataset: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    dataset.add_features(
        write_features(tmp_path / "f.geojson", {"lake": ("pond", square_geometry(5, 5, 4))}), crs="EPSG:32633"
    )
    archive = tmp_path / "archive"
    add_scene(archive, "one")
    dataset.download(
        "s2", source=FolderSource, source_options={"folder": str(archive)}, provider="here", collection="c"
    )
    dataset.cut_around_features("chips", size=16)
    (chip,) = dataset.chips().to_pylist()
    (scene,) = dataset.explain_object(chip["raster_id"])["sources"]
    source = scene["origin"]["source"]
    assert (source["provider"], source["product_id"], source["recipe"]) == ("here", "one", "s2")
    assert source["found_by"]["found"] == 1
    text = " ".join(dataset.explain_object(chip["raster_id"])["sentences"])
    assert "was downloaded as product 'one' of here, collection c, by recipe 's2', whose search of the box" in text
    kinds = [row["kind"] for row in dataset.history(chip["raster_id"])]
    assert kinds == ["features_added", "rasters_downloaded", "chips_cut"]


def test_changed_scene_and_feature_name_their_new_files(empty_dataset: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / "dataset"))
    for name, side in (("first", 4), ("second", 5)):
        path = write_features(tmp_path / f"{name}.geojson", {"lake": ("pond", square_geometry(5, 5, side))})
        dataset.add_features(path, crs="EPSG:32633", replace=name == "second")
    dataset.add_rasters(write_scenes(tmp_path / "old", "a"))
    (scenes,) = [write_scenes(tmp_path / "new", "a")]
    with rasterio.open(tmp_path / "new" / "a.tif", "r+") as scene:
        scene.write(scene.read() + 1)
    dataset.add_rasters(scenes, replace=True)
    for identity, file in (("lake", "second.geojson"), ("a", "new/a.tif")):
        facts = dataset.explain_object(identity)
        assert facts["origin"]["changed_source"]["file"].endswith(file)
        (sentence,) = (text for text in facts["sentences"] if text.startswith("It was last changed"))
        assert f"{file}', in @{facts['origin']['changed']['position']} (" in sentence


@pytest.mark.parametrize(
    "identity", [None, True, 1.5, b"a", ["a"], object(), pytest.param(10**5000, id="long"), "\udc80"]
)
def test_odd_identity_is_refused(dataset: Dataset, identity: Any) -> None:
    for read in (dataset.history, dataset.explain_object, lambda value: dataset.blame_pixel(value, value, 0, 0)):
        with pytest.raises(UsageError, match="invalid id"):
            read(identity)
