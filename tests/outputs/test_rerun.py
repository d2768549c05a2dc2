"""Rerun: derived files are made again from what the log says, and each is compared with the recorded one."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from geographer import Dataset
from geographer.base import plugins
from geographer.base.errors import NotFoundError
from geographer.cli import geographer_command
from geographer.operations.cut import render
from geographer.operations.label.rendering import rasterize
from geographer.operations.label.rendering import render as render_label
from geographer.rasters import write
from tests import REPOSITORY
from tests import sample_history as sample
from tests.sample_history import delete_object, read_contents

SCHEMA = Draft202012Validator(json.loads((REPOSITORY / "schemas" / "rerun.v1.json").read_text()))


@pytest.fixture
def root(sample_history, tmp_path):
    return shutil.copytree(sample_history.root, tmp_path / "dataset", symlinks=True)


def read_dataset(root):
    """The content of all files but what is remembered of the status of files."""
    contents = read_contents(root).items()
    return {path: content for path, content in contents if "checked_files" not in path and ".stamp" not in path}


def list_faults(report):
    """The rows that violate the schema."""
    rows = json.loads(json.dumps([*report.iter_rows()]))
    return [error.message for row in rows for error in SCHEMA.iter_errors(row)]


def run_command(root, *arguments):
    return CliRunner().invoke(geographer_command, ["-C", str(root), *arguments], catch_exceptions=False)


def list_results(report):
    return {item.name: item.result for item in report.files if item.result != "identical bytes"}


def test_rerun_makes_every_derived_file_again(root):
    """Chips and labels of all kinds, of recipes that were updated and removed; nothing in the dataset changes."""
    dataset = Dataset.open(root)
    before = read_dataset(root)
    for at in (None, 22):
        report = dataset.rerun_revision(at)
        chips, labels = (getattr(dataset, name)(at=at) for name in ("chips", "labels"))
        assert len(report.files) == len(chips) + len(labels) > 0
        assert (list_results(report), [item.plan for item in report.events]) == ({}, ["same"] * len(report.events))
        assert [item for event in report.events for item in event.software] == []
        assert report.is_identical
        assert list_faults(report) == []
    assert read_dataset(root) == before


def test_rerun_of_one_recipe(root):
    dataset = Dataset.open(root)
    report = dataset.rerun_revision(recipe="mask")
    assert {(item.label, item.position) for item in report.files} == {("mask", 18)}
    with pytest.raises(NotFoundError, match="no recipe or output 'nothing'"):
        dataset.rerun_revision(recipe="nothing")


def test_rerun_names_other_metadata_and_software(root, monkeypatch):
    """Another GDAL compresses otherwise: the same pixels, and the version is named."""
    make_options = write.make_creation_options

    def compress_otherwise(*arguments):
        return {**make_options(*arguments), "compress": "deflate", "zstd_level": None}

    versions = write.read_software_versions()
    monkeypatch.setattr(write, "make_creation_options", compress_otherwise)
    monkeypatch.setattr(write, "read_software_versions", lambda: {**versions, "gdal": "9.9.9"})
    report = Dataset.open(root).rerun_revision(recipe="grid")
    assert {item.result for item in report.files} == {"identical pixels"}
    differences = [item.difference for item in report.files if item.difference]
    assert [item.metadata["compression"] for item in differences] == [["ZSTD", "DEFLATE"]] * len(report.files)
    assert {tuple(item) for event in report.events for item in event.software} == {("gdal", versions["gdal"], "9.9.9")}
    assert report.is_identical
    lines = "\n".join(report.iter_lines())
    assert "compression (ZSTD → DEFLATE)" in lines
    assert f"gdal {versions['gdal']} made it, this machine has 9.9.9" in lines
    assert list_faults(report) == []


def test_rerun_locates_other_pixels(root, monkeypatch):
    """One pixel of one chip is 3 higher: how many, where, by how much."""
    read_pixels = render._ChipReader._read_pixels

    def read_otherwise(reader, task, bands):
        pixels, mask = read_pixels(reader, task, bands)
        if task.destination.endswith("a_q1.tif"):
            pixels[1, 5, 4] += 3
        return pixels, mask

    monkeypatch.setattr(render._ChipReader, "_read_pixels", read_otherwise)
    report = Dataset.open(root).rerun_revision(recipe="around")
    assert list_results(report) == {"around/a_q1": "different"}
    (difference,) = (item.difference for item in report.files if item.difference)
    assert difference.to_dict() == {
        "pixels": 256,
        "changed_pixels": 1,
        "max_difference": 3,
        "mean_difference": 3 / 512,
        "bands": [0, 3],
        "first_pixel": [4, 5, 2],
        "worst_pixel": [4, 5, 2],
    }
    assert "1 of 256 pixels differ by at most 3 (column 4, row 5, band 2)" in "\n".join(report.iter_lines())
    assert not report.is_identical
    assert list_faults(report) == []


def test_rerun_names_other_classes(root, monkeypatch):
    """A label whose classes are drawn otherwise: how many pixels changed from which class to which."""
    draw = render_label.DrawnLabel

    def draw_otherwise(task, pixels, *arguments, **options):
        return draw(task, np.where(pixels == 2, 1, pixels).astype(pixels.dtype), *arguments, **options)

    monkeypatch.setattr(rasterize, "DrawnLabel", draw_otherwise)
    dataset = Dataset.open(root)
    report = dataset.rerun_revision(recipe="mask")
    differences = [item.difference for item in report.files if item.difference]
    names = {row["value"]: row["class"] for row in dataset.classes().to_pylist()}
    assert differences
    assert {tuple(change[:2]) for item in differences for change in item.classes} == {(names[2], names[1])}
    assert all(sum(change[2] for change in item.classes) == item.changed_pixels for item in differences)
    assert list_faults(report) == []


def test_rerun_finds_another_plan(root, monkeypatch):
    """The same recipe chooses a window one pixel further, and lacks another: each is a finding."""
    from geographer.operations.cut import around

    plan_windows = around.CutAround.plan_windows

    def plan_otherwise(recipe, context):
        windows = plan_windows(recipe, context)
        moved, _, *others = windows.chips
        chips = [moved, *others]
        chips[0] = type(moved)(moved.name, moved.raster_id, moved.feature_id, moved.window._replace(col=30))
        return windows._replace(chips=chips)

    monkeypatch.setattr(around.CutAround, "plan_windows", plan_otherwise)
    report = Dataset.open(root).rerun_revision("v1", recipe="around")
    (event,) = report.events
    assert event.plan == "different"
    assert [item.fault for item in event.differences] == ["not planned", "other window"]
    missing, moved = (item.raster_id for item in event.differences)
    assert list_results(report) == {moved: "different", missing: "not made"}
    assert f"other plan: @5 chips_cut 'around': {missing}: not planned" in "\n".join(report.iter_lines())
    assert list_faults(report) == []


def test_rerun_says_why_a_file_is_not_made(root, monkeypatch):
    """A source was withdrawn, a cached one is gone, a reference is missing, a plugin is not there: each is named."""
    dataset = Dataset.open(root)
    dataset.withdraw_rasters(["b"], reason="the licence ended")
    report = dataset.rerun_revision("v1")
    reasons = {item.raster_id: item.reason for item in report.files if item.result == "not made"}
    reason = "its bytes were withdrawn @26: the licence ended"
    assert reasons == {item.raster_id: reason for item in report.files if "/b_" in item.raster_id and not item.label}
    assert reasons
    assert {item.plan for item in report.events} == {"same"}
    delete_object(root, "rasters/source/a.tif", 3)
    (root / "rasters/source/a.tif").unlink()
    report = dataset.rerun_revision("v1", recipe="around")
    reason = "its source 'a' cannot be read: its bytes are neither on this machine nor on the remote"
    assert {item.reason for item in report.files} == {reason}
    monkeypatch.delattr(sample, "CornerCutter")
    monkeypatch.delitem(plugins._REGISTERED, "tests.sample_history:CornerCutter", raising=False)
    report = dataset.rerun_revision(22, recipe="corners")
    assert [event.plan for event in report.events] == ["not made"]
    assert {item.result for item in report.files} == {"not made"}
    assert "CornerCutter" in str(next(item.reason for item in report.files if "/c_" in item.raster_id))
    assert list_faults(report) == []


def test_rerun_replays_events_of_other_branches(sample_history, tmp_path):
    """Chips that a merge took from another branch are made at the revision of that branch."""
    dataset = Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path / "dataset", symlinks=True))
    dataset.create_branch("topic", "main")
    dataset.add_classes(["quay"])
    dataset.switch_branch("topic")
    dataset.cut_grid("tiles", size=(16, 16))
    dataset.switch_branch("main")
    dataset.merge_branch("topic")
    dataset.remove_rasters(["grid/a_c0_r0"])
    dataset.cut_grid("grid", size=(32, 32), bands=[2], replace=True)
    report = dataset.rerun_revision()
    assert list_results(report) == {}
    assert {event.plan for event in report.events} == {"same"}
    assert "tiles" in {event.name for event in report.events}


def test_rerun_command(root):
    done = run_command(root, "rerun", "v1", "--recipe", "mask", "--workers", "1")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "Every derived file comes out as recorded.")
    Dataset.open(root).withdraw_rasters(["a"], reason="the licence ended")
    done = run_command(root, "rerun", "v1", "--recipe", "around", "--workers", "1", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.exit_code, rows[-1]["row"], rows[-1]["identical"]) == (4, "summary", False)
