"""Archives are asked again: the same, reprocessed, altered, gone or not asked, and how far chips and labels drift."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from geographer import Dataset
from geographer.base.errors import NotFoundError
from geographer.cli import geographer_command
from geographer.outputs.rerun.archive_report import Drift
from tests import REPOSITORY
from tests.folder_source import FolderSource, add_scene, set_offline
from tests.sample_history import NORTH, PIXEL, WEST, grid_coordinates, point_geometry, write_features
from tests.sample_rasters import make_pixels, write_scene
from tests.stac_servers import Fault, serve_faulty_archive

SCHEMA = Draft202012Validator(json.loads((REPOSITORY / "schemas" / "rerun.v1.json").read_text()))
SIDE, STEP = 64, 200
NAMES = ("same", "reprocessed", "altered", "gone", "kept")


def name_product(index: int, baseline: str = "N0509") -> str:
    return f"S2B_MSIL2A_20230601T101031_{baseline}_R022_T33TW{chr(65 + index)}_20230601T140000"


def find_box(index):
    """The scene's box in degrees."""
    from pyproj import Transformer

    transformer = Transformer.from_crs("EPSG:32633", "EPSG:4326", always_xy=True)
    corners = [grid_coordinates(STEP * index + x, y) for x in (0, SIDE) for y in (0, SIDE)]
    xs, ys = transformer.transform([x for x, _ in corners], [y for _, y in corners])
    return min(xs), min(ys), max(xs), max(ys)


def write_product(folder: Path, index: int, change=None) -> bytes:
    pixels = make_pixels(2, SIDE, SIDE, "uint8", seed=index + 1) // 2 + 1
    if change is not None:
        change(pixels)
    transform = (PIXEL, 0.0, WEST + PIXEL * STEP * index, 0.0, -PIXEL, NORTH)
    return write_scene(folder / f"{index}.tif", pixels, transform=transform, nodata=0).read_bytes()


def publish(archive, folder, index, baseline="N0509", change=None):
    product = name_product(index, baseline)
    archive.add_item(
        product, find_box(index), {"image.tif": write_product(folder, index, change)}, acquired="2023-06-01T10:10:31Z"
    )
    return product


def withdraw(archive, product):
    archive.items = [item for item in archive.items if item["id"] != product]


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    """An archive on loopback with five scenes, the dataset that fetched them, and what the archive did since."""
    folder = tmp_path_factory.mktemp("archive")
    with serve_faulty_archive() as archive:
        products = [publish(archive, folder, index) for index in range(len(NAMES))]
        dataset = Dataset.init(folder / "dataset", scm=False)
        features = {name: ("pond", point_geometry(STEP * index + 40.5, 40.5)) for index, name in enumerate(NAMES)}
        dataset.add_features(write_features(folder / "features.geojson", features), crs="EPSG:32633")
        dataset.download("scenes", source="stac", collection="scenes", source_options={"url": archive.url})
        dataset.cut_grid("tiles", size=32)
        dataset.label_masks("mask", collection="tiles")
        dataset.label_masks("valid", collection="tiles", ignore=255)

        def brighten(pixels):
            pixels[0, :32, :32] += 5

        def retouch(pixels):
            pixels[:, 10, 20] = 0

        withdraw(archive, products[1])
        publish(archive, folder, 1, "N0511", brighten)
        publish(archive, folder, 1, "N0510")
        withdraw(archive, products[2])
        publish(archive, folder, 2, change=retouch)
        withdraw(archive, products[3])
        publish(archive, folder, 4, "N0512")
        yield archive, dataset, products


def test_every_answer_of_an_archive_is_named(checked):
    """One line for each raster; drift is bounded band by band, and for chips and labels."""
    _, dataset, products = checked
    head = dataset.show("HEAD").digest
    report = dataset.check_archives()
    by_id = {answer.raster_id: answer for answer in report.rasters}
    answers = {name: by_id[product] for name, product in zip(NAMES, products, strict=True)}
    assert [answer.result for answer in answers.values()] == [*NAMES[:4], "same"]
    assert answers["same"].same_bytes
    assert (answers["same"].newer, answers["kept"].newer) == (None, name_product(4, "N0512"))
    other = answers["reprocessed"]
    assert (other.given, other.baseline) == (name_product(1, "N0511"), "05.11")
    assert (other.difference.changed_pixels, other.difference.bands, other.difference.max_difference) == (
        1024,
        [5, 0],
        5,
    )
    assert other.chips == Drift(files=4, changed=1, max_difference=5.0, mean_difference=5 / 8, not_made=0)
    assert (other.labels.files, other.labels.changed) == (8, 0)
    altered = answers["altered"]
    assert (altered.difference.changed_pixels, altered.difference.worst_pixel[:2]) == (1, [20, 10])
    assert (altered.chips.changed, altered.chips.max_difference) == (1, altered.difference.max_difference)
    assert (altered.labels.files, altered.labels.changed, altered.labels.max_difference) == (8, 1, 255)
    assert answers["gone"].given is None
    lines = "\n".join(report.iter_lines())
    assert f"reprocessed: {products[1]}: '{other.given}' in its place; processing baseline 05.11" in lines
    assert f"gone: {products[3]}" in lines
    assert "Not all is as it was: 1 reprocessed, 1 altered, 1 gone." in lines
    assert [e.message for row in report.iter_rows() for e in SCHEMA.iter_errors(json.loads(json.dumps(row)))] == []
    assert dataset.show("HEAD").digest == head


def test_archive_that_does_not_deliver_is_named(checked):
    archive, dataset, products = checked
    archive.set_fault(f"{products[0]}/image.tif", Fault(404))
    try:
        report = dataset.check_archives(recipe="scenes")
    finally:
        archive.set_fault(f"{products[0]}/image.tif", None)
    (answer,) = (answer for answer in report.rasters if answer.raster_id == products[0])
    assert answer.result == "not asked"
    assert "the archive lists it, but does not deliver it" in answer.reason
    with pytest.raises(NotFoundError, match="no raster of a download 'nothing'"):
        dataset.check_archives(recipe="nothing")


def test_command_against_archive(tmp_path):
    """An archive that is down: exit code 6; nothing downloaded: exit code 0."""
    dataset = Dataset.init(tmp_path / "dataset", scm=False)
    runner, command = CliRunner(), ["-C", str(dataset.root), "rerun", "--against-archive"]
    done = runner.invoke(geographer_command, command, catch_exceptions=False)
    assert (done.exit_code, "nothing to ask for" in done.stdout) == (0, True)
    add_scene(tmp_path / "shelf", "one")
    features = write_features(tmp_path / "features.geojson", {"p": ("pond", point_geometry(40.5, 40.5))})
    dataset.add_features(features, crs="EPSG:32633")
    fetched = dataset.download("scenes", source=FolderSource, source_options={"folder": str(tmp_path / "shelf")})
    assert fetched.summary["rasters"] == 1
    assert "same bytes" not in runner.invoke(geographer_command, command, catch_exceptions=False).stdout
    set_offline(tmp_path / "shelf")
    done = runner.invoke(geographer_command, [*command, "--json"], catch_exceptions=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.exit_code, rows[0]["result"], rows[0]["reason"]) == (6, "not asked", "the archive is offline")
    assert rows[-1]["row"] == "archive summary"
