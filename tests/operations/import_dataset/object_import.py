"""Import the objects of a dataset, also of a copy, whose history `Dataset.import_dataset` would merge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geographer import Dataset
from geographer.operations.import_dataset.request import ImportDataset
from geographer.storage.events import ChangeResult


def import_objects(dataset: Dataset, path: str | Path, **options: Any) -> ChangeResult:
    """Run the request as for a dataset without common history."""
    return dataset.run(ImportDataset(path, **options))
