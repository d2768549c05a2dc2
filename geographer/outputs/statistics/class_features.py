"""Class features: how many features of each class the samples show, by subset."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from geographer.storage.queries.revision import Revision

_QUERY: Final = Path(__file__).with_name("class_features.sql")


def count_class_features(revision: Revision) -> dict[tuple[str | None, str], tuple[int, int]]:
    """Return the samples that show a feature, and the features, by subset (None: all samples) and class.

    The samples are staged; see `stage_samples`.
    """
    rows = revision.fetch_rows(_QUERY.read_text())
    return {(part, name): (samples, features) for part, name, samples, features in rows}
