"""Contact sheets: which chips, which labels, their captions, and what is said of the rest."""

from __future__ import annotations

import base64
import io
import re
import shutil
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from tests.sample_history import SampleHistory, delete_object


def list_rasters(plot) -> list[str]:
    return [row[0] for row in plot.table.rows]


def test_samples_are_shown_with_captions(history: Dataset) -> None:
    plot = history.plot.chips(split="parts")
    samples = {row["raster_id"]: row["part"] for row in history.samples(split="parts").to_pylist()}
    assert {row[0]: row[1] for row in plot.table.rows} == samples
    order = [samples[raster_id] for raster_id in list_rasters(plot)]
    assert order == sorted(order, key=["train", "test"].index)
    texts = [*ElementTree.fromstring(plot.to_svg()).itertext()]
    assert all(raster_id in texts for raster_id in samples)


def test_choice_among_many_depends_on_ids_alone(history: Dataset) -> None:
    everything = history.plot.chips(collection="grid", split=None)
    few = history.plot.chips(collection="grid", limit=5)
    assert len(list_rasters(few)) == 5
    assert {*list_rasters(few)} <= {*list_rasters(everything)}
    assert list_rasters(few) == list_rasters(history.plot.chips(collection="grid", limit=5, columns=2))
    assert any("are left out" in note for note in few.notes)


def test_named_rasters_come_in_their_order(history: Dataset) -> None:
    plot = history.plot.chips(["a", "around/a_p2"], columns=1, bands=1, stretch=(10, 90))
    assert list_rasters(plot) == ["a", "around/a_p2"]
    assert history.plot.chips("a").table.rows[0][0] == "a"


def test_images_in_the_svg_are_those_of_the_chips(history: Dataset) -> None:
    svg = history.plot.chips(["around/a_p2"], labels=[]).to_svg()
    (content,) = re.findall(r"data:image/png;base64,\s*([A-Za-z0-9+/=\s]+)", svg)
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        shown = np.asarray(image.convert("L")).astype(int)
    with history.open_raster("around/a_p2") as raster:
        pixels = raster.read(1).astype(int)
    nearest = shown[np.ix_(*(((np.arange(16) + 0.5) * side / 16).astype(int) for side in shown.shape))]
    assert np.abs(nearest - pixels).max() <= 1 or np.abs(nearest[::-1] - pixels).max() <= 1


def test_images_without_labels_have_outlines(history: Dataset) -> None:
    plot = history.plot.chips(["a"])
    edges = history.edges(where="raster_id = 'a'").to_pylist()
    assert f"with the outlines of {len(edges)} features" in plot.alt
    texts = [*ElementTree.fromstring(plot.to_svg()).itertext()]
    assert {"p2", "q1"} <= {*texts}
    assert plot.table.rows[0][3] == "pond, quarry, water"
    without = history.plot.chips(["a"], labels=[])
    assert "outlines" not in without.alt
    assert "p1" not in [*ElementTree.fromstring(without.to_svg()).itertext()]
    assert "outlines" not in history.plot.chips(["around/a_p2"]).alt


def test_missing_pixels_take_a_text(sample_history: SampleHistory, tmp_path) -> None:
    root = shutil.copytree(sample_history.at_v1, tmp_path / "dataset")
    dataset = Dataset.open(root)
    (chip, path) = next((row["raster_id"], row["path"]) for row in dataset.samples().to_pylist())
    delete_object(root, dataset.rasters(where=f"raster_id = '{chip}'")["path"].to_pylist()[0], 8)
    (root / path).unlink()
    plot = dataset.plot.chips(fetch=False)
    problems = {row[0]: row[5] for row in plot.table.rows}
    assert "not on this machine" in problems[chip]
    assert sum(problem is not None for problem in problems.values()) == 1
    assert "1 picture could not be read" in plot.notes[-1]
    assert plot.to_png(40)
    labels = dataset.labels()["path"].to_pylist()
    for path in labels:
        delete_object(root, path, 8)
        (root / path).unlink()
    plot = dataset.plot.classes()
    assert plot.notes == (f"The pixels of {len(labels)} masks are not on this machine.",)
    assert not any("pixels" in name for name in plot.table.columns)
    assert plot.to_png(40)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"limit": 0}, UsageError, "invalid limit 0"),
        ({"columns": 99}, UsageError, "invalid number of columns 99"),
        ({"raster": []}, UsageError, "no raster is named"),
        ({"raster": "none"}, NotFoundError, "no raster 'none'"),
        ({"split": "parts", "subset": "none"}, NotFoundError, "no part 'none'"),
        ({"split": "parts", "class_": "none"}, NotFoundError, "no class 'none'"),
        ({"split": "parts", "class_": "quay"}, NotFoundError, "no sample shows these classes"),
        ({"split": "parts", "labels": "none"}, NotFoundError, "no label 'none'"),
        ({"split": "parts", "bands": "7"}, UsageError, "has no band 7"),
        ({"split": "parts", "stretch": "9"}, UsageError, "invalid --stretch"),
    ],
)
def test_wrong_arguments_are_refused(history: Dataset, values, error, message) -> None:
    with pytest.raises(error, match=message):
        history.plot.chips(**values)
