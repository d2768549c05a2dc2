"""Rasters in: kept by copy, link or reference, described as rasterio, shapely and pyproj see them."""

from __future__ import annotations

import datetime
import hashlib
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pyproj
import pytest
import rasterio
import shapely
from rasterio.errors import NotGeoreferencedWarning

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError, NotFoundError, UsageError
from tests.sample_rasters import CUSTOM, NORTH_UP, SOUTH_UP, TURNED, at, pixels, write_scene

FACTS = ["raster_id", "collection", "crs", "width", "height", "md5", "sha256", "pixel_digest", "footprint", "acquired"]


def scene(path: Path, seed: int = 1, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_scene(path, pixels(1, 24, 32, seed=seed), **options)


def cached(dataset: Dataset, md5: str) -> Path:
    return dataset.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]


def skipped(dataset: Dataset) -> dict[str, str]:
    rows = dataset.sql("SELECT input, name, reason FROM log.skipped_input ORDER BY ordinal").to_pylist()
    assert {row["input"] for row in rows} <= {"rasters"}
    return {row["name"]: row["reason"] for row in rows}


def test_a_copy_is_the_same_bytes_and_leaves_the_file_alone(dataset, tmp_path):
    path = scene(tmp_path / "S2A_T33.tif")
    content, before = path.read_bytes(), path.stat()
    recorded = dataset.add_rasters(path)
    assert recorded.summary == {"collection": "source", "rasters": 1, "skipped": 0}
    [row] = dataset.rasters().to_pylist()
    assert (row["raster_id"], row["path"]) == ("S2A_T33", "rasters/source/S2A_T33.tif")
    assert (row["crs"], row["width"], row["height"], row["acquired"]) == ("EPSG:32633", 32, 24, None)
    assert row["md5"] == hashlib.md5(content).hexdigest()
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert (dataset.root / row["path"]).read_bytes() == cached(dataset, row["md5"]).read_bytes() == content
    assert path.read_bytes() == content
    after = path.stat()
    assert (after.st_mtime_ns, after.st_nlink, after.st_mode) == (before.st_mtime_ns, 1, before.st_mode)


def test_a_link_shares_the_cache_and_leaves_the_file_alone(dataset, tmp_path):
    path = scene(tmp_path / "a.tif")
    dataset.add_rasters(path, mode="link")
    [row] = dataset.rasters().to_pylist()
    shown = dataset.root / row["path"]
    assert shown.samefile(cached(dataset, row["md5"]))
    assert not shown.stat().st_mode & 0o222
    assert path.stat().st_nlink == 1
    assert not path.samefile(shown)
    assert os.access(path, os.W_OK)


def test_a_reference_stays_where_it_is(dataset, tmp_path):
    outside = scene(tmp_path / "archive" / "a.tif")
    inside = scene(dataset.root / "archive" / "b.tif", seed=2)
    dataset.add_rasters([outside, inside], mode="reference")
    rows = dataset.rasters()
    assert rows["path"].to_pylist() == [outside.resolve().as_posix(), "archive/b.tif"]
    assert not (dataset.root / "rasters").exists()
    assert not any(cached(dataset, md5).exists() for md5 in rows["md5"].to_pylist())
    assert dataset.verify() == []
    dataset.cut_grid("chips", size=16)
    assert len(dataset.chips()) == 8


def test_a_reference_that_is_relative_holds_wherever_it_is_read_from(dataset, tmp_path, monkeypatch):
    scene(tmp_path / "here" / "a.tif")
    monkeypatch.chdir(tmp_path / "here")
    dataset.add_rasters("a.tif", mode="reference")
    monkeypatch.chdir(tmp_path)
    assert dataset.verify() == []


def test_every_mode_records_the_same_facts(tmp_path, empty_dataset):
    path = scene(tmp_path / "a.tif")
    rows = []
    for mode in ("copy", "link", "reference"):
        dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / mode))
        dataset.add_rasters(path, mode=mode)
        rows.append(dataset.rasters().select(FACTS).to_pylist())
    assert rows[0] == rows[1] == rows[2]


