"""The table `samples` of an exported folder: what training needs and the other tables do not have."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa

from geographer.planning.recipe import list_recipe_records
from geographer.planning.split_constraints.groups import list_components
from geographer.storage.database.connection import register_table
from geographer.storage.queries.revision import Revision

SAMPLE_FACTS: Final = "samples"
"""The name of the table."""
_QUERY: Final = Path(__file__).with_name("sample_facts.sql")
_COMPONENT_SCHEMA: Final = pa.schema({"split": pa.string(), "raster_id": pa.string(), "component": pa.int64()})


def read_sample_facts(revision: Revision) -> pa.Table:
    """Return a row for each raster with pixels and each split that assigns it: see `sample_facts.sql`.

    Columns: `raster_id`; `feature_id` that a chip was cut for, or null; `split`, null for a raster without one;
    `component` (int64) of the split, null if the split has no recipe.
    """
    splits, raster_ids, components = [], [], []
    for record in list_recipe_records(revision):
        if record.kind == "split":
            found = list_components(revision, record.parameters["collection"], record.parameters)
            splits += [record.name] * len(found)
            raster_ids += [*found]
            components += [*found.values()]
    columns = {"split": splits, "raster_id": raster_ids, "component": components}
    rows = pa.table(columns, _COMPONENT_SCHEMA)
    with register_table(revision.connection, "split_component", rows):
        return revision.fetch_arrow(_QUERY.read_text())
