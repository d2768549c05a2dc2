"""An audit ends in words, whatever the folder holds: damage, loops of links, odd names, paths that lead out."""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress

import numpy as np
import pytest

from geographer.base.errors import GeographerError, NotFoundError, UsageError
from geographer.outputs.audit.folder_index import FolderIndex
from geographer.outputs.audit.run import audit_dataset
from tests.outputs.audit.dataset_files import make_coco, write_images, write_json, write_text

DAMAGED = {
    "instances_train.json": '{"images": [{"id": 1, "file_name": "a.npy"}], "annotations": [',
    "coco.json": '{"images": 3, "annotations": {"a": 1}, "categories": []}',
    "coco_types.json": '{"images": [{"id": [1], "file_name": 7, "width": "x"}], "annotations": [{"bbox": ["a", null]}]}',
    "croissant.json": '{"@context": "croissant", "distribution": [1, {"@type": "cr:FileObject", "contentUrl": 3}]}',
    "croissant_regex.json": json.dumps(
        {
            "@context": "http://mlcommons.org/croissant/",
            "distribution": [{"@type": "cr:FileSet", "@id": "f", "includes": ["*"]}],
            "recordSet": [
                {"field": [{"name": "split", "source": {"fileSet": "f", "extract": {"fileProperty": 1}}}, 3]},
                4,
            ],
        }
    ),
    "split.json": "[" * 100_000,
    "splits.json": '{"train": 3, "test": [[1], {"file": {}}, null]}',
    "data.yaml": "train: [1, {a: b}]\nnames: [x]\nval: /etc\n",
    "loop.yaml": "a: &a [*a]\ntrain_data_root: x\n",
    "train_data.yaml": "train_data_root: 1\nval_data_root: [x]\ntrain_split: {}\n",
    "train.txt": "\0\1\2",
    "split.csv": 'file,split\n"a.npy,train\n',
    "test.csv": "\xff\n" * 9,
    "split.parquet": "PAR1 and nothing else",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_documents_end_in_words(tmp_path, name):
    write_images(tmp_path, "train/a.npy", "test/b.npy")
    write_text(tmp_path, name, DAMAGED[name])
    report = audit_dataset(tmp_path, near_duplicates=False)
    assert report.subsets == {"train": 1, "test": 1}
    assert all(json.dumps(record) for record in report.iter_findings())
    with suppress(GeographerError):
        audit_dataset(tmp_path, tmp_path / name, near_duplicates=False)


def test_damaged_images_are_findings(tmp_path):
    write_images(tmp_path, "train/a.npy", "test/b.npy")
    contents = {
        "train/empty.tif": b"",
        "train/noise.png": bytes(range(256)),
        "train/short.jpg": b"\xff\xd8\xff\xe0" + bytes(40),
        "test/header.tif": b"II*\0\x08\0\0\0\xff\xff",
        "test/pickle.npy": b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(
            200, b" "
        ),
        "test/zip.npz": b"PK\x03\x04",
        "test/hdf.h5": b"\x89HDF\r\n\x1a\n" + bytes(99),
    }
    for path, content in contents.items():
        (tmp_path / path).write_bytes(content)
    report = audit_dataset(tmp_path)
    assert {f.subject for f in report.findings if f.kind == "unreadable file"} == {*contents}
    assert report.name_verdict() == "damaged"
    assert all(str(tmp_path) not in finding.detail for finding in report.findings)


def test_array_that_numpy_would_unpickle_is_not_loaded(tmp_path):
    write_images(tmp_path, "test/b.npy")
    (tmp_path / "train").mkdir()
    np.save(tmp_path / "train/a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert [f.subject for f in audit_dataset(tmp_path).findings if f.kind == "unreadable file"] == ["train/a.npy"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems reject such names")
def test_names_that_are_not_utf8(tmp_path):
    write_images(tmp_path, "train/a.npy", "test/b.npy")
    for folder in (b"train", b"test"):
        path = os.fsencode(tmp_path) + b"/" + folder + b"/\xff\xfe.npy"
        os.link(tmp_path / "train/a.npy", path)
    report = audit_dataset(tmp_path, near_duplicates=False)
    records = [json.dumps(record).encode() for record in report.iter_findings()]
    assert len(report.leaks) == 2
    assert b"train/\\\\xff\\\\xfe.npy" in b"".join(records)
    assert "\n".join(report.format_lines()).encode()


def test_links_that_lead_out_or_in_circles_are_left_out(tmp_path):
    root = tmp_path / "data"
    write_images(root, "train/a.npy", "test/b.npy")
    write_images(tmp_path, "outside/c.npy")
    (root / "train/loop").symlink_to(root)
    (root / "test/outside").symlink_to(tmp_path / "outside")
    (root / "test/c.npy").symlink_to(tmp_path / "outside/c.npy")
    (root / "test/broken.npy").symlink_to(root / "nothing.npy")
    (root / "test/copy.npy").symlink_to(root / "train/a.npy")
    report = audit_dataset(root, near_duplicates=False)
    assert report.subsets == {"train": 1, "test": 2}
    assert [(r["kind"], r["a"], r["b"]) for r in report.leaks.iter_dicts()] == [
        ("identical file", "test/copy.npy", "train/a.npy")
    ]
    assert any("left out 4 symbolic links that lead out of the folder or to a folder" in note for note in report.notes)


def test_entries_never_lead_out_of_the_folder(tmp_path):
    root = tmp_path / "data"
    write_images(root, "a.npy", "b.npy")
    write_images(tmp_path, "c.npy")
    index = FolderIndex(root)
    for entry in ("../c.npy", "x/../../c.npy", str(tmp_path / "c.npy"), "..", "", "\0", "/", "a" * 9_000):
        assert index.resolve_entry(entry) == []
    write_text(root, "split.csv", "file,split\na.npy,train\nb.npy,test\n../c.npy,test\n")
    missing = [f.subject for f in audit_dataset(root, near_duplicates=False).findings if f.kind == "missing file"]
    assert missing == ["../c.npy"]


def test_missing_path_and_bad_options_are_refused(tmp_path):
    write_images(tmp_path, "train/a.npy", "test/b.npy")
    with pytest.raises(NotFoundError, match="does not exist"):
        audit_dataset(tmp_path / "nothing")
    with pytest.raises(UsageError, match="is not a file"):
        audit_dataset(tmp_path, tmp_path / "nothing.csv")
    with pytest.raises(UsageError, match="invalid buffer"):
        audit_dataset(tmp_path, buffer=-1)
    with pytest.raises(UsageError, match="invalid number of workers"):
        audit_dataset(tmp_path, workers=0)
    (tmp_path / ".geographer").mkdir()
    with pytest.raises(UsageError, match="is a dataset of geographer"):
        audit_dataset(tmp_path)


def test_file_as_path_names_the_subsets(tmp_path):
    write_images(tmp_path, "x/a.npy", "y/b.npy")
    write_json(tmp_path, "instances_train.json", make_coco({1: "a.npy"}))
    write_json(tmp_path, "instances_test.json", make_coco({1: "b.npy"}))
    assert audit_dataset(tmp_path / "instances_train.json", near_duplicates=False).subsets == {"train": 1, "test": 1}