def test_folders_are_searched_for_rasters_in_order(dataset, tmp_path):
    folder = tmp_path / "delivery"
    for name in ("z.tif", "deep/er/b.TIFF", "a.tif"):
        scene(folder / name, seed=len(name))
    (folder / "notes.txt").write_text("not a raster")
    lone = scene(tmp_path / "lone.tif", seed=9)
    dataset.add_rasters([lone, folder])
    assert dataset.rasters()["raster_id"].to_pylist() == ["lone", "a", "b", "z"]
    assert sorted(path.name for path in (dataset.root / "rasters" / "source").iterdir()) == [
        "a.tif",
        "b.TIFF",
        "lone.tif",
        "z.tif",
    ]


def test_a_folder_without_rasters_is_told(unmoved, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=f"no raster in folder '{tmp_path / 'empty'}'"):
        unmoved.add_rasters(tmp_path / "empty")
    with pytest.raises(NotFoundError, match=r"no such file: '.*nowhere\.tif'"):
        unmoved.add_rasters(tmp_path / "nowhere.tif")


def test_ids_are_the_stems_of_names_however_odd(dataset, tmp_path):
    names = ['o\'brien "ü".v2.tif', "S2A.2020-01-01.tiff", "no suffix", "100%.tif"]
    dataset.add_rasters([scene(tmp_path / name, seed=i) for i, name in enumerate(names)])
    ids = ['o\'brien "ü".v2', "S2A.2020-01-01", "no suffix", "100%"]
    assert dataset.rasters()["raster_id"].to_pylist() == ids
    assert dataset.rasters(raster=ids[0])["path"].to_pylist() == [f"rasters/source/{names[0]}"]
    assert dataset.verify() == []


def test_ids_that_stand_twice_or_are_taken_are_named(dataset, tmp_path):
    first = scene(tmp_path / "a.tif")
    with pytest.raises(ConflictError, match="'a' stand twice among the files"):
        dataset.add_rasters([first, scene(tmp_path / "other" / "a.tiff")])
    dataset.add_rasters(first)
    head = dataset.show().digest
    for collection in ("source", "elsewhere"):
        with pytest.raises(ConflictError, match="raster 'a': its id is in the dataset already; rename the file"):
            dataset.add_rasters([scene(tmp_path / "b.tif"), first], collection=collection)
    assert dataset.show().digest == head
    dataset.remove_rasters(["a"])
    assert not (dataset.root / "rasters" / "source").exists()
    dataset.add_rasters(first)
    assert dataset.rasters()["raster_id"].to_pylist() == ["a"]


def test_equal_files_under_two_names_are_two_rasters(dataset, tmp_path):
    first = scene(tmp_path / "a.tif")
    dataset.add_rasters([first, Path(shutil.copy(first, tmp_path / "b.tif"))])
    assert len(set(dataset.rasters()["md5"].to_pylist())) == 1
    assert dataset.verify() == []


def test_a_raster_joins_the_collection_that_is_named(dataset, tmp_path):
    dataset.add_rasters(scene(tmp_path / "a.tif"), collection="summer-2020")
    assert dataset.rasters(where="collection = 'summer-2020'")["path"].to_pylist() == ["rasters/summer-2020/a.tif"]


def test_a_name_that_is_no_folder_on_some_disk_can_t_be_a_collection(unmoved, tmp_path):
    path = scene(tmp_path / "a.tif")
    for name in ("a/b", "..", ".hidden", "", "so long" * 20, "a b"):
        with pytest.raises(UsageError, match="can't name a collection: use letters, digits"):
            unmoved.add_rasters(path, collection=name)


def test_a_recipe_keeps_its_collection_to_itself(dataset, tmp_path):
    dataset.add_rasters(scene(tmp_path / "a.tif"))
    dataset.cut_grid("chips", size=16)
    with pytest.raises(ConflictError, match="'chips' is the collection of a recipe's chips"):
        dataset.add_rasters(scene(tmp_path / "b.tif"), collection="chips")


