"""Rasters that show a part of the globe only, unusual nodata values, and metadata in sidecar files."""

from __future__ import annotations

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from rasterio.shutil import copy as copy_raster

from geographer.base.errors import UsageError
from geographer.storage.state.update import rebuild_state

GOES = "+proj=geos +lon_0=-75 +h=35786023 +ellps=GRS80 +units=m +sweep=x +no_defs"
SPHERE = "+proj=geos +lon_0=-75 +h=35786023 +R=6378137 +units=m +no_defs"
"""PROJ gives places on the far side of a sphere coordinates in this CRS, which are those of places on the near side."""
SIDE = 5_434_894
UTM = "EPSG:32633"
PAM = """<PAMDataset><PAMRasterBand band='1'><Description>heat</Description><UnitType>K</UnitType><Offset>273.15</Offset>
<Scale>0.1</Scale><ColorInterp>Palette</ColorInterp><ColorTable><Entry c1='9' c2='8' c3='7' c4='255'/>
<Entry c1='1' c2='2' c3='3' c4='255'/><Entry c1='4' c2='5' c3='6' c4='255'/></ColorTable>
<Metadata><MDI key='wavelength'>10.8</MDI></Metadata></PAMRasterBand></PAMDataset>"""
COLORS = [(9, 8, 7, 255), (1, 2, 3, 255), (4, 5, 6, 255)]
EMBEDDED = ((0.1,), (273.15,), ("K",), ("heat",), COLORS, {"wavelength": "10.8"})


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


WIDE = {"lowest": ("int64", -(2**63)), "highest": ("int64", 2**63 - 1), "unsigned": ("uint64", 2**64 - 1)}
WIDE |= {"odd": ("int64", -(2**53) - 1), "even": ("uint64", 2**60)}
INFINITE = {"inf": ("float32", np.inf), "minus": ("float64", -np.inf)}


def write_with_nodata(path, dtype, nodata):
    """Write a raster of which the first 100 pixels have a nodata value, and the next one the number beside it."""
    pixels = np.arange(400, dtype=dtype).reshape(20, 20)
    pixels[:5] = nodata
    pixels[5, 0] = nodata if nodata in (np.inf, -np.inf) else nodata + 1 if nodata < 0 else nodata - 1
    plain = write_tif(path.with_suffix(".plain"), dtype)
    with rasterio.open(plain, "r+") as file:
        file.write(pixels, 1)
    vrt = path.with_suffix(".vrt")
    copy_raster(plain, vrt, driver="VRT")
    vrt.write_text(vrt.read_text().replace("<ColorInterp>", f"<NoDataValue>{nodata}</NoDataValue><ColorInterp>"))
    copy_raster(vrt, path, driver="GTiff")
    vrt.unlink()
    return pixels


def read_nodata_text(path):
    copy_raster(path, path.with_suffix(".vrt"), driver="VRT")
    text = path.with_suffix(".vrt").read_text()
    path.with_suffix(".vrt").unlink()
    return text.partition("<NoDataValue>")[2].partition("<")[0]


def test_unusual_nodata_is_kept_exactly(dataset, tmp_path):
    """64-bit integers and infinity: in the log, and in the pixels, masks, padding and nodata values of chips."""
    values = WIDE | INFINITE
    (tmp_path / "in").mkdir()
    pixels = {name: write_with_nodata(tmp_path / "in" / f"{name}.tif", *values[name]) for name in values}
    dataset.add_rasters(tmp_path / "in")
    with dataset._unit_of_work.database.open_connection(log="r") as connection:
        recorded = dict(connection.execute("SELECT raster_id, nodata FROM log.raster_change").fetchall())
    assert recorded == {name: str(nodata) for name, (_, nodata) in values.items()}
    dataset.cut_grid("tiles", size=16, edge="pad")
    for name, (dtype, nodata) in values.items():
        padded = np.full((32, 32), nodata, dtype)
        padded[:20, :20] = pixels[name]
        for row, column in ((0, 0), (1, 1)):
            path = dataset.root / f"rasters/tiles/{name}_c{16 * column}_r{16 * row}.tif"
            with rasterio.open(path) as chip:
                window = padded[16 * row :, 16 * column :][:16, :16]
                np.testing.assert_array_equal(chip.read(1), window)
                np.testing.assert_array_equal(chip.dataset_mask() == 0, window == np.array(nodata, dtype))
            assert read_nodata_text(path) == read_nodata_text(tmp_path / "in" / f"{name}.tif")
    assert dataset.verify() == []


