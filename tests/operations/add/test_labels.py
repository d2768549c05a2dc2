"""Adding labels: files of users become labels of a collection, on the grids of its rasters."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geographer import ConflictError, CorruptError, Dataset, NotFoundError, UsageError
from tests.sample_history import NORTH, PIXEL, WEST, write_scenes
from tests.sample_masks import make_mask, write_mask
from tests.shared_folders import copy_once

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def create_dataset(folder: Path) -> None:
    dataset = Dataset.init(folder / "dataset", classes=["lake", "quarry"], scm=False)
    dataset.add_rasters(write_scenes(folder / "scenes", "a", "b"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_once(tmp_path_factory, "label-files", create_dataset)


@pytest.fixture
def dataset(template: Path, tmp_path: Path) -> Dataset:
    return Dataset.open(shutil.copytree(template / "dataset", tmp_path / "dataset", symlinks=True))


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    """Masks of both scenes, in two folders, with a common suffix."""
    write_mask(tmp_path / "masks" / "a_mask.tif", make_mask(1))
    write_mask(tmp_path / "masks" / "deeper" / "b_mask.tif", make_mask(2), scene=1)
    return tmp_path / "masks"


def read_label(dataset: Dataset, raster_id: str, label: str = "mask", collection: str = "source") -> np.ndarray:
    with rasterio.open(dataset.root / "labels" / label / collection / f"{raster_id}.tif") as file:
        return file.read()


def add(dataset: Dataset, files: Path | list[Path], **options):
    return dataset.add_labels(files, **{"label": "mask", "collection": "source", **options})


def test_labels_have_pixels_and_grids(dataset: Dataset, masks: Path) -> None:
    result = add(dataset, masks, suffix="_mask")
    assert (result.kind, result.summary["labels"], result.summary["unlabelled"]) == ("labels_added", 2, 0)
    assert [(row["label"], row["raster_id"]) for row in dataset.labels().to_pylist()] == [("mask", "a"), ("mask", "b")]
    for raster_id, seed in (("a", 1), ("b", 2)):
        assert np.array_equal(read_label(dataset, raster_id), make_mask(seed))
        with (
            rasterio.open(dataset.root / f"labels/mask/source/{raster_id}.tif") as label,
            rasterio.open(dataset.root / f"rasters/source/{raster_id}.tif") as scene,
        ):
            assert (label.transform, label.crs, label.nodata) == (scene.transform, scene.crs, None)
    assert dataset.verify() == []


def test_added_mask_looks_like_drawn_one(dataset: Dataset, tmp_path: Path) -> None:
    """A label recipe draws nothing without features, so its mask is the file of an added mask of zeros."""
    write_mask(tmp_path / "a.tif", np.zeros((1, 64, 64), np.int32), nodata=-1)
    add(dataset, tmp_path / "a.tif")
    dataset.label_masks("drawn", collection="source")
    added, drawn = (dataset.root / f"labels/{name}/source/a.tif" for name in ("mask", "drawn"))
    assert added.read_bytes() == drawn.read_bytes()


def test_second_run_changes_nothing(dataset: Dataset, masks: Path) -> None:
    add(dataset, masks, suffix="_mask")
    result = add(dataset, masks, suffix="_mask")
    assert (result.changed, result.summary["labels"], result.summary["unchanged"]) == (False, 0, 2)
    assert [result.changed for result in dataset.update()] == [False]


def test_values_are_mapped_to_classes(dataset: Dataset, tmp_path: Path) -> None:
    dataset.add_classes(["reed"])
    pixels = np.resize(np.array([0, 7, 9, 20, 255], np.uint8), (1, 64, 64))
    write_mask(tmp_path / "a.tif", pixels)
    add(dataset, tmp_path / "a.tif", values="7=reed, 9=lake,20=", ignore=255)
    mapping = {0: 0, 7: 3, 9: 1, 20: 0, 255: 255}
    assert np.array_equal(read_label(dataset, "a"), np.vectorize(mapping.get)(pixels))


def test_unknown_values_name_file_and_values(dataset: Dataset, tmp_path: Path) -> None:
    pixels = make_mask()
    pixels[0, 5, 5], pixels[0, 6, 6] = 77, 255
    write_mask(tmp_path / "a.tif", pixels)
    with pytest.raises(UsageError, match=r"'.*a\.tif' has the unknown values 77, 255\. Known are .*1 lake"):
        add(dataset, tmp_path / "a.tif")
    with pytest.raises(UsageError, match="has the unknown value 2"):
        add(dataset, tmp_path / "a.tif", values={1: "lake", 77: "lake"}, ignore=255)
    assert dataset.status()["position"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crs": "EPSG:32632"}, "has the CRS EPSG:32632, but raster 'a' has EPSG:32633"),
        ({"transform": (PIXEL, 0.0, WEST + 1e-4, 0.0, -PIXEL, NORTH)}, r"up to 1e-05 pixels away"),
        ({"transform": (PIXEL * 1.001, 0.0, WEST, 0.0, -PIXEL, NORTH)}, "up to 0.064 pixels away"),
        ({"pixels": make_mask(size=63)}, "has 63 x 63 pixels, but raster 'a' has 64 x 64"),
        ({"pixels": np.zeros((2, 64, 64), np.uint8)}, "has 2 bands, but a label of the form 'mask' has one band"),
        ({"pixels": np.zeros((1, 64, 64), np.float32)}, "pixels of the type float32; class values are integers"),
    ],
)
def test_other_grids_and_types_are_refused(dataset: Dataset, tmp_path: Path, options, message: str) -> None:
    write_mask(tmp_path / "a.tif", **options)
    with pytest.raises(UsageError, match=message):
        add(dataset, tmp_path / "a.tif")


def test_tiny_shifts_are_accepted(dataset: Dataset, tmp_path: Path) -> None:
    write_mask(tmp_path / "a.tif", transform=(PIXEL, 0.0, WEST + 1e-6, 0.0, -PIXEL, NORTH))
    assert add(dataset, tmp_path / "a.tif").summary["labels"] == 1


def test_png_has_grid_of_raster(dataset: Dataset, tmp_path: Path) -> None:
    pixels = make_mask(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        write_mask(tmp_path / "a.png", pixels, driver="PNG", tiled=False, compress=None, crs=None, transform=IDENTITY)
    add(dataset, tmp_path / "a.png")
    assert np.array_equal(read_label(dataset, "a"), pixels)
    with rasterio.open(dataset.root / "labels/mask/source/a.tif") as label:
        assert label.crs == "EPSG:32633"


def test_bands_of_classes(dataset: Dataset, tmp_path: Path) -> None:
    several = np.random.default_rng(3).integers(0, 2, (2, 64, 64)).astype(np.uint8)
    soft = np.random.default_rng(4).random((2, 64, 64))
    add(dataset, write_mask(tmp_path / "several" / "a.tif", several), label="several", form="multilabel")
    add(dataset, write_mask(tmp_path / "soft" / "a.tif", soft), label="soft", form="probabilities")
    for label, pixels in (("several", several), ("soft", soft.astype(np.float32))):
        assert np.array_equal(read_label(dataset, "a", label), pixels)
        with rasterio.open(dataset.root / f"labels/{label}/source/a.tif") as file:
            assert file.descriptions == ("lake", "quarry")
    with pytest.raises(UsageError, match="unknown value 2"):
        add(dataset, write_mask(tmp_path / "b.tif", several * 2, scene=1), label="several", form="multilabel")
    with pytest.raises(UsageError, match="outside of 0 to 1"):
        add(dataset, write_mask(tmp_path / "b.tif", soft + 1, scene=1), label="soft", form="probabilities")
    dataset.add_classes(["reed"])
    three = [write_mask(tmp_path / "3" / f"{name}.tif", several[[0, 1, 1]], scene=n) for n, name in enumerate("ab")]
    with pytest.raises(ConflictError, match="labels 'several' have 2 bands, but the dataset has 3 classes"):
        add(dataset, three[1], label="several", form="multilabel")
    assert add(dataset, three, label="several", form="multilabel", replace=True).summary["labels"] == 2


def test_files_without_raster(dataset: Dataset, masks: Path) -> None:
    write_mask(masks / "z_mask.tif")
    with pytest.raises(
        NotFoundError, match=r"1 of 3 files have the name of no raster of collection 'source': .*z_mask"
    ):
        add(dataset, masks, suffix="_mask")
    result = add(dataset, masks, suffix="_mask", on_error="skip")
    assert (result.summary["labels"], result.summary["skipped"]) == (2, 1)
    with pytest.raises(NotFoundError, match="no file has the name of a raster"):
        add(dataset, masks, label="other")


def test_rasters_without_file_are_counted(dataset: Dataset, tmp_path: Path, caplog) -> None:
    result = add(dataset, write_mask(tmp_path / "a.tif"))
    assert result.summary["unlabelled"] == 1
    assert "1 raster of collection 'source' without a label 'mask': 'b'" in caplog.text
    assert add(dataset, write_mask(tmp_path / "b.tif", scene=1)).summary["unlabelled"] == 0


def test_invalid_files_are_skipped(dataset: Dataset, masks: Path) -> None:
    (masks / "a_mask.tif").write_bytes(b"no raster")
    with pytest.raises(UsageError, match="not a raster"):
        add(dataset, masks, suffix="_mask")
    result = add(dataset, masks, suffix="_mask", on_error="skip")
    assert (result.summary["labels"], result.summary["skipped"], result.summary["unlabelled"]) == (1, 1, 1)


def test_other_label_needs_replace(dataset: Dataset, tmp_path: Path) -> None:
    add(dataset, write_mask(tmp_path / "a.tif"))
    write_mask(tmp_path / "a.tif", make_mask(9))
    with pytest.raises(ConflictError, match="raster 'a' has another label 'mask'"):
        add(dataset, tmp_path / "a.tif")
    result = add(dataset, tmp_path / "a.tif", replace=True)
    assert result.summary["labels"] == 1
    assert np.array_equal(read_label(dataset, "a"), make_mask(9))


def test_two_files_of_one_raster(dataset: Dataset, tmp_path: Path) -> None:
    files = [write_mask(tmp_path / name / "a.tif") for name in ("one", "two")]
    with pytest.raises(ConflictError, match="are both labels of raster 'a'"):
        add(dataset, files)


def test_label_keeps_collection_and_ignored_value(dataset: Dataset, masks: Path) -> None:
    add(dataset, masks, suffix="_mask", ignore=200)
    with pytest.raises(ConflictError, match="was added with --ignore 200"):
        add(dataset, masks, suffix="_mask")
    dataset.label_masks("drawn", collection="source")
    with pytest.raises(ConflictError, match="'drawn' is the name of a label mask recipe"):
        add(dataset, masks, label="drawn")
    with pytest.raises(ConflictError, match="'source' is the name of a collection"):
        add(dataset, masks, label="source")
    with pytest.raises(UsageError, match="ignore value 1 is the value of class 'lake'"):
        add(dataset, masks, label="other", ignore=1)


def test_wrong_names(dataset: Dataset, masks: Path) -> None:
    with pytest.raises(NotFoundError, match="no collection 'none'"):
        add(dataset, masks, collection="none")
    with pytest.raises(NotFoundError, match=r"no class 'sea'\. Existing classes: 'lake', 'quarry'"):
        add(dataset, masks, suffix="_mask", values={1: "sea"})
    with pytest.raises(UsageError, match="invalid value 'x' in --values"):
        add(dataset, masks, values="x=lake")
    with pytest.raises(UsageError, match="invalid value '--1' in --values"):
        add(dataset, masks, values="--1=lake")
    with pytest.raises(UsageError, match=r"invalid --values '5'\. Use VALUE=CLASS"):
        add(dataset, masks, values=5)
    with pytest.raises(UsageError, match="names value 1 twice"):
        add(dataset, masks, values="1=lake,01=quarry")


def test_removal_ends_label(dataset: Dataset, masks: Path) -> None:
    add(dataset, masks, suffix="_mask")
    result = dataset.remove_labels("mask")
    assert (result.summary["labels"], len(dataset.labels()), dataset.status()["recipes"]) == (2, 0, [])
    assert not (dataset.root / "labels/mask/source/a.tif").exists()
    with pytest.raises(NotFoundError, match="no label 'mask'"):
        dataset.remove_labels("mask")
    assert add(dataset, masks, suffix="_mask").summary["labels"] == 2
    dataset.label_masks("drawn", collection="source")
    with pytest.raises(ConflictError, match="geographer remove recipe drawn"):
        dataset.remove_labels("drawn")


def test_update_retires_labels_of_other_grids(dataset: Dataset, masks: Path, tmp_path: Path) -> None:
    add(dataset, masks, suffix="_mask")
    write_mask(tmp_path / "new" / "a.tif", np.ones((2, 50, 64), np.uint8))
    dataset.add_rasters(tmp_path / "new" / "a.tif", replace=True)
    (result,) = dataset.update()
    assert (result.summary["retired"], result.summary["unlabelled"]) == (1, 1)
    assert dataset.labels()["raster_id"].to_pylist() == ["b"]


def test_blame_and_why_name_the_file(dataset: Dataset, masks: Path) -> None:
    add(dataset, masks, suffix="_mask")
    column, row = np.argwhere(make_mask(1)[0] == 2)[0][::-1].tolist()
    facts = dataset.blame_pixel("mask", "a", column, row)
    assert (facts["value"], facts["class"], facts["source"]["path"]) == (2, "quarry", str(masks / "a_mask.tif"))
    assert "taken from file" in facts["sentences"][1]
    assert "a_mask.tif" in dataset.explain_object("label:mask/a")["sentences"][0]


def test_altered_label_is_found(dataset: Dataset, masks: Path) -> None:
    add(dataset, masks, suffix="_mask")
    label = dataset.root / "labels/mask/source/a.tif"
    label.unlink()
    label.write_bytes(b"altered")
    dataset_faults = dataset.verify()
    assert len(dataset_faults) == 1
    with pytest.raises(CorruptError, match="cannot use the labels 'mask/a': altered"):
        dataset.cut_grid("tiles", size=32)


def test_import_and_merge_take_labels_along(dataset: Dataset, masks: Path, tmp_path: Path) -> None:
    add(dataset, masks, suffix="_mask")
    other = Dataset.init(tmp_path / "other", scm=False)
    other.add_classes(["lake", "quarry", "sea"])
    other.import_dataset(dataset.root)
    assert len(other.labels()) == 2
    dataset.create_branch("survey")
    dataset.switch_branch("survey")
    write_mask(masks / "a_mask.tif", make_mask(8))
    add(dataset, masks, suffix="_mask", replace=True)
    dataset.switch_branch("main")
    dataset.add_classes(["sea"])
    dataset.merge_branch("survey")
    assert np.array_equal(read_label(dataset, "a"), make_mask(8))
    assert "took from another branch" in dataset.blame_pixel("mask", "a", 0, 0)["sentences"][1]
    for branch, seed in (("survey", 5), ("main", 6)):
        dataset.switch_branch(branch)
        write_mask(masks / "a_mask.tif", make_mask(seed))
        add(dataset, masks, suffix="_mask", replace=True)
    result = dataset.merge_branch("survey")
    assert [text[:25] for text in result.summary["warnings"]] == ["label 'mask' of raster 'a'"[:25]]


def test_import_merges_changed_labels(dataset: Dataset, masks: Path, tmp_path: Path) -> None:
    add(dataset, masks, suffix="_mask", ignore=3)
    dataset.set_context_classes(["quarry"])
    other = Dataset.init(tmp_path / "other", classes=["lake", "quarry"], scm=False)
    assert other.import_dataset(dataset.root).summary["labels"] == 2
    b = write_mask(tmp_path / "other-b" / "b.tif", make_mask(6), scene=1)
    add(other, b, ignore=3, replace=True)
    write_mask(masks / "a_mask.tif", make_mask(7))
    add(dataset, masks, suffix="_mask", ignore=3, replace=True)
    assert other.import_dataset(dataset.root).summary["labels"] == 1
    assert np.array_equal(read_label(other, "a"), make_mask(7))
    assert np.array_equal(read_label(other, "b"), make_mask(6))
    write_mask(b, make_mask(8), scene=1)
    add(dataset, b, ignore=3, replace=True)
    with pytest.raises(ConflictError, match=r"label 'mask' of raster 'b' .* differs"):
        other.import_dataset(dataset.root)
    assert other.import_dataset(dataset.root, on_equal_id="ours").summary["labels"] == 0
    assert other.add_classes(["reed"]).changed
    assert other.classes()["value"].to_pylist() == [1, 2, 4]
    assert other.verify() == []


def test_import_warns_of_other_class_values(dataset: Dataset, masks: Path, tmp_path: Path) -> None:
    add(dataset, masks, suffix="_mask")
    other = Dataset.init(tmp_path / "other", classes=["sea"], scm=False)
    texts = other.import_dataset(dataset.root).summary["warnings"]
    assert len(other.labels()) == 0
    assert any("label 'mask' was added as files" in text for text in texts), texts