def test_the_footprint_is_that_of_the_corners_whichever_way_the_grid_lies(dataset, tmp_path):
    grids = {
        f"{way}-{zone}": (transform, crs)
        for way, transform in (("north", NORTH_UP), ("south", SOUTH_UP), ("turned", TURNED))
        for zone, crs in (("utm", "EPSG:32633"), ("custom", CUSTOM), ("polar", "EPSG:3031"))
    }
    dataset.add_rasters([scene(tmp_path / f"{name}.tif", transform=t, crs=crs) for name, (t, crs) in grids.items()])
    footprints = dataset.rasters().to_geopandas().set_index("raster_id").geometry
    outlines = dataset.sql("SELECT raster_id, outline FROM log.raster_change").to_pylist()
    assert len(outlines) == len(grids)
    for row in outlines:
        transform, crs = grids[row["raster_id"]]
        corners = [at(transform, column, line) for column, line in ((0, 0), (32, 0), (32, 24), (0, 24))]
        assert shapely.from_wkb(row["outline"]).equals(shapely.Polygon(corners)), row["raster_id"]
        to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        expected = shapely.Polygon([to_degrees.transform(x, y) for x, y in corners])
        footprint = footprints[row["raster_id"]]
        assert footprint.is_valid
        assert footprint.symmetric_difference(expected).area < 1e-3 * expected.area, row["raster_id"]


def test_the_footprint_of_valid_pixels_leaves_collars_out(dataset, tmp_path):
    array = pixels(1, 24, 32)
    array[:, :, :8] = 0
    path = write_scene(tmp_path / "a.tif", array, nodata=0)
    dataset.add_rasters(path, footprint="valid")
    [outline] = dataset.sql("SELECT outline FROM log.raster_change")["outline"].to_pylist()
    left, top = at(NORTH_UP, 8, 0)
    right, bottom = at(NORTH_UP, 32, 24)
    assert shapely.from_wkb(outline).equals(shapely.box(left, bottom, right, top))


