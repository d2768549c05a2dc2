"""Add rasters: storage by copy, link or reference; recorded columns are compared with rasterio, shapely and pyproj."""

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
from tests.sample_rasters import CUSTOM_CRS, NORTH_UP, ROTATED, SOUTH_UP, make_pixels, to_xy, write_scene

COMPARED_COLUMNS = [
    "raster_id",
    "collection",
    "crs",
    "width",
    "height",
    "md5",
    "sha256",
    "pixel_digest",
    "footprint",
    "acquired",
]


def write_raster(path: Path, seed: int = 1, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_scene(path, make_pixels(1, 24, 32, seed=seed), **options)


def get_cache_path(dataset: Dataset, md5: str) -> Path:
    return dataset.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]


def read_skipped(dataset: Dataset) -> dict[str, str]:
    rows = dataset.sql("SELECT input, name, reason FROM log.skipped_input ORDER BY ordinal").to_pylist()
    assert {row["input"] for row in rows} <= {"rasters"}
    return {row["name"]: row["reason"] for row in rows}


def test_copy_keeps_bytes_and_input_file(dataset, tmp_path):
    path = write_raster(tmp_path / "S2A_T33.tif")
    content, before = path.read_bytes(), path.stat()
    result = dataset.add_rasters(path)
    assert result.summary == {"collection": "source", "rasters": 1, "skipped": 0}
    [row] = dataset.rasters().to_pylist()
    assert (row["raster_id"], row["path"]) == ("S2A_T33", "rasters/source/S2A_T33.tif")
    assert (row["crs"], row["width"], row["height"], row["acquired"]) == ("EPSG:32633", 32, 24, None)
    assert row["md5"] == hashlib.md5(content).hexdigest()
    assert row["sha256"] == hashlib.sha256(content).hexdigest()
    assert (dataset.root / row["path"]).read_bytes() == get_cache_path(dataset, row["md5"]).read_bytes() == content
    assert path.read_bytes() == content
    after = path.stat()
    assert (after.st_mtime_ns, after.st_nlink, after.st_mode) == (before.st_mtime_ns, 1, before.st_mode)


def test_link_points_into_cache(dataset, tmp_path):
    path = write_raster(tmp_path / "a.tif")
    dataset.add_rasters(path, mode="link")
    [row] = dataset.rasters().to_pylist()
    workspace_file = dataset.root / row["path"]
    assert workspace_file.samefile(get_cache_path(dataset, row["md5"]))
    assert not workspace_file.stat().st_mode & 0o222
    assert path.stat().st_nlink == 1
    assert not path.samefile(workspace_file)
    assert os.access(path, os.W_OK)


def test_reference_stays_in_place(dataset, tmp_path):
    outside = write_raster(tmp_path / "archive" / "a.tif")
    inside = write_raster(dataset.root / "archive" / "b.tif", seed=2)
    dataset.add_rasters([outside, inside], mode="reference")
    rows = dataset.rasters()
    assert rows["path"].to_pylist() == ["{archive}/a.tif", "archive/b.tif"]
    assert not (dataset.root / "rasters").exists()
    assert not any(get_cache_path(dataset, md5).exists() for md5 in rows["md5"].to_pylist())
    assert dataset.verify() == []
    dataset.cut_grid("chips", size=16)
    assert len(dataset.chips()) == 8


def test_relative_reference_survives_chdir(dataset, tmp_path, monkeypatch):
    write_raster(tmp_path / "here" / "a.tif")
    monkeypatch.chdir(tmp_path / "here")
    dataset.add_rasters("a.tif", mode="reference")
    monkeypatch.chdir(tmp_path)
    assert dataset.verify() == []


def test_modes_record_equal_rows(tmp_path, empty_dataset):
    path = write_raster(tmp_path / "a.tif")
    rows = []
    for mode in ("copy", "link", "reference"):
        dataset = Dataset.open(shutil.copytree(empty_dataset, tmp_path / mode))
        dataset.add_rasters(path, mode=mode)
        rows.append(dataset.rasters().select(COMPARED_COLUMNS).to_pylist())
    assert rows[0] == rows[1] == rows[2]


def test_folders_are_searched_in_order(dataset, tmp_path):
    folder = tmp_path / "delivery"
    for name in ("z.tif", "deep/er/b.TIFF", "a.tif"):
        write_raster(folder / name, seed=len(name))
    (folder / "notes.txt").write_text("not a raster")
    single_file = write_raster(tmp_path / "lone.tif", seed=9)
    dataset.add_rasters([single_file, folder])
    assert dataset.rasters()["raster_id"].to_pylist() == ["lone", "a", "b", "z"]
    assert sorted(path.name for path in (dataset.root / "rasters" / "source").iterdir()) == [
        "a.tif",
        "b.TIFF",
        "lone.tif",
        "z.tif",
    ]


