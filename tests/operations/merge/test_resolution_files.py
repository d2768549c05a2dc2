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
TYPES = {
    "feature": {"depth": "DOUBLE", "note": "VARCHAR", "count": "BIGINT", "wet": "BOOLEAN"},
    "raster": {"cloud": "DOUBLE"},
}


def make_item(subject, column=None, ours=OURS, object_id="x"):
    return NumberedConflict("7", Conflict(subject, object_id, column, None, ours, None))


def read_text(tmp_path, text, item, name="value"):
    path = tmp_path / name
    path.write_text(text)
    value = read_resolution(str(path), item, TYPES)
    return None if value is None else json.loads(value)


def write_feature(at=(15, 47), **properties):
    properties = {name.rstrip("_"): value for name, value in properties.items()}
    return json.dumps({"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": at}})


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
    assert read_text(tmp_path, "[1]", make_item("feature", "properties.note", '["a"]')) == [1]
    assert read_text(tmp_path, "null", make_item("feature", "properties.depth")) is None
    acquired = read_text(tmp_path, '"2024-05-01T10:00:00+02:00"', make_item("raster", "acquired"))
    assert acquired == "2024-05-01T08:00:00+00:00"
    text_type = make_item("user_column", "type", '"DOUBLE"', "feature/depth")
    assert read_text(tmp_path, '"VARCHAR"', text_type) == "VARCHAR"
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
        (make_item("recipe"), '{"kind": "cut grid"}', "takes a recipe: an object with its kind"),
        (make_item("recipe", "box one"), "{}", "box one of a recipe, which no file can resolve. Pass --take ours"),
        (make_item("raster", "collection"), '"b"', "collection of a raster, which no file.*geographer add rasters"),
        (make_item("removal"), "true", "whether recipes leave the raster out"),
        (make_item("split"), "raster\nx\n", "columns raster_id and part"),
        (make_item("split"), "", "no row with the columns raster_id and part"),
        (make_item("split"), "5", "no row with the columns raster_id and part"),
        (make_item("split"), "raster_id,part\n", "no row with the columns raster_id and part"),
        (make_item("split"), "raster_id,part\nx,a\nx,b\n", "several parts for raster 'x'"),
        (make_item("feature", "class"), "5", "has 5, but this conflict takes the name of a class"),
        (make_item("feature", "class"), "null", "has null, but this conflict takes the name of a class"),
        (make_item("feature", "id_is_integer"), "true", "takes true or false"),
        (make_item("feature", "properties.depth"), '"deep"', "column 'depth' takes a number"),
        (make_item("feature", "properties.depth"), "true", "column 'depth' takes a number"),
        (make_item("feature", "properties.count"), "1.5", "column 'count' takes a whole number"),
        (make_item("feature", "properties.count"), "9223372036854775808", "column 'count' takes a whole number"),
        (make_item("feature", "properties.note", '"a"'), "5", "column 'note' takes a text"),
        (make_item("feature", "properties.absent"), "5", "'absent', which is no user column"),
        (make_item("raster", "properties.depth"), "5", "'depth', which is no user column"),
        (make_item("raster", "acquired"), '"yesterday"', "takes a time as ISO 8601"),
        (make_item("class", "value"), "-1", "takes a whole number from 0"),
        (make_item("class"), "true", "takes a whole number from 0"),
        (
            make_item("user_column", "type", '"DOUBLE"', "feature/depth"),
            '"BIGINT"',
            "'depth' can have the type 'DOUBLE'",
        ),
        (make_item("feature"), write_feature(class_=5), "takes the name of a class"),
        (make_item("feature"), write_feature(note=[1]), "column 'note' takes a text"),
        (make_item("feature"), write_feature(id="y"), "has the feature 'y', but the conflict is of feature 'x'"),
        (make_item("feature", "geometry"), write_feature(at=(1500, 910)), "out of range.*EPSG:4326"),
    ],
)
def test_unusable_files_are_refused(tmp_path, item, text, message):
    with pytest.raises(UsageError, match=message):
        read_text(tmp_path, text, item)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="no such file"):
        read_resolution(str(tmp_path / "absent.json"), make_item("class", "value"), TYPES)
