"""Classes, splits and the timeline: their numbers, against the tables of the dataset and the pixels of masks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import UsageError


def test_classes_count_features_and_pixels_by_subset(history: Dataset) -> None:
    table = history.plot.classes(split="parts").table
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    parts = {row["raster_id"]: row["part"] for row in history.splits().to_pylist()}
    values = {row["value"]: row["class"] for row in history.classes().to_pylist()}
    pixels: Counter[tuple[str, str]] = Counter()
    for row in history.labels(where="label = 'mask'").to_pylist():
        if parts.get(row["raster_id"]) is not None:
            with rasterio.open(history.root / row["path"]) as raster:
                for value, number in zip(*np.unique(raster.read(1), return_counts=True), strict=True):
                    pixels[values[int(value)], parts[row["raster_id"]]] += int(number)
    classes = {row["feature_id"]: row["class"] for row in history.features().to_pylist()}
    shown = {
        (classes[row["feature_id"]], parts[row["raster_id"]], row["feature_id"])
        for row in history.edges().to_pylist()
        if parts.get(row["raster_id"]) is not None
    }
    features = Counter((name, part) for name, part, _ in shown)
    for name, row in rows.items():
        assert row["all features"] == sum(own == name for own in classes.values())
        for part in ("train", "test"):
            assert row[f"pixels in label 'mask': {part}"] == pixels[name, part]
            assert row[f"features on the samples of split 'parts': {part}"] == features[name, part]


def test_classes_without_pixels_or_with_another_label(history: Dataset) -> None:
    plot = history.plot.classes(split="parts", pixels=False)
    assert not any("pixels" in column for column in plot.table.columns)
    plot = history.plot.classes(collection="cover", label="bounds")
    assert plot.notes == ("The samples have no mask.",)


def test_many_classes_are_summed(hostile: Dataset) -> None:
    plot = hostile.plot.classes()
    assert len(plot.table.rows) == 100
    assert "75 other classes" in plot.to_svg()


def test_split_has_sizes_shares_and_components(history: Dataset) -> None:
    plot = history.plot.splits("parts")
    sizes = Counter(row["part"] for row in history.splits().to_pylist())
    rows = {(of, part): (number, share, wanted) for of, part, number, share, wanted in plot.table.rows}
    total = sizes["train"] + sizes["test"]
    for part in ("train", "test"):
        assert rows["rasters", part] == (sizes[part], sizes[part] / total, 0.5)
    components = {row["component"] for row in history.samples(split="parts").to_pylist()}
    assert "component" in plot.alt
    assert len(components) <= int(plot.alt.split(" component")[0].split()[-1])


def test_several_splits_need_a_name(sample_history, tmp_path) -> None:
    import shutil

    dataset = Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path / "dataset"))
    dataset.split("other", collection="grid", parts={"left": 0.5, "right": 0.5})
    with pytest.raises(UsageError, match="several splits: 'other', 'parts'"):
        dataset.plot.splits()
    plot = dataset.plot.splits("other")
    assert {row[1] for row in plot.table.rows} >= {"left", "right"}
    assert plot.to_png(40)


@pytest.mark.parametrize("by", ["event", "time"])
def test_timeline_counts_objects_after_each_event(history: Dataset, by) -> None:
    plot = history.plot.timeline(by=by)
    events = history.log()
    assert [row[:2] for row in plot.table.rows] == [(f"@{event.position}", event.kind) for event in events]
    for position in ("v1", "HEAD"):
        at = history.show(position).position
        rasters = history.rasters(position).to_pylist()
        chips = len(history.chips(position))
        expected = (len(history.features(position)), len(rasters) - chips, chips)
        assert plot.table.rows[at - 1][3:] == expected
    svg = plot.to_svg()
    assert ">v1<" in svg
    assert ">v2<" in svg


def test_timeline_of_very_many_events_is_binned() -> None:
    from geographer.outputs.plots.timeline_plot import _bin_counts, _bin_kinds

    places = np.arange(100_000, dtype=float)
    kinds = np.array([f"kind {number % 20}" for number in range(100_000)], object)
    binned = _bin_kinds(kinds, places)
    assert len(binned) == 13
    assert sum(int(counts.sum()) for _, counts in binned.values()) == 100_000
    assert max(len(x) for x, _ in binned.values()) <= 400
    x, values = _bin_counts(places, np.arange(100_000))
    assert len(x) == 400
    assert values[-1] == 99_999
