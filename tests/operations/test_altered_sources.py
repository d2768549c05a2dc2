"""Nothing is made of a raster file that is not the recorded one: neither chips nor labels, nor the choice of windows."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geographer import Dataset
from geographer.base.errors import ConflictError, CorruptError
from geographer.operations.cut import render
from geographer.rasters.write import write_and_hash
from geographer.storage.workspace import checked_files, source_rasters
from tests.sample_history import flip_bit_of_file
from tests.sample_rasters import NORTH_UP, make_pixels, write_scene

PIXELS = make_pixels(1, 32, 32, "uint8")
STORED, MOSAIC, PART, TILE = "rasters/source/stored.tif", "archive/mosaic.vrt", "archive/part.tif", "archive/tile.tif"
WORLD_FILE = "10\n0\n0\n-10\n{}\n5199995\n"
PAM = """<PAMDataset><SRS>EPSG:32634</SRS><GeoTransform>0, 10, 0, 0, 0, -10</GeoTransform>
<PAMRasterBand band="1"><NoDataValue>{}</NoDataValue></PAMRasterBand></PAMDataset>"""
VRT = """<VRTDataset rasterXSize="32" rasterYSize="32"><SRS>EPSG:32633</SRS>
<GeoTransform>500000, 10, 0, 5200000, 0, -10</GeoTransform><VRTRasterBand dataType="Byte" band="1"><SimpleSource>
<SourceFilename relativeToVRT="1">{}</SourceFilename><SourceBand>1</SourceBand></SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.fixture(scope="module")
def template(empty_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with a stored raster, and in its folder `archive` a VRT of a VRT, a scene, and one with a world file."""
    root = shutil.copytree(empty_dataset, tmp_path_factory.mktemp("sources") / "dataset")
    dataset, archive = Dataset.open(root), root / "archive"
    archive.mkdir()
    for path in (root / PART, root / TILE):
        write_scene(path, PIXELS, compress="none")
    profile = {"driver": "GTiff", "count": 1, "height": 32, "width": 32, "dtype": "uint8"}
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(archive / "plain.tif", "w", **profile) as raster:
        raster.write(PIXELS)
    (archive / "plain.tfw").write_text(WORLD_FILE.format(500005))
    (archive / "inner.vrt").write_text(VRT.format("part.tif"))
    (root / MOSAIC).write_text(VRT.format("inner.vrt"))
    dataset.add_classes(["pond"])
    dataset.add_rasters(write_scene(root.with_name("stored.tif"), PIXELS, nodata=0, compress="none"))
    dataset.add_rasters([root / MOSAIC, root / TILE], mode="reference")
    dataset.add_rasters([archive / "plain.tif"], mode="reference", crs="EPSG:32633")
    return root


@pytest.fixture
def dataset(template: Path, open_copy, monkeypatch) -> Dataset:
    """A dataset whose sources were all checked, and remembered."""
    monkeypatch.setattr(checked_files, "_SETTLING_NS", 0)
    monkeypatch.setattr(source_rasters, "_damaged_references", set())
    dataset = open_copy(template)
    dataset.label_masks("first", collection="source", ignore=255)
    return dataset


def alter_keeping_time(path: Path) -> None:
    before = path.stat()
    flip_bit_of_file(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


COMMANDS = {
    "cut": lambda dataset: dataset.cut_grid("new", size=16),
    "cut without nodata": lambda dataset: dataset.cut_grid("new", size=16, max_nodata=0.5, dry_run=True),
    "label": lambda dataset: dataset.label_masks("new", collection="source", ignore=255),
}
DAMAGES = {
    "stored": (lambda root: alter_keeping_time(root / STORED), "'stored'.*altered.*geographer checkout HEAD"),
    "missing": (lambda root: (root / STORED).unlink(), "'stored'.*missing.*geographer checkout HEAD"),
    "referenced": (lambda root: alter_keeping_time(root / TILE), "'tile'.*altered.*--mode reference --replace"),
    "source of a source": (lambda root: alter_keeping_time(root / PART), "'mosaic'.*altered.*those that it depends on"),
    "world file": (lambda root: (root / "archive/plain.tfw").write_text(WORLD_FILE.format(500015)), "'plain'.*altered"),
    "new sidecar file": (lambda root: (root / f"{TILE}.aux.xml").write_text(PAM.format(7)), "'tile'.*altered"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_altered_source_is_refused(dataset: Dataset, damage: str) -> None:
    alter, message = DAMAGES[damage]
    alter(dataset.root)
    head = dataset.log(last=1)
    for run in COMMANDS.values():
        with pytest.raises(CorruptError, match=message):
            run(dataset)
    assert dataset.log(last=1) == head


def test_label_that_reads_no_pixels_is_made(dataset: Dataset) -> None:
    alter_keeping_time(dataset.root / STORED)
    assert dataset.label_masks("new", collection="source").summary["masks"] == 4


def test_restored_source_is_used(dataset: Dataset) -> None:
    alter_keeping_time(dataset.root / STORED)
    dataset.checkout("HEAD")
    dataset.cut_grid("new", size=16, rasters_where="raster_id = 'stored'")
    with rasterio.open(dataset.root / "rasters/new/stored_c0_r0.tif") as chip:
        assert np.array_equal(chip.read(), PIXELS[:, :16, :16])


def test_sidecar_file_of_stored_raster_is_not_read(dataset: Dataset) -> None:
    (dataset.root / f"{STORED}.aux.xml").write_text(PAM.format(int(PIXELS[0, 0, 0])))
    mask = PIXELS.copy()
    mask[:] = 0
    write_scene(dataset.root / f"{STORED}.msk", mask)
    assert dataset.cut_grid("new", size=16, max_nodata=0, rasters_where="raster_id = 'stored'").summary["chips"] == 4
    with rasterio.open(dataset.root / "rasters/new/stored_c0_r0.tif") as chip:
        assert (chip.nodata, chip.crs.to_epsg(), tuple(chip.transform)[:6]) == (0, 32633, NORTH_UP)
        assert chip.dataset_mask().all()
    dataset.label_masks("mask", collection="source", ignore=255)
    with rasterio.open(dataset.root / "labels/mask/source/stored.tif") as label:
        assert not label.read().any()


@pytest.mark.parametrize("path", [STORED, PART])
def test_source_that_changes_while_read_is_refused(dataset: Dataset, monkeypatch, path: str) -> None:
    def write_and_alter(*arguments):
        if (dataset.root / path).stat().st_mtime != 0:
            flip_bit_of_file(dataset.root / path)
            os.utime(dataset.root / path, (0, 0))
        return write_and_hash(*arguments)

    monkeypatch.setattr(render, "write_and_hash", write_and_alter)
    head = dataset.log(last=1)
    with pytest.raises(ConflictError, match="changed while it was read"):
        dataset.cut_grid("new", size=16)
    assert dataset.log(last=1) == head


def test_sources_are_read_once(dataset: Dataset, monkeypatch) -> None:
    for module in ("storage.workspace.checked_files", "rasters.file_check"):
        monkeypatch.setattr(f"geographer.{module}.check_file", lambda *_: "altered")
    assert dataset.cut_grid("new", size=16).summary["chips"] == 16