def test_the_time_of_acquisition_comes_from_the_tag(dataset, tmp_path):
    path = scene(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(SENSED="2020-02-29T12:00:00+02:00")
    with pytest.raises(UsageError, match=r"has no tag 'ACQUIRED': it has .*'SENSED'"):
        dataset.add_rasters(path, acquired="ACQUIRED")
    dataset.add_rasters(path, acquired="SENSED")
    assert dataset.rasters()["acquired"].to_pylist() == [datetime.datetime(2020, 2, 29, 10)]
    assert len(dataset.rasters(where="acquired < '2020-03-01'")) == 1


def test_a_crs_that_is_passed_stands_in_for_one_that_is_missing_or_wrong(dataset, tmp_path):
    dataset.add_rasters([scene(tmp_path / "bare.tif", crs=None), scene(tmp_path / "wrong.tif", 2)], crs="EPSG:32632")
    dataset.add_rasters(scene(tmp_path / "told.tif", crs="EPSG:32632"))
    rows = {row["raster_id"]: row for row in dataset.rasters().to_pylist()}
    assert {row["crs"] for row in rows.values()} == {"EPSG:32632"}
    assert rows["bare"]["footprint"] == rows["told"]["footprint"]
    assert rows["bare"]["pixel_digest"] == rows["told"]["pixel_digest"]
    dataset.cut_grid("chips", size=16)
    with rasterio.open(dataset.root / "rasters" / "chips" / "bare_c0_r0.tif") as chip:
        assert chip.crs == "EPSG:32632"
    assert dataset.verify() == []


def test_a_raster_that_is_more_than_one_file_is_refused_unless_it_stays(dataset, tmp_path):
    source = scene(tmp_path / "a.tif")
    array = pixels(1, 24, 32, "uint8")
    write_scene(tmp_path / "aside.png", array, driver="PNG", tiled=False)
    virtual = tmp_path / "virtual.vrt"
    virtual.write_text(
        "<VRTDataset rasterXSize='32' rasterYSize='24'><SRS>EPSG:32633</SRS>"
        "<GeoTransform>500000, 10, 0, 5200000, 0, -10</GeoTransform><VRTRasterBand dataType='UInt16' band='1'>"
        "<SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    masked = scene(tmp_path / "masked.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(masked, "r+") as raster:
        raster.write_mask(np.tri(24, 32, dtype=bool))
    beside = {tmp_path / "aside.png": r"aside\.png\.aux\.xml", virtual: "a.tif", masked: r"masked\.tif\.msk"}
    for mode in ("copy", "link"):
        for path, other in beside.items():
            with pytest.raises(UsageError, match=f"'{path}' is more than one file, .*{other}.*convert it to GeoTIFF"):
                dataset.add_rasters(path, mode=mode)
    dataset.add_rasters([*beside], mode="reference")
    dataset.cut_grid("chips", size=(32, 24))
    with (
        rasterio.open(dataset.root / "rasters" / "chips" / "virtual_c0_r0.tif") as chip,
        rasterio.open(source) as whole,
    ):
        np.testing.assert_array_equal(chip.read(), whole.read())


def test_overviews_and_statistics_beside_a_raster_do_no_harm(dataset, tmp_path):
    path = scene(tmp_path / "a.tif")
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as raster:
        raster.build_overviews([2])
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><Metadata><MDI key='STATISTICS_MEAN'>7</MDI></Metadata></PAMRasterBand>"
        "</PAMDataset>"
    )
    dataset.add_rasters(path)
    assert dataset.rasters()["raster_id"].to_pylist() == ["a"]


def test_a_raster_that_lies_in_its_place_already_can_be_added(dataset):
    scene(dataset.root / "rasters" / "source" / "a.tif")
    dataset.add_rasters(dataset.root / "rasters" / "source" / "a.tif")
    assert dataset.verify() == []


def test_another_file_in_the_place_of_a_raster_is_not_written_over(dataset, tmp_path):
    stray = scene(dataset.root / "rasters" / "source" / "a.tif")
    content = stray.read_bytes()
    with pytest.raises(ConflictError, match=r"another file of that name lies in rasters/source.*verify --repair"):
        dataset.add_rasters(scene(tmp_path / "a.tif", seed=2))
    assert stray.read_bytes() == content
    assert len(dataset.log()) == 1


@pytest.fixture
def delivery(tmp_path):
    """A folder with two good rasters among bad ones, and what is told of each bad one."""
    folder = tmp_path / "delivery"
    scene(folder / "a.tif")
    scene(folder / "z.tif", seed=2)
    scene(folder / "bare.tif", crs=None)
    with pytest.warns(NotGeoreferencedWarning):
        scene(folder / "adrift.tif", transform=(1, 0, 0, 0, 1, 0))
    scene(folder / "metres.tif", crs="EPSG:4326")
    whole = scene(folder / "cut.tif").read_bytes()
    (folder / "cut.tif").write_bytes(whole[: len(whole) - 200])
    (folder / "head.tif").write_bytes(whole[:20])
    (folder / "empty.tif").write_bytes(b"")
    (folder / "notes.tif").write_text("not a raster")
    told = {
        "adrift.tif": (UsageError, "has no transform: georeference it first"),
        "bare.tif": (UsageError, "has no CRS: pass --crs EPSG"),
        "cut.tif": (CorruptError, "is damaged: its pixels can't be read; get it again"),
        "empty.tif": (UsageError, "is not a raster but empty"),
        "head.tif": (CorruptError, "is damaged"),
        "metres.tif": (UsageError, r"claims EPSG:4326 but its bounds are .* metres\? pass --crs"),
        "notes.tif": (UsageError, "is not a raster that GDAL can open"),
    }
    return folder, told


def test_each_file_that_is_not_fit_is_refused_by_name(unmoved, delivery):
    folder, told = delivery
    for name, (family, reason) in told.items():
        with pytest.raises(family, match=f"'{folder / name}'.*{reason}"):
            unmoved.add_rasters([folder / "a.tif", folder / name])


def test_skip_leaves_out_what_is_not_fit_and_records_which_and_why(dataset, delivery):
    folder, told = delivery
    recorded = dataset.add_rasters(folder, on_error="skip")
    assert recorded.summary == {"collection": "source", "rasters": 2, "skipped": len(told)}
    assert dataset.rasters()["raster_id"].to_pylist() == ["a", "z"]
    reasons = skipped(dataset)
    assert list(reasons) == list(told)
    for name, (_, reason) in told.items():
        assert re.search(reason, reasons[name])
    assert sorted(path.name for path in (dataset.root / "rasters" / "source").iterdir()) == ["a.tif", "z.tif"]
    assert dataset.verify() == []


def test_a_dry_run_stores_nothing(unmoved, tmp_path):
    planned = unmoved.add_rasters(scene(tmp_path / "a.tif"), dry_run=True)
    assert (planned.changed, planned.summary["rasters"]) == (False, 1)
    assert not list((unmoved.root / ".dvc").rglob("cache/files"))
