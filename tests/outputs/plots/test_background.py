"""The raster under a map: where its pixels are drawn, what the map then shows, and rasters that cannot be drawn."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest
from PIL import Image

from geographer import Dataset
from geographer.base.errors import NotFoundError, StorageError, UsageError
from geographer.outputs.plots.map_content import MapFilter, read_map
from tests.sample_history import SampleHistory, delete_object


def read_extent(dataset: Dataset, **values):
    with dataset._unit_of_work.open_revision(None) as revision:
        return read_map(revision, MapFilter(area="a", **values)).extent


def test_map_shows_the_raster_and_what_meets_it(history: Dataset) -> None:
    plot = history.plot.map(background="around/a_p2")
    edges = history.edges(where="raster_id = 'around/a_p2'").to_pylist()
    features = [row for row in plot.table.rows if row[0] == "features"]
    assert sum(row[2] for row in features) >= len(edges) > 0
    assert sum(row[2] for row in features) < len(history.features())
    assert "on raster 'around/a_p2'" in plot.alt
    assert "left out" in plot.notes[0]
    whole, part = read_extent(history), read_extent(history, classes=["quarry"])
    assert whole.west < part.west < part.east < whole.east


def test_pixels_are_drawn_and_stretched(history: Dataset) -> None:
    plot = history.plot.map(background="a", class_="quay", bands="1", stretch="none")
    assert plot.to_png(40) == history.plot.map(background="a", class_="quay", bands=1, stretch="none").to_png(40)
    with Image.open(io.BytesIO(history.plot.map(background="a", class_="quay", bands=1).to_png(60))) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    is_grey = (np.ptp(pixels, axis=2) < 3) & (pixels[..., 0] > 40) & (pixels[..., 0] < 210)
    assert is_grey.mean() > 0.2
    assert "layer:image-0" in plot.to_html()


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"background": "none"}, NotFoundError, "no raster 'none'"),
        ({"background": "a", "bands": "9"}, UsageError, "has no band 9"),
        ({"background": "a", "bands": "1,2"}, UsageError, "invalid --bands"),
        ({"background": "a", "stretch": "9"}, UsageError, "invalid --stretch"),
        ({"bands": "1"}, UsageError, "Name a raster with --background"),
        ({"background": 3}, UsageError, "invalid background"),
    ],
)
def test_wrong_backgrounds_are_refused(history: Dataset, values, error, message) -> None:
    with pytest.raises(error, match=message):
        history.plot.map(**values)


def test_rasters_without_pixels_are_refused(sample_history: SampleHistory, tmp_path) -> None:
    root = shutil.copytree(sample_history.at_v1, tmp_path / "dataset")
    dataset = Dataset.open(root)
    (footprint, *_) = dataset.rasters(where="collection = 'catalogue'")["raster_id"].to_pylist()
    with pytest.raises(UsageError, match="a footprint in a catalogue, without pixels"):
        dataset.plot.map(background=footprint)
    (path,) = dataset.rasters(where="raster_id = 'a'")["path"].to_pylist()
    delete_object(root, path, 8)
    (root / path).unlink()
    with pytest.raises(StorageError):
        dataset.plot.map(background="a")
