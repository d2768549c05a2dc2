"""Formats of rasters and tables: equal bytes in two folders, and an interrupted export that goes on."""

from __future__ import annotations

import json

import pytest

from geographer.outputs.exports.folder import ExportFolder
from tests.sample_history import read_contents

FORMATS = {
    "folder": {},
    "webdataset": {"shard_size": 2, "seed": 3},
    "huggingface": {"shard_size": 2},
    "zarr": {},
    "rslearn": {},
    "stac": {},
    "geopackage": {},
    "kml": {},
    "npy": {},
}


class Interruption(BaseException):
    """What stops an export in a test."""


@pytest.mark.parametrize("name", FORMATS)
def test_interrupted_export_ends_with_equal_bytes(chips, name, tmp_path, monkeypatch):
    options = {**FORMATS[name], "record": False, "labels": ["mask", "instances", "multilabel", "boxes"]}
    whole = chips.export_samples(name, tmp_path / "whole", **options)
    written: list[str] = []
    add_file = ExportFolder._add_file

    def stop_halfway(folder, path, *arguments, **keywords):
        if len(written) == whole.files // 2:
            raise Interruption
        add_file(folder, path, *arguments, **keywords)
        written.append(path)

    with monkeypatch.context() as context:
        context.setattr(ExportFolder, "_add_file", stop_halfway)
        with pytest.raises(Interruption):
            chips.export_samples(name, tmp_path / "parts", **options)
    resumed = chips.export_samples(name, tmp_path / "parts", **options)
    assert read_contents(tmp_path / "parts") == read_contents(tmp_path / "whole")
    assert (resumed.manifest, resumed.files) == (whole.manifest, whole.files)
    assert resumed.written == whole.files - whole.files // 2
    assert json.loads((tmp_path / "whole/revision.json").read_text())["export"]["format"] == name
    assert {"README.md", "MANIFEST", "classes.csv", "splits.csv"} <= {
        path.name for path in (tmp_path / "whole").iterdir()
    }
