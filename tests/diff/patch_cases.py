"""What the tests of patches share: the content of a dataset that applying a patch must give."""

from __future__ import annotations

from typing import Any

from geographer import Dataset
from geographer.diff.patch.revision_values import read_recipe_versions

_ORDER = "SELECT {0}_id FROM current_{0} JOIN {0}_order USING ({0}_id) ORDER BY added, {0}_id"


def read_content(dataset: Dataset, at: int | None = None) -> dict[str, Any]:
    """Return what a patch must carry: all rows by digest, orders, recipes with inputs, columns, edges."""
    with dataset._unit_of_work.open_revision(at) as revision:
        return {
            "lines": sorted(line for (line,) in revision.fetch_rows("FROM content_line")),
            "digest": revision.compute_content_digest(),
            "recipes": {key: version.values for key, version in read_recipe_versions(revision).items()},
            "order": [
                [id for (id,) in revision.fetch_rows(_ORDER.format(subject))] for subject in ("feature", "raster")
            ],
            "columns": [revision.list_user_columns(subject) for subject in ("feature", "raster")],
            "edges": revision.fetch_rows("SELECT feature_id::VARCHAR, raster_id, relation FROM edges ORDER BY ALL"),
        }