def test_folder_without_rasters_is_rejected(unchanged_dataset, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=f"no raster in folder '{tmp_path / 'empty'}'"):
        unchanged_dataset.add_rasters(tmp_path / "empty")
    with pytest.raises(NotFoundError, match=r"no such file: '.*nowhere\.tif'"):
        unchanged_dataset.add_rasters(tmp_path / "nowhere.tif")


def test_ids_are_file_stems(dataset, tmp_path):
    names = ['o\'brien "ü".v2.tif', "S2A.2020-01-01.tiff", "no suffix", "100%.tif"]
    dataset.add_rasters([write_raster(tmp_path / name, seed=i) for i, name in enumerate(names)])
    ids = ['o\'brien "ü".v2', "S2A.2020-01-01", "no suffix", "100%"]
    assert dataset.rasters()["raster_id"].to_pylist() == ids
    assert dataset.rasters(raster=ids[0])["path"].to_pylist() == [f"rasters/source/{names[0]}"]
    assert dataset.verify() == []


def test_repeated_and_existing_ids_are_rejected(dataset, tmp_path):
    first = write_raster(tmp_path / "a.tif")
    with pytest.raises(ConflictError, match=r"several files would have the raster id 'a'. Rename all but one\.$"):
        dataset.add_rasters([first, first])
    dataset.add_rasters(first)
    head = dataset.show().digest
    for collection in ("source", "elsewhere"):
        with pytest.raises(
            ConflictError, match=r"raster 'a' is already in the dataset. Rename the file.* --id-folders 1"
        ):
            dataset.add_rasters([write_raster(tmp_path / "b.tif"), first], collection=collection)
    assert dataset.show().digest == head
    dataset.remove_rasters(["a"])
    assert not (dataset.root / "rasters" / "source").exists()
    dataset.add_rasters(first)
    assert dataset.rasters()["raster_id"].to_pylist() == ["a"]


def test_id_folders_distinguish_files_of_one_name(dataset, tmp_path, monkeypatch, caplog):
    write_raster(tmp_path / "tile.1/IMG/B02.tif", seed=1)
    write_raster(tmp_path / "tile.2/IMG/B02.tif", seed=2)
    write_raster(tmp_path / "tile.2/IMG/B02 plain", seed=3)
    monkeypatch.chdir(tmp_path / "tile.1/IMG")
    paths = ["B02.tif", "../../tile.2/IMG/B02.tif", tmp_path / "tile.2/IMG/B02 plain"]
    for number in range(2):
        advice = "add rasters with --id-folders 2, for ids such as 'tile.1_IMG_B02'"
        with pytest.raises(ConflictError, match=rf"several files would have the raster id '.*B02'.*{advice}"):
            dataset.add_rasters(paths, id_folders=number)
    dataset.add_rasters(paths)
    assert caplog.messages == [
        "several files have one name, so ids begin with the names of 2 folders, such as 'tile.1_IMG_B02'"
    ]
    ids = ["tile.1_IMG_B02", "tile.2_IMG_B02", "tile.2_IMG_B02 plain"]
    rows = dataset.rasters()
    assert rows["raster_id"].to_pylist() == ids
    names = [f"{ids[0]}.tif", f"{ids[1]}.tif", ids[2]]
    assert rows["path"].to_pylist() == [f"rasters/source/{name}" for name in names]
    write_raster(tmp_path / "tile.2/IMG/B02.tif", seed=4)
    changed = dataset.add_rasters(tmp_path / "tile.2/IMG/B02.tif", replace=True)
    assert changed.summary["changed"] == 1
    assert dataset.verify() == []


def test_id_folders_distinguish_labels_of_references(dataset, tmp_path):
    paths = [write_raster(tmp_path / folder / "B02.tif") for folder in ("T1", "T2")]
    dataset.add_rasters(paths, mode="reference")
    dataset.add_classes(["pond"])
    dataset.label_masks("mask", collection="source")
    labels = dataset.labels()["path"].to_pylist()
    assert labels == ["labels/mask/source/T1_B02.tif", "labels/mask/source/T2_B02.tif"]


