"""Rasters that show a part of the globe only, and metadata of rasters that chips cannot keep."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from geographer.base.errors import UsageError
from geographer.storage.state.update import rebuild_state

GOES = "+proj=geos +lon_0=-75 +h=35786023 +ellps=GRS80 +units=m +sweep=x +no_defs"
SPHERE = "+proj=geos +lon_0=-75 +h=35786023 +R=6378137 +units=m +no_defs"
"""PROJ gives places on the far side of a sphere coordinates in this CRS, which are those of places on the near side."""
SIDE = 5_434_894
UTM = "EPSG:32633"
PAM = "<PAMDataset><PAMRasterBand band='1'><Offset>273.15</Offset><Scale>0.1</Scale></PAMRasterBand></PAMDataset>"


def write_tif(path, dtype="uint8", crs=UTM, left=500_000, top=5_000_000, size=10.0, bands=1, **profile):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (np.arange(bands * 400) % 250).reshape(bands, 20, 20).astype(dtype)
    options = {"width": 20, "height": 20, "count": bands, "dtype": dtype, "crs": crs, **profile}
    with rasterio.open(
        path, "w", driver="GTiff", transform=rasterio.Affine(size, 0, left, 0, -size, top), **options
    ) as file:
        file.write(pixels)
    return path


def read_relations(dataset):
    return {(row["feature_id"], row["raster_id"]): row["relation"] for row in dataset.edges().to_pylist()}


@pytest.mark.parametrize("crs", [GOES, SPHERE])
def test_satellite_view_shows_near_side_only(dataset, tmp_path, crs):
    """The whole disk, its north-east quarter, and a corner beside the globe."""
    places = {
        "florida": shapely.Point(-81, 28).buffer(1),
        "germany": shapely.Point(10, 50).buffer(1),
        "far side": shapely.Point(105, -5),
        "limb": shapely.box(-5, 5, 30, 20),
    }
    dataset.add_features(geopandas.GeoDataFrame({"id": [*places]}, geometry=[*places.values()], crs="EPSG:4326"))
    dataset.add_rasters(
        [
            write_tif(tmp_path / "disk.tif", crs=crs, left=-SIDE, top=SIDE, size=SIDE / 10),
            write_tif(tmp_path / "quarter.tif", crs=crs, left=0, top=SIDE, size=SIDE / 20),
            write_tif(tmp_path / "corner.tif", crs=crs, left=-SIDE, top=SIDE, size=SIDE / 200),
        ]
    )
    expected = {("florida", "disk"): "contains", ("limb", "disk"): "intersects", ("limb", "quarter"): "intersects"}
    assert read_relations(dataset) == expected
    footprints = {row["raster_id"]: shapely.from_wkb(row["footprint"]) for row in dataset.rasters().to_pylist()}
    assert footprints["corner"].is_empty
    assert footprints["disk"].bounds == pytest.approx((-156.3, -81.3, 6.3, 81.3), abs=0.1)
    assert footprints["quarter"].bounds == pytest.approx((-75, 0, 6.3, 81.3), abs=0.1)
    dataset.cut_grid("tiles", size=10, cells="with-features")
    dataset.label_boxes("boxes", collection="tiles")
    rebuild_state(dataset._unit_of_work.database)
    assert {pair: relation for pair, relation in read_relations(dataset).items() if pair in expected} == expected


def test_hidden_files_are_passed_over(dataset, tmp_path):
    folder = tmp_path / "delivery"
    write_tif(folder / "scene.tif")
    for hidden in ("._scene.tif", "__MACOSX/scene.tif", ".git/other.tif"):
        (folder / hidden).parent.mkdir(exist_ok=True)
        (folder / hidden).write_bytes(b"\0\5\x16\7")
    dataset.add_rasters(folder)
    assert [row["raster_id"] for row in dataset.rasters().to_pylist()] == ["scene"]


@pytest.mark.parametrize(
    ("options", "tags", "message"),
    [
        ({"dtype": "int64", "nodata": -(2**63)}, {}, "the nodata value of raster .*r.tif.* is beyond 2.53"),
        ({"bands": 3}, {"NODATA_VALUES": "1 2 3"}, "raster .*r.tif.* by the tag NODATA_VALUES"),
        ({"dtype": "float32", "nodata": np.inf}, {}, "nodata value of raster .*r.tif.* is not finite"),
    ],
)
def test_nodata_that_chips_cannot_keep_is_refused(unchanged_dataset, tmp_path, options, tags, message):
    path = write_tif(tmp_path / "r.tif", **options)
    with rasterio.open(path, "r+") as file:
        file.update_tags(**tags)
    with pytest.raises(UsageError, match=message):
        unchanged_dataset.add_rasters(path)


@pytest.mark.parametrize("mode", ["copy", "link"])
def test_scale_in_sidecar_file_is_refused(unchanged_dataset, tmp_path, mode):
    path = write_tif(tmp_path / "r.tif")
    (tmp_path / "r.tif.aux.xml").write_text(PAM)
    with pytest.raises(UsageError, match=r"the scales and offsets of raster .*r.tif' are in 'r.tif.aux.xml'"):
        unchanged_dataset.add_rasters(path, mode=mode)
