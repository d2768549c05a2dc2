"""TODO."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa


class UpToDateLabels(NamedTuple):
    """The labels of a revision that are neither stale nor unwanted, but for those whose dependencies nobody can tell.

    Attributes:
        labels: `label`, `raster_id`; the box in longitude/latitude in which a feature may be drawn on it, `west`,
            `south`, `east`, `north`, and `turn` as the raster has it; whether it depends on the order in which features
            were added, `by_order`, and whether its bytes name ids, `by_name`.
        objects: What each of those that go by order shows: `label`, `raster_id`, `feature_id` and its `place`.
        forms: By label, what all labels of the recipe have in common, as `Labelling.form` gives it.
    """

    labels: pa.Table
    objects: pa.Table
    forms: dict[str, dict[str, Any]]