def test_unusable_file_names_are_rejected(unchanged_dataset, tmp_path):
    reasons = {"scene.dvc": "DVC", "a\nb.tif": "control character", "c\\d.tif": "backslash", ".geographer-1.tif": "DVC"}
    for name, reason in reasons.items():
        with pytest.raises(UsageError, match=rf"cannot store a file at .*{reason}.*Give the raster"):
            unchanged_dataset.add_rasters(write_raster(tmp_path / name))
    deep_folder = write_raster(tmp_path / ("f" * 200) / ("n" * 60 + ".tif"))
    with pytest.raises(UsageError, match=r"has more than 255 bytes \('f+_n+\.tif' has 265\)"):
        unchanged_dataset.add_rasters(deep_folder, id_folders=1)


def test_equal_files_are_two_rasters(dataset, tmp_path):
    first = write_raster(tmp_path / "a.tif")
    dataset.add_rasters([first, Path(shutil.copy(first, tmp_path / "b.tif"))])
    assert len(set(dataset.rasters()["md5"].to_pylist())) == 1
    assert dataset.verify() == []


def test_raster_joins_named_collection(dataset, tmp_path):
    dataset.add_rasters(write_raster(tmp_path / "a.tif"), collection="summer-2020")
    assert dataset.rasters(where="collection = 'summer-2020'")["path"].to_pylist() == ["rasters/summer-2020/a.tif"]


def test_invalid_collection_name_is_rejected(unchanged_dataset, tmp_path):
    path = write_raster(tmp_path / "a.tif")
    for name in ("a/b", "..", ".hidden", "", "a b", "a\n"):
        with pytest.raises(UsageError, match=r"invalid collection name '.*'. Use letters, digits"):
            unchanged_dataset.add_rasters(path, collection=name)
    with pytest.raises(UsageError, match=r"63 characters and 252 bytes. Use at most 100 characters and 251 bytes"):
        unchanged_dataset.add_rasters(path, collection="\U00020000" * 63)
    with pytest.raises(UsageError, match=r"'foo.Dvc': files of DVC end in .dvc. Use another ending"):
        unchanged_dataset.add_rasters(path, collection="foo.Dvc")


def test_recipe_collection_is_reserved(dataset, tmp_path):
    dataset.add_rasters(write_raster(tmp_path / "a.tif"))
    dataset.cut_grid("chips", size=16)
    with pytest.raises(ConflictError, match="collection 'chips' is reserved for the chips of the recipe"):
        dataset.add_rasters(write_raster(tmp_path / "b.tif"), collection="chips")


def test_footprint_has_grid_corners(dataset, tmp_path):
    grids = {
        f"{direction}-{zone}": (transform, crs)
        for direction, transform in (("north", NORTH_UP), ("south", SOUTH_UP), ("turned", ROTATED))
        for zone, crs in (("utm", "EPSG:32633"), ("custom", CUSTOM_CRS), ("polar", "EPSG:3031"))
    }
    dataset.add_rasters(
        [write_raster(tmp_path / f"{name}.tif", transform=t, crs=crs) for name, (t, crs) in grids.items()]
    )
    footprints = dataset.rasters().to_geopandas().set_index("raster_id").geometry
    outlines = dataset.sql("SELECT raster_id, outline FROM log.raster_change").to_pylist()
    assert len(outlines) == len(grids)
    for row in outlines:
        transform, crs = grids[row["raster_id"]]
        corners = [to_xy(transform, column, line) for column, line in ((0, 0), (32, 0), (32, 24), (0, 24))]
        assert shapely.from_wkb(row["outline"]).equals(shapely.Polygon(corners)), row["raster_id"]
        to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
        expected = shapely.Polygon([to_degrees.transform(x, y) for x, y in corners])
        footprint = footprints[row["raster_id"]]
        assert footprint.is_valid
        assert footprint.symmetric_difference(expected).area < 1e-3 * expected.area, row["raster_id"]


def test_valid_footprint_excludes_nodata_collar(dataset, tmp_path):
    array = make_pixels(1, 24, 32)
    array[:, :, :8] = 0
    path = write_scene(tmp_path / "a.tif", array, nodata=0)
    dataset.add_rasters(path, footprint="valid")
    [outline] = dataset.sql("SELECT outline FROM log.raster_change")["outline"].to_pylist()
    left, top = to_xy(NORTH_UP, 8, 0)
    right, bottom = to_xy(NORTH_UP, 32, 24)
    assert shapely.from_wkb(outline).equals(shapely.box(left, bottom, right, top))


