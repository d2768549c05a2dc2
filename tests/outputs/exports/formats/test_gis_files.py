"""GeoPackage and KML as geopandas reads them."""

from __future__ import annotations

import geopandas
import numpy as np
import shapely

from tests.outputs.exports.chip_dataset import CRS, read_file, run_usage


def read_layer(path, layer=None):
    return geopandas.read_file(path, layer=layer)


def test_geopackage_has_samples_and_exact_features(chips, chip_samples, tmp_path):
    chips.export_samples("geopackage", tmp_path / "export", subset="train", record=False)
    samples = read_layer(tmp_path / "export/samples.gpkg", "samples").set_index("raster_id")
    expected = {id: sample for id, sample in chip_samples.items() if sample.row["part"] == "train"}
    assert {*samples.index} == expected.keys()
    for id, sample in expected.items():
        assert np.array_equal(read_file(tmp_path / "export" / samples.loc[id, "image"]), sample.pixels)
        assert np.array_equal(read_file(tmp_path / "export" / samples.loc[id, "label_mask"]), sample.labels["mask"])
        assert samples.loc[id].geometry.equals(shapely.from_wkb(sample.row["footprint"]))
    features = read_layer(tmp_path / "export/samples.gpkg", "features").set_index("feature_id")
    recorded = geopandas.read_file(chips.root.parent / "features.geojson").set_index("id")
    edges = chips.edges().to_pylist()
    assert {*features.index} == {edge["feature_id"] for edge in edges if edge["raster_id"] in expected}
    assert features.crs == CRS
    assert len(run_usage("geopackage", tmp_path / "export")["features"]) == len(features)
    for id in features.index:
        assert features.loc[id].geometry.equals(recorded.loc[id].geometry)
        assert features.loc[id, "class"] == recorded.loc[id, "class"]


def test_kml_has_outlines_and_features(chips, chip_samples, tmp_path):
    chips.export_samples("kml", tmp_path / "export", record=False)
    samples = read_layer(tmp_path / "export/samples.kml").set_index("Name")
    assert {*samples.index} == chip_samples.keys()
    for id, sample in chip_samples.items():
        footprint = shapely.from_wkb(sample.row["footprint"])
        assert shapely.hausdorff_distance(shapely.force_2d(samples.loc[id].geometry), footprint) < 1e-12
        assert (samples.loc[id, "part"], samples.loc[id, "description"]) == (sample.row["part"],) * 2
    features = read_layer(tmp_path / "export/features.kml").set_index("feature_id")
    lonlat = geopandas.read_file(chips.root.parent / "features.geojson").set_crs(CRS, allow_override=True).to_crs(4326)
    for id, geometry in zip(lonlat["id"], lonlat.geometry, strict=True):
        assert shapely.hausdorff_distance(shapely.force_2d(features.loc[id].geometry), geometry) < 1e-9
