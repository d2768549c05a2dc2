"""Splits for a prediction area: boxes, WKT and files; the folds, the match that is reported, later rasters."""

import json
import shutil
from typing import Any

import pytest

from geographer import Dataset
from geographer.base.errors import NotFoundError, UsageError
from geographer.operations.split.area import parse_area, sample_places

BOX = "14.9,46.9,15.1,47.0"
OPTIONS: dict[str, Any] = {"collection": "grid", "folds": 3, "by": "object"}


@pytest.fixture
def dataset(sample_history, tmp_path):
    return Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path / "dataset"))


def read_parts(dataset, split):
    return {row["raster_id"]: row["part"] for row in dataset.splits(split=split).to_pylist()}


def test_folds_for_an_area_report_their_match(dataset, tmp_path):
    result = dataset.split("cv", area=BOX, **OPTIONS)
    match = result.summary["area_match"]
    assert 0 <= match["distance"] <= match["random_distance"]
    assert set(read_parts(dataset, "cv").values()) == {"fold1", "fold2", "fold3"}
    ring = [[14.9, 46.9], [15.1, 46.9], [15.1, 47.0], [14.9, 47.0], [14.9, 46.9]]
    feature = {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [ring]}}
    path = tmp_path / "area.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    assert dataset.split("again", area=path, **OPTIONS).summary["area_match"] == match
    path.unlink()
    assert not any(run.changed for run in dataset.update())


def test_area_needs_folds_and_extent(dataset):
    cases: list[tuple[dict[str, Any], str]] = [
        ({"area": BOX, "parts": {"a": 0.7, "b": 0.3}, "folds": None}, "makes folds"),
        ({"area": "15,46,14,47"}, "invalid --for"),
        ({"area": "POLYGON ((0 0, 1 1, 0 0))"}, "--for"),
        ({"area": "POLYGON ((500000 0, 600000 0, 600000 100000, 500000 0))"}, "not in degrees"),
        ({"area": BOX, "folds": 40}, "need as many components"),
        ({"parts": {"a": 0.5, "b": 0.5}}, "either parts or folds"),
    ]
    for arguments, message in cases:
        with pytest.raises(UsageError, match=message):
            dataset.split("cv", **{**OPTIONS, **arguments})
    with pytest.raises(NotFoundError, match=r"no file 'nowhere\.gpkg'"):
        dataset.split("cv", area="nowhere.gpkg", **OPTIONS)
    assert len(dataset.log()) == 9


def test_folds_without_area_have_equal_sizes(dataset):
    dataset.split("cv", collection="grid", folds=2, by="object")
    assert sorted(read_parts(dataset, "cv").values()) == ["fold1"] * 4 + ["fold2"] * 4


def test_places_lie_in_the_area():
    area = parse_area("170,-10,190,10")
    places = sample_places(area, 0)
    assert len(places) == 2000
    assert (abs(places[:, 0] - 180) <= 10).all()
    assert (abs(places[:, 1]) <= 10).all()