def test_acquisition_time_comes_from_tag(dataset, tmp_path):
    path = write_raster(tmp_path / "a.tif")
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(SENSED="2020-02-29T12:00:00+02:00")
    with pytest.raises(UsageError, match=r"has no tag 'ACQUIRED'\. Its tags are: .*'SENSED'"):
        dataset.add_rasters(path, acquired="ACQUIRED")
    dataset.add_rasters(path, acquired="SENSED")
    assert dataset.rasters()["acquired"].to_pylist() == [datetime.datetime(2020, 2, 29, 10)]
    assert len(dataset.rasters(where="acquired < '2020-03-01'")) == 1


def test_crs_option_replaces_file_crs(dataset, tmp_path):
    dataset.add_rasters(
        [write_raster(tmp_path / "bare.tif", crs=None), write_raster(tmp_path / "wrong.tif", 2)], crs="EPSG:32632"
    )
    dataset.add_rasters(write_raster(tmp_path / "stated.tif", crs="EPSG:32632"))
    rows = {row["raster_id"]: row for row in dataset.rasters().to_pylist()}
    assert {row["crs"] for row in rows.values()} == {"EPSG:32632"}
    assert rows["bare"]["footprint"] == rows["stated"]["footprint"]
    assert rows["bare"]["pixel_digest"] == rows["stated"]["pixel_digest"]
    dataset.cut_grid("chips", size=16)
    with rasterio.open(dataset.root / "rasters" / "chips" / "bare_c0_r0.tif") as chip:
        assert chip.crs == "EPSG:32632"
    assert dataset.verify() == []


def test_sidecar_files_are_rejected_unless_referenced(dataset, tmp_path):
    source = write_raster(tmp_path / "a.tif")
    array = make_pixels(1, 24, 32, "uint8")
    write_scene(tmp_path / "aside.png", array, driver="PNG", tiled=False)
    virtual = tmp_path / "virtual.vrt"
    virtual.write_text(
        "<VRTDataset rasterXSize='32' rasterYSize='24'><SRS>EPSG:32633</SRS>"
        "<GeoTransform>500000, 10, 0, 5200000, 0, -10</GeoTransform><VRTRasterBand dataType='UInt16' band='1'>"
        "<SimpleSource><SourceFilename relativeToVRT='1'>a.tif</SourceFilename></SimpleSource>"
        "</VRTRasterBand></VRTDataset>"
    )
    masked = write_raster(tmp_path / "masked.tif")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(masked, "r+") as raster:
        raster.write_mask(np.tri(24, 32, dtype=bool))
    sidecars = {tmp_path / "aside.png": r"aside\.png\.aux\.xml", virtual: "a.tif", masked: r"masked\.tif\.msk"}
    for mode in ("copy", "link"):
        for path, sidecar in sidecars.items():
            with pytest.raises(
                UsageError, match=f"'{path}' depends on other files: .*{sidecar}.*Convert it to one GeoTIFF"
            ):
                dataset.add_rasters(path, mode=mode)
    dataset.add_rasters([*sidecars], mode="reference")
    dataset.cut_grid("chips", size=(32, 24))
    with (
        rasterio.open(dataset.root / "rasters" / "chips" / "virtual_c0_r0.tif") as chip,
        rasterio.open(source) as content,
    ):
        np.testing.assert_array_equal(chip.read(), content.read())


def test_overviews_and_statistics_are_allowed(dataset, tmp_path):
    path = write_raster(tmp_path / "a.tif")
    with rasterio.Env(TIFF_USE_OVR=True), rasterio.open(path, "r+") as raster:
        raster.build_overviews([2])
    (tmp_path / "a.tif.aux.xml").write_text(
        "<PAMDataset><PAMRasterBand band='1'><Metadata><MDI key='STATISTICS_MEAN'>7</MDI></Metadata></PAMRasterBand>"
        "</PAMDataset>"
    )
    dataset.add_rasters(path)
    assert dataset.rasters()["raster_id"].to_pylist() == ["a"]


def test_file_in_workspace_can_be_added(dataset):
    write_raster(dataset.root / "rasters" / "source" / "a.tif")
    dataset.add_rasters(dataset.root / "rasters" / "source" / "a.tif")
    assert dataset.verify() == []


def test_unrecorded_file_is_not_overwritten(dataset, tmp_path):
    unrecorded = write_raster(dataset.root / "rasters" / "source" / "a.tif")
    content = unrecorded.read_bytes()
    with pytest.raises(
        ConflictError, match=r"rasters/source has another file of that name that is not in the log.*verify --repair"
    ):
        dataset.add_rasters(write_raster(tmp_path / "a.tif", seed=2))
    assert unrecorded.read_bytes() == content
    assert len(dataset.log()) == 1


