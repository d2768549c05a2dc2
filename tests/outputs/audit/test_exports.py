"""Folders that `export` wrote are audited with their subsets, and compared with their manifest."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest

from geographer import Dataset
from geographer.outputs.audit.layouts.exports import find_export_format
from geographer.outputs.audit.run import audit_dataset
from tests.outputs.exports.chip_dataset import create_chips
from tests.shared_folders import copy_once


@pytest.fixture(scope="module")
def chips(tmp_path_factory):
    return Dataset.open(copy_once(tmp_path_factory, "chip-dataset", create_chips) / "dataset")


def read_checks(report):
    return {check.name: str(check.verdict) for check in report.checks}


@pytest.mark.parametrize(
    ("format", "layout"),
    [
        ("coco", "COCO annotations"),
        ("folder", "images in a split by splits.csv"),
        ("yolo", "a YOLO dataset"),
        ("rslearn", "images in a split by samples.parquet"),
    ],
)
def test_exports_are_audited_with_their_subsets(chips, tmp_path, format, layout):
    chips.export_samples(format, tmp_path / "export", record=False)
    report = audit_dataset(tmp_path / "export", near_duplicates=False)
    assert report.layout.startswith(f"an export as {format}: {layout}")
    assert report.subsets == Counter(row["part"] for row in chips.samples().to_pylist())
    checks = read_checks(report)
    assert checks["identical pixels"] == checks["checksums"] == checks["readable files"] == "holds"
    assert {finding.kind for finding in report.findings} <= {"distance between subsets"}
    assert [note for note in report.notes if "was not used" in note] == []


def test_audit_finds_what_was_done_to_an_export(chips, tmp_path):
    """A chip of another subset in its place is a leak, and differs from the manifest."""
    folder = tmp_path / "export"
    chips.export_samples("folder", folder, labels=["mask"], record=False)
    first, second = (sorted((folder / "images" / part).iterdir())[0] for part in ("train", "test"))
    shutil.copy(first, second)
    (folder / "added.txt").write_text("x")
    report = audit_dataset(folder, near_duplicates=False)
    assert (report.is_leaking, report.is_damaged) == (True, True)
    subjects = {finding.subject for finding in report.findings if finding.kind == "checksum mismatch"}
    assert subjects == {second.relative_to(folder).as_posix(), "added.txt"}
    assert read_checks(report)["checksums"] == "fails"


def test_formats_that_are_not_read_lead_to_another(chips, tmp_path):
    chips.export_samples("zarr", tmp_path / "export", labels=["mask"], record=False)
    report = audit_dataset(tmp_path / "export", near_duplicates=False)
    assert (report.layout, report.subsets) == ("an export as zarr", {})
    assert report.notes == ["audit cannot read images of the format zarr: export the samples as folder, and audit that"]
    assert read_checks(report)["checksums"] == "holds"


def test_release_is_no_export(tmp_path):
    """A `revision.json` that names a format does not make an export of a folder with tables."""
    folder = tmp_path / "release"
    (folder / "tables").mkdir(parents=True)
    (folder / "MANIFEST").write_text("")
    (folder / "revision.json").write_text('{"export": {"format": "coco"}}')
    assert find_export_format(folder) == "coco"
    (folder / "tables" / "rasters.parquet").write_bytes(b"")
    assert find_export_format(folder) is None
    (folder / "revision.json").write_text('{"export": [')
    assert find_export_format(folder) is None
