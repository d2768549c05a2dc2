"""Files that resolve conflicts: what each subject takes, and refusals of other files."""

from __future__ import annotations

import json

import pytest
import shapely

from geographer.base.errors import NotFoundError, UsageError
from geographer.operations.merge.resolution_files import read_resolution
from geographer.planning.merge_conflicts import Conflict, NumberedConflict

OURS = '{"class":"pond","geometry":{"crs":"EPSG:32633","wkb":"00"},"id_is_integer":false,"properties.depth":1}'
POINT = {"type": "Point", "coordinates": [15.0, 47.0]}


def make_item(subject, column=None, ours=OURS):
    return NumberedConflict("7", Conflict(subject, "x", column, None, ours, None))


def read_text(tmp_path, text, item, name="value"):
    path = tmp_path / name
    path.write_text(text)
    value = read_resolution(str(path), item)
    return None if value is None else json.loads(value)


def test_feature_keeps_columns_that_file_lacks(tmp_path):
    feature = {"type": "Feature", "properties": {"id": "x", "class": "reed", "note": "a"}, "geometry": POINT}
    text = json.dumps({"type": "FeatureCollection", "features": [feature]})
    value = read_text(tmp_path, text, make_item("feature"))
    geometry = {"crs": "EPSG:4326", "wkb": shapely.to_wkb(shapely.Point(15, 47), byte_order=1).hex()}
    expected = {"class": "reed", "geometry": geometry, "id_is_integer": False, "properties.depth": 1}
    assert value == {**expected, "properties.note": "a"}
    assert read_text(tmp_path, text, make_item("feature", "geometry")) == geometry
    assert read_text(tmp_path, "null", make_item("feature")) is None


def test_other_values_are_json_and_parts_csv(tmp_path):
    assert read_text(tmp_path, "2.5", make_item("feature", "properties.depth")) == 2.5
    assert read_text(tmp_path, "3", make_item("class")) == {"value": 3}
    recipe = {"kind": "cut grid", "parameters": {"size": [8, 8, "px"]}}
    assert read_text(tmp_path, json.dumps(recipe), make_item("recipe")) == recipe
    parts = "raster_id,part\nchips/a,train\nchips/b,\n"
    assert read_text(tmp_path, parts, make_item("split")) == {"chips/a": "train", "chips/b": None}


@pytest.mark.parametrize(
    ("item", "text", "message"),
    [
        (make_item("raster"), "{}", "no file can resolve"),
        (make_item("raster", "file"), "{}", "no file can resolve"),
        (make_item("tag"), "{}", "no file can resolve"),
        (make_item("feature", "class"), "{", "is not JSON"),
        (make_item("feature"), "[]", "not GeoJSON with one feature"),
        (make_item("feature"), '{"type": "FeatureCollection", "features": []}', "not GeoJSON with one feature"),
        (make_item("feature"), '{"type": "Feature", "geometry": {"type": "Point"}}', "no valid geometry"),
        (make_item("feature"), '{"type": "Feature", "geometry": null}', "no valid geometry"),
        (make_item("recipe"), '{"kind": "cut grid"}', "is not a recipe"),
        (make_item("split"), "raster\nx\n", "columns raster_id and part"),
    ],
)
def test_unusable_files_are_refused(tmp_path, item, text, message):
    with pytest.raises(UsageError, match=message):
        read_text(tmp_path, text, item)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="no such file"):
        read_resolution(str(tmp_path / "absent.json"), make_item("class", "value"))