@pytest.fixture
def delivery(tmp_path):
    """A folder with two valid rasters among invalid ones, and the error expected for each invalid one."""
    folder = tmp_path / "delivery"
    write_raster(folder / "a.tif")
    write_raster(folder / "z.tif", seed=2)
    write_raster(folder / "bare.tif", crs=None)
    with pytest.warns(NotGeoreferencedWarning):
        write_raster(folder / "bad_transform.tif", transform=(1, 0, 0, 0, 1, 0))
    write_raster(folder / "metres.tif", crs="EPSG:4326")
    content = write_raster(folder / "cut.tif").read_bytes()
    (folder / "cut.tif").write_bytes(content[: len(content) - 200])
    (folder / "head.tif").write_bytes(content[:20])
    (folder / "empty.tif").write_bytes(b"")
    (folder / "notes.tif").write_text("not a raster")
    errors = {
        "bad_transform.tif": (UsageError, "has no transform. Georeference it"),
        "bare.tif": (UsageError, "has no CRS. Pass one, e.g. --crs EPSG"),
        "cut.tif": (CorruptError, "is damaged, its pixels cannot be read"),
        "empty.tif": (UsageError, "is an empty file, not a raster"),
        "head.tif": (CorruptError, "is damaged"),
        "metres.tif": (UsageError, r"are not degrees, but its CRS is EPSG:4326"),
        "notes.tif": (UsageError, "is not a raster that GDAL can open"),
    }
    return folder, errors


def test_invalid_file_is_rejected(unchanged_dataset, delivery):
    folder, errors = delivery
    for name, (error, reason) in errors.items():
        with pytest.raises(error, match=f"'{folder / name}'.*{reason}"):
            unchanged_dataset.add_rasters([folder / "a.tif", folder / name])


def test_skip_records_invalid_files(dataset, delivery):
    folder, errors = delivery
    result = dataset.add_rasters(folder, on_error="skip")
    assert result.summary == {"collection": "source", "rasters": 2, "skipped": len(errors)}
    assert dataset.rasters()["raster_id"].to_pylist() == ["a", "z"]
    reasons = read_skipped(dataset)
    assert list(reasons) == list(errors)
    for name, (_, reason) in errors.items():
        assert re.search(reason, reasons[name])
    assert sorted(path.name for path in (dataset.root / "rasters" / "source").iterdir()) == ["a.tif", "z.tif"]
    assert dataset.verify() == []


def test_dry_run_stores_nothing(unchanged_dataset, tmp_path):
    cache = unchanged_dataset.root / ".dvc/cache"
    stored = sorted(cache.rglob("*"))
    planned = unchanged_dataset.add_rasters(write_raster(tmp_path / "a.tif"), dry_run=True)
    assert (planned.changed, planned.summary["rasters"]) == (False, 1)
    assert sorted(cache.rglob("*")) == stored


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("local", {"crs": 'LOCAL_CS["site",UNIT["metre",1]]'}, "CRS of raster '.*local.tif' cannot be transformed"),
    ],
)
def test_raster_that_cannot_be_recorded_is_named(unchanged_dataset, tmp_path, name, options, message):
    dtype = options.pop("dtype", "uint8")
    path = write_scene(tmp_path / f"{name}.tif", make_pixels(1, 8, 8, dtype), **options)
    with pytest.raises(UsageError, match=message):
        unchanged_dataset.add_rasters(path)
    good = write_raster(tmp_path / "good.tif")
    result = unchanged_dataset.add_rasters([path, good], on_error="skip", dry_run=True)
    assert (result.summary["rasters"], result.summary["skipped"]) == (1, 1)


def test_raster_with_undecodable_name_or_credentials_is_refused(unchanged_dataset, tmp_path):
    for name, message in ((os.fsdecode(b"a\xff"), "UTF-8"), ("password=s3cret", "holds a credential")):
        path = write_raster(tmp_path / "scene.tif").rename(tmp_path / f"{name}.tif")
        for mode in ("copy", "reference"):
            with pytest.raises(UsageError, match=message):
                unchanged_dataset.add_rasters(path, mode=mode)


def test_credentials_in_tags_are_left_out(dataset, tmp_path):
    path = write_raster(tmp_path / "scene.tif")
    with rasterio.open(path, "r+") as raster:
        raster.update_tags(LINK="https://a:b@c.org/d?sig=e", API_KEY="f")
    dataset.add_rasters(path, tags=["LINK", "API_KEY"])
    (row,) = dataset.rasters().to_pylist()
    assert (row["LINK"], row["API_KEY"]) == ("https://c.org/d", "***")
