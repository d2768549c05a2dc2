"""The unit of work: what a repeated request completes."""

from __future__ import annotations

import pytest

from geographer import Dataset
from geographer.storage.unit_of_work import UnitOfWork
from tests.sample_history import write_scenes


def test_repeated_request_completes_an_interrupted_command(dataset: Dataset, tmp_path, monkeypatch):
    """The first run is killed after its append: its answer and its files in the workspace are missing."""
    scenes = write_scenes(tmp_path / "inputs", "a")

    def die(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(UnitOfWork, "checkout_workspace", die)
        with pytest.raises(KeyboardInterrupt):
            dataset.add_rasters(scenes, idempotency_key="k")
    assert not (dataset.root / "rasters/source/a.tif").exists()
    result = Dataset.open(dataset.root).add_rasters(scenes, idempotency_key="k")
    assert (result.position, result.changed) == (2, False)
    assert (dataset.root / "rasters/source/a.tif").exists()
    assert (dataset.root / "rasters/source.dvc").exists()
    assert dataset.verify() == []
