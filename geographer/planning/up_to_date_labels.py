"""Up-to-date labels: the table that the label operation computes and the merge operation reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa


class UpToDateLabels(NamedTuple):
    """Labels that are up to date at a revision.

    Labels whose dependencies cannot be determined are excluded: custom renderers and SQL ignore masks.

    Attributes:
        labels: One row a label: `label`, `raster_id`; `west`, `south`, `east`, `north`, the box in degrees in which a
            feature may be drawn on the label; `lon_shift`, the offset in degrees (360, -360 or null) of a second box
            beyond the antimeridian; `by_order`, whether the label depends on the order in which features were added;
            `by_name`, whether its bytes contain feature ids.
        object_order: The features on each label that depends on their order: `label`, `raster_id`, `feature_id`,
            `order_index`.
        settings: By label name, the settings that all labels of the recipe share, as `LabelRecipe` records them.
    """

    labels: pa.Table
    object_order: pa.Table
    settings: dict[str, dict[str, Any]]
