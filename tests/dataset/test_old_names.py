"""Names of version 0.1.0: they work, and warn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import geographer
from geographer import Dataset
from geographer.base.errors import NotFoundError
from geographer.dataset.old_names import OLD_METHODS


def test_old_names_work_and_warn(dataset: Dataset):
    old_arguments: dict[str, Any] = {"update": {"afresh": True}, "download": {"source": "nowhere", "keep_twins": True}}
    for old, current in OLD_METHODS.items():
        with pytest.warns(DeprecationWarning, match=f"'{old}' is deprecated. Use '{current}'"):
            assert getattr(dataset, old) == getattr(dataset, current)
    with pytest.warns(DeprecationWarning, match="rebuild_covers"):
        assert dataset.update(**old_arguments["update"]) == []
    with pytest.warns(DeprecationWarning, match="keep_reprocessed"), pytest.raises(NotFoundError, match="nowhere"):
        dataset.download("s2", **old_arguments["download"])
    assert not hasattr(dataset, "cut_all")


def test_readers_and_sources_may_use_old_names(tmp_path: Path):
    class OldReader(geographer.Reader):
        name = "old"

        @classmethod
        def reads(cls, arrived: geographer.ProductFiles) -> bool:
            return [path.name for path in arrived.files()] == ["a.txt"]

        def read(self, product_files: geographer.ProductFiles, destination: Path) -> geographer.ReadResult:
            return geographer.ReadResult({"read": str(product_files.folder)}, kept=True)

    class OldSource(geographer.Source):
        at_once = 1

        def search(self, query: geographer.SearchQuery) -> Any:
            raise geographer.SourceError("busy", passing=True, wait=7.0)

        def fetch(self, product: geographer.Product, folder: Path, callback: Any) -> None:
            raise NotImplementedError

    (tmp_path / "a.txt").touch()
    files = geographer.ProductFiles(tmp_path, "a")
    reader_class: Any = OldReader
    assert reader_class.can_read(files)
    assert reader_class().read(files, tmp_path).unchanged_bytes
    assert OldSource(provider=None, collection=None).max_concurrent == 1
    with pytest.raises(geographer.SourceError) as raised:
        OldSource(provider=None, collection=None).search(geographer.SearchQuery(0.0, 0.0, 1.0, 1.0))
    assert (raised.value.retryable, raised.value.retry_after) == (True, 7.0)
    assert geographer.__getattr__("Recorded") is geographer.ChangeResult
