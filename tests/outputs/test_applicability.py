"""Areas of applicability: the map is that of distances between all samples and pixels, whatever blocks are read."""

import shutil

import numpy as np
import pytest
import rasterio

from geographer import Dataset
from geographer.algorithms.applicability import train_space
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.rasters import covariates
from tests.sample_history import NORTH, PIXEL, WEST
from tests.sample_rasters import write_scene

TRANSFORM = (PIXEL, 0.0, WEST - PIXEL / 2, 0.0, -PIXEL, NORTH + PIXEL / 2)
"""Half a pixel away from the scenes, so that the middle of a chip of 32 pixels is that of a pixel."""


@pytest.fixture(scope="module")
def dataset(sample_history, tmp_path_factory):
    dataset = Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path_factory.mktemp("area") / "dataset"))
    dataset.split("cv", collection="grid", folds=3, by="object")
    return dataset


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    pixels = np.random.default_rng(1).normal(size=(2, 70, 130)).astype("float32")
    pixels[0, 5, 7] = -1
    return write_scene(tmp_path_factory.mktemp("scene") / "s2.tif", pixels, transform=TRANSFORM, nodata=-1)


def sample_chips(dataset, pixels):
    """Return the values in the middles of the chips, from the recorded windows, and their folds."""
    offset = {"a": 0, "b": 48}
    parts = {row["raster_id"]: row["part"] for row in dataset.splits(split="cv").to_pylist()}
    rows = [row for row in dataset.chips().to_pylist() if row["raster_id"] in parts]
    middles = [(row["row"] + 16, row["col"] + 16 + offset[row["parent_id"]]) for row in rows]
    return np.array([pixels[:, y, x] for y, x in middles]), np.array([parts[row["raster_id"]] for row in rows])


def compute_expected(samples, folds, pixels, weights):
    """Return the index of each pixel and the threshold, by all distances; outliers as a box plot has them."""
    values = pixels.reshape(len(pixels), -1).T
    deviation = samples.std(axis=0, ddof=1) / weights
    pairs = np.sqrt((((samples[:, None] - samples[None, :]) / deviation) ** 2).sum(axis=2))
    mean = pairs.sum() / (len(samples) * (len(samples) - 1))
    own = np.where(folds[:, None] == folds[None, :], np.inf, pairs).min(axis=1) / mean
    lower, upper = np.sort(own)[[1, 2]].mean(), np.sort(own)[[5, 6]].mean()  # the hinges of eight values
    threshold = own[own <= upper + 1.5 * (upper - lower)].max()
    index = np.sqrt((((values[:, None] - samples[None, :]) / deviation) ** 2).sum(axis=2)).min(axis=1) / mean
    return index.reshape(pixels.shape[1:]), threshold


@pytest.mark.parametrize("block", [512, 32])
def test_map_has_the_distances_of_all_pairs(dataset, scene, tmp_path, monkeypatch, block):
    monkeypatch.setattr(covariates, "BLOCK", block)
    result = dataset.map_applicability("cv", [scene], tmp_path / "map.tif", weights={"s2:2": 0.5})
    with rasterio.open(scene) as raster:
        pixels = raster.read().astype(float)
    samples, folds = sample_chips(dataset, pixels)
    index, threshold = compute_expected(samples, folds, pixels, np.array([1, 0.5]))
    index[5, 7] = np.nan
    with rasterio.open(tmp_path / "map.tif") as written:
        assert written.descriptions == ("dissimilarity index", "applicable")
        assert (written.crs.to_epsg(), written.transform[:6]) == (32633, TRANSFORM)
        found, is_inside = written.read()
    np.testing.assert_allclose(found, index, rtol=1e-5)
    np.testing.assert_array_equal(is_inside[np.isfinite(index)], (index <= threshold)[np.isfinite(index)])
    assert (result.samples, result.left_out, result.pixels) == (8, 0, 70 * 130 - 1)
    assert result.threshold == pytest.approx(threshold, abs=1e-6)


def test_covariates_come_to_the_grid_of_the_first(dataset, scene, tmp_path):
    coarse = np.arange(2 * 35 * 65, dtype="float32").reshape(2, 35, 65)
    other = write_scene(tmp_path / "dem.tif", coarse, transform=(20.0, 0.0, WEST, 0.0, -20.0, NORTH))
    result = dataset.map_applicability("cv", [f"{scene}:2", other], tmp_path / "map.tif")
    assert result.covariates == ["s2:2", "dem:1", "dem:2"]
    with rasterio.open(tmp_path / "map.tif") as written:
        assert written.shape == (70, 130)


def test_bad_input_writes_no_map(dataset, scene, tmp_path):
    flat = write_scene(tmp_path / "flat.tif", np.ones((1, 70, 130), "uint8"), transform=TRANSFORM)
    far = write_scene(tmp_path / "far.tif", np.ones((1, 9, 9), "uint8"), transform=(1.0, 0.0, 9.0, 0.0, -1.0, 9.0))
    for arguments, error, message in [
        (("no", [scene]), NotFoundError, "no split 'no'"),
        (("cv", ["nowhere.tif"]), NotFoundError, "nowhere"),
        (("cv", [f"{scene}:9"]), UsageError, "no band 9"),
        (("cv", [scene, scene]), UsageError, "named twice"),
        (("cv", [flat]), UsageError, "the same at all samples"),
        (("cv", [far]), UsageError, "0 samples"),
    ]:
        with pytest.raises(error, match=message):
            dataset.map_applicability(*arguments, tmp_path / "map.tif")
    for weights in ({"dem": 1}, {"s2:1": -1}, {"s2:1": 0, "s2:2": 0}):
        with pytest.raises(UsageError, match="weight"):
            dataset.map_applicability("cv", [scene], tmp_path / "map.tif", weights=weights)
    assert not (tmp_path / "map.tif").exists()
    content = scene.read_bytes()
    with pytest.raises(ConflictError, match="is a covariate"):
        dataset.map_applicability("cv", [scene], scene)
    assert scene.read_bytes() == content


def test_threshold_leaves_outliers_out():
    values = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])
    space = train_space(values, np.arange(5), np.ones(1))
    assert space.threshold == pytest.approx(space.indices[0])
    assert space.indices.max() > space.threshold