def test_pixels_masked_by_tag_stay_masked(dataset, tmp_path):
    path = write_tif(tmp_path / "r.tif", bands=3)
    with rasterio.open(path, "r+") as file:
        file.update_tags(NODATA_VALUES="1 151 51")
    dataset.add_rasters(path)
    dataset.cut_grid("tiles", size=20)
    dataset.cut_grid("green", size=20, bands=[2])
    for name in ("tiles", "green"):
        with rasterio.open(dataset.root / f"rasters/{name}/r_c0_r0.tif") as chip:
            assert np.argwhere(chip.dataset_mask() == 0).tolist() == [[0, 1], [12, 11]]
            assert "NODATA_VALUES" not in chip.tags()


def read_band_metadata(path):
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="EMPTY_DIR"), rasterio.open(path) as file:
        colors = [file.colormap(1)[value] for value in (0, 1, 2)]
        return file.scales, file.offsets, file.units, file.descriptions, colors, file.tags(1)


@pytest.mark.parametrize("mode", ["copy", "link"])
def test_metadata_in_sidecar_file_is_kept(dataset, tmp_path, mode):
    path = write_tif(tmp_path / "heat.tif", nodata=7, compress="lzw", tiled=True, blockxsize=16, blockysize=16)
    with rasterio.open(path, "r+") as file:
        file.update_tags(scene="X1")
        file.build_overviews([2])
    content = path.read_bytes()
    (tmp_path / "heat.tif.aux.xml").write_text(PAM)
    result = dataset.add_rasters(path, mode=mode)
    assert [warning for warning in result.logged_warnings if "written into the stored copies of 'heat.tif'" in warning]
    stored = dataset.root / "rasters/source/heat.tif"
    dataset.cut_grid("tiles", size=10)
    for file in (stored, dataset.root / "rasters/tiles/heat_c0_r0.tif"):
        assert read_band_metadata(file) == EMBEDDED
    with rasterio.open(stored) as copy, rasterio.open(path) as source:
        np.testing.assert_array_equal(copy.read(), source.read())
        assert (copy.nodata, copy.crs, copy.transform) == (7, source.crs, source.transform)
        assert (copy.overviews(1), copy.tags()["scene"]) == ([2], "X1")
    assert (path.read_bytes(), dataset.verify()) == (content, [])
    assert not dataset.add_rasters(path, mode=mode, replace=True).changed
    (tmp_path / "heat.tif.aux.xml").write_text(PAM.replace("0.1", "0.2"))
    assert dataset.add_rasters(path, mode=mode, replace=True).changed


@pytest.mark.parametrize("name", ["r.png", "r.tif"])
def test_sidecar_file_that_cannot_be_embedded_is_refused(unchanged_dataset, tmp_path, name):
    """A PNG, and a GeoTIFF whose CRS is in the sidecar, too."""
    path = tmp_path / f"sidecar_{name}"
    if name == "r.png":
        copy_raster(write_tif(tmp_path / "r.tif"), path, driver="PNG", worldfile="yes")
        message = "the scales .*sidecar_r.png' are in files beside it"
    else:
        write_tif(path, crs=None)
        message = "raster .*sidecar_r.tif' depends on other files"
    path.with_name(f"{path.name}.aux.xml").write_text(PAM.replace("<PAMR", f"<SRS>{UTM}</SRS><PAMR", 1))
    with pytest.raises(UsageError, match=message):
        unchanged_dataset.add_rasters(path)
