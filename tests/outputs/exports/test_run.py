"""One export from the command to the log: tables, README and event; the objects that formats are given."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import rasterio

from geographer import Dataset
from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.outputs.exports.formats import FORMATS, find_exporter
from tests.cli.runner import run_command
from tests.read_only import make_read_only, obey_file_modes
from tests.sample_history import read_contents


@pytest.fixture(scope="module")
def dataset(sample_history, tmp_path_factory):
    return Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path_factory.mktemp("export") / "dataset"))


def run_process(root, *arguments):
    command = [sys.executable, "-m", "geographer", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=obey_file_modes)


def test_export_is_recorded_once(sample_history, tmp_path):
    dataset = Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path / "dataset"))
    content = dataset.content_digest()
    before = len(dataset.log())
    result = dataset.export_samples("npy", tmp_path / "npy", message="for training")
    (event,) = dataset.log(1)
    export = event.payload["export"]
    assert (event.kind, event.message, len(dataset.log())) == ("dataset_exported", "for training", before + 1)
    assert export["manifest"] == result.manifest
    assert export["selection"] == {"split": "parts", "subsets": None, "collection": None, "labels": ["mask"]}
    assert export["digest"] == dataset.show(before).digest
    again = dataset.export_samples("npy", tmp_path / "npy")
    elsewhere = dataset.export_samples("npy", tmp_path / "elsewhere")
    assert again.manifest == elsewhere.manifest == result.manifest
    assert read_contents(tmp_path / "npy") == read_contents(tmp_path / "elsewhere")
    assert len(dataset.log()) == before + 1
    assert dataset.content_digest() == content
    assert not dataset.verify()
    dataset.export_samples("npy", tmp_path / "last", channels="last", record=False)
    assert len(dataset.log()) == before + 1


def test_read_only_dataset_is_exported_without_an_event(dataset, tmp_path):
    export = ["export", "npy", "--to", str(tmp_path / "npy")]
    with make_read_only(dataset.root):
        failed = run_process(dataset.root, *export)
        assert "is read-only, so the export cannot be recorded. Pass --no-record" in failed.stderr
        assert not (tmp_path / "npy").exists()
        assert run_process(dataset.root, *export, "--no-record").returncode == 0


def test_export_has_arrays_tables_and_card(dataset, tmp_path):
    result = dataset.export_samples("npy", tmp_path / "npy", channels="last", record=False)
    samples = dataset.samples().to_pylist()
    assert result.samples == len(samples)
    rows = {row["raster_id"]: row for row in csv.DictReader((tmp_path / "npy/splits.csv").read_text().splitlines())}
    assert rows.keys() == {sample["raster_id"] for sample in samples}
    for sample in samples:
        row = rows[sample["raster_id"]]
        name = f"{row['part']}/{row['name']}.npy"
        with rasterio.open(sample["path"]) as image, rasterio.open(sample["label_mask"]) as mask:
            assert np.array_equal(np.load(tmp_path / "npy/images" / name), np.moveaxis(image.read(), 0, -1))
            assert np.array_equal(np.load(tmp_path / "npy/labels/mask" / name), mask.read(1))
    revision = json.loads((tmp_path / "npy/revision.json").read_text())
    assert revision["content_digest"] == dataset.content_digest()
    assert revision["export"]["options"] == {"channels": "last"}
    card = (tmp_path / "npy/README.md").read_text()
    counts = Counter(sample["part"] for sample in samples)
    assert all(f"| {part} | {count} |" in card for part, count in counts.items())
    assert not dataset.verify()


def test_objects_on_samples_are_those_of_the_box_label(sample_history, tmp_path):
    """What formats of objects are given agrees with the boxes of `label boxes`, which draws by another query."""
    from geographer.base.values import parse_line_width
    from geographer.outputs.exports.export import Export
    from geographer.outputs.exports.folder import ExportFolder
    from geographer.outputs.exports.objects import ObjectOptions
    from geographer.outputs.samples.selection import SampleSelection, stage_samples

    dataset = Dataset.open(sample_history.root)
    recorded = {(row["raster_id"], row["feature_id"]): row for row in dataset.objects(label="bounds").to_pylist()}
    assert recorded
    work, folder = dataset._unit_of_work, ExportFolder(dataset.root, tmp_path / "out", {})
    with work.open_revision() as revision:
        chosen = stage_samples(revision, SampleSelection(collection="cover"))
        export = Export(work, revision, chosen, folder)
        options = ObjectOptions(parse_line_width("1px"), marked_where="class = 'pond'")
        pairs = [*export.iter_objects(options)]
        classes = {item.name: item for item in export.classes}
    folder.close()
    listed = {(sample.raster_id, item.feature_id): item for sample, items in pairs for item in items}
    assert listed.keys() == recorded.keys()
    for key, item in listed.items():
        assert [*item.object_boxes.box] == recorded[key]["box"]
        assert item.object_boxes.visible == recorded[key]["visible"]
        assert [[*corner] for corner in item.box_corners] == recorded[key]["corners"]
        assert item.is_marked == (item.class_name == "pond")
        assert classes[item.class_name].value == item.value


def test_pages_hold_all_samples_once(dataset, tmp_path, monkeypatch):
    from geographer.outputs.exports import export

    monkeypatch.setattr(export, "_PAGE", 1)
    one_by_one = dataset.export_samples("npy", tmp_path / "pages", record=False)
    monkeypatch.undo()
    assert dataset.export_samples("npy", tmp_path / "whole", record=False).manifest == one_by_one.manifest


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("nothing",), UsageError, "The formats are"),
        (("npy", {"chanels": "last"}), UsageError, "no option 'chanels'"),
        (("npy", {"channels": "middle"}), UsageError, "first or last"),
        (("npy", {"subset": "none"}), NotFoundError, "no part 'none'"),
        (("npy", {"at": "v7"}), NotFoundError, "v7"),
    ],
)
def test_wrong_exports_write_nothing(dataset, tmp_path, arguments, error, words):
    name, options = arguments if len(arguments) == 2 else (*arguments, {})
    before = len(dataset.log())
    with pytest.raises(error, match=words):
        dataset.export_samples(name, tmp_path / "export", **options)
    assert not (tmp_path / "export").exists()
    assert len(dataset.log()) == before


def test_missing_package_is_named_with_its_extra(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(find_exporter("npy"), "packages", {"no_such_package": "arrays"})
    with pytest.raises(UsageError, match=r"pip install 'geographer-datasets\[arrays\]'"):
        dataset.export_samples("npy", tmp_path / "export")


def test_dataset_at_an_older_revision_is_not_exported(sample_history, tmp_path):
    dataset = Dataset.open(shutil.copytree(sample_history.at_v1, tmp_path / "dataset"))
    dataset.checkout("@5")
    with pytest.raises(ConflictError):
        dataset.export_samples("npy", tmp_path / "export")
    assert not (tmp_path / "export").exists()
    assert dataset.export_samples("npy", tmp_path / "export", at="v1", record=False).samples


def test_command_exports_and_says_the_manifest(sample_history, tmp_path):
    root = shutil.copytree(sample_history.at_v1, tmp_path / "dataset")
    text = run_command(root, "export", "npy", "--to", str(tmp_path / "npy"), "--subset", "train", "-m", "why")
    assert "MANIFEST" in text
    assert "recorded in the log" in text
    result = json.loads(run_command(root, "export", "npy", "--to", str(tmp_path / "npy"), "--no-record", "--json"))
    assert (result["format"], result["selection"]["split"]) == ("npy", "parts")
    assert "npy" in run_command(root, "export", "--help")


@pytest.mark.parametrize("name", FORMATS)
def test_formats_declare_what_help_and_card_say(name):
    exporter = find_exporter(name)
    assert exporter.format == name
    assert all((exporter.title, exporter.layout))
    assert exporter.example.startswith(f"export {name} --to")
