"""File systems that ignore case: two names that would be one there are refused before anything is written."""

from __future__ import annotations

import pytest

from geographer.base.errors import ConflictError
from geographer.storage.workspace import paths
from tests.sample_rasters import make_pixels, write_scene


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A dataset with the rasters `a` and `A`, as a log made before such names were refused may have it."""
    from geographer import Dataset

    dataset = Dataset.init(tmp_path / "dataset", scm=False)
    for name in ("a", "A"):
        (tmp_path / f"in-{name}").mkdir()
        write_scene(tmp_path / f"in-{name}" / f"{name}.tif", make_pixels(1, 8, 8))
    dataset.add_rasters(tmp_path / "in-a")
    monkeypatch.setattr(paths, "_raise_collision", lambda *_: None)
    dataset.add_rasters(tmp_path / "in-A")
    return dataset


def test_names_that_differ_by_case_can_be_exported_where_case_counts(dataset, tmp_path):
    assert not paths.ignores_case(tmp_path)
    dataset.checkout("HEAD", to=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out" / "rasters" / "source").iterdir()} == {"a.tif", "A.tif"}


@pytest.mark.parametrize("to", [None, "out"])
def test_names_that_are_equal_there_are_refused(dataset, tmp_path, monkeypatch, to):
    monkeypatch.setattr(paths, "ignores_case", lambda _folder: True)
    with pytest.raises(ConflictError, match=r"'rasters/source/A.tif' and 'rasters/source/a.tif' have the same name"):
        dataset.checkout("HEAD", to=to and tmp_path / to)
    assert not list((tmp_path / "out").rglob("*.tif"))
